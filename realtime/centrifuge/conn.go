package centrifuge

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/ws"
)

// conn is one connection.
type conn struct {
	server       *Server
	socket       *ws.Conn
	identity     realtime.Identity // by the request's header or ticket
	leavePreAuth func()            // nil when there is a session
	session      *realtime.Session // nil until the connect command
	pinged       time.Time         // when last; the server's lock guards it
	alive        context.Context   //nolint:containedctx // it ends with the connection, and the writer is started by the hub
	cancel       context.CancelFunc

	// writing keeps what is written in order. It is held while waiting for this client, by its own goroutines only.
	writing sync.Mutex
	ended   atomic.Bool

	second   int64 // which commands are counted in
	commands int
}

// buffers and batches are lent for one run of the writer, so that an idle connection has none.
var (
	buffers = sync.Pool{New: func() any { return new([]byte) }}
	batches = sync.Pool{New: func() any { return new([]realtime.Delivery) }}
)

// maxPooled is the largest buffer that is kept for others.
const maxPooled = 256 << 10

// run reads until the connection ends.
func (c *conn) run() {
	defer c.server.leave(c)
	defer c.socket.Release()
	defer func() {
		c.ended.Store(true)
		if c.session != nil {
			c.session.End()
		}
	}()
	deadline := time.Now().Add(c.server.cfg.ConnectTimeout) // of the connect command, however often it is tried
	for {
		if c.session != nil {
			deadline = time.Now().Add(c.server.cfg.PingInterval + c.server.cfg.PongTimeout)
		}
		_ = c.socket.SetReadDeadline(deadline) // fails only on a closed connection, as Read then does
		kind, frame, err := c.socket.Read()
		var network net.Error
		switch {
		case errors.As(err, &network) && network.Timeout() && c.session == nil:
			c.close(realtime.CloseStale)
		case errors.As(err, &network) && network.Timeout():
			c.close(realtime.CloseNoPong)
		case err == nil && kind == ws.Text:
			// In a goroutine of its own, because a stack that has once grown stays so: the one that waits in
			// Read for most of its life keeps the smallest.
			handled := make(chan error, 1)
			go func() { handled <- c.handle(frame) }()
			if err = <-handled; err != nil {
				c.close(realtime.CloseOf(err))
			}
		case err == nil:
			err = realtime.CloseBadRequest
			c.close(realtime.CloseBadRequest)
		}
		if err != nil {
			return
		}
	}
}

// handle answers the commands of a frame, in one write unless they are long, and before anything that follows from them.
func (c *conn) handle(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	lent := buffers.Get().(*[]byte)
	defer putBuffer(lent)
	out := (*lent)[:0]
	fresh := c.session == nil
	err := parse(frame, func(cmd *command) error {
		if err := c.count(); err != nil {
			return err
		}
		r, err := c.execute(cmd)
		if r != nil {
			out = appendReply(out, r)
		}
		if len(out) > maxPooled && err == nil { // a frame may ask for very much
			err, out = c.socket.Write(out), out[:0]
		}
		return err
	})
	*lent = out
	if len(out) > 0 {
		if werr := c.socket.Write(out); werr != nil && err == nil {
			err = werr
		}
	}
	if fresh && c.session != nil && err == nil {
		go c.write(nil)
	}
	return err
}

// count bounds how many commands a client sends in a second. A pong counts as well.
func (c *conn) count() error {
	if now := time.Now().Unix(); now != c.second {
		c.second, c.commands = now, 0
	}
	if c.commands++; c.commands > c.server.cfg.MaxCommands {
		return realtime.CloseTooManyCalls
	}
	return nil
}

// write writes what the hub has, joined, until there is nothing more. The hub calls it when the session has slept and
// there is something for it.
func (c *conn) write(slot *realtime.Slot) {
	if !c.writing.TryLock() {
		slot.End()
		c.writing.Lock()
	}
	defer c.writing.Unlock()
	lent, batch := buffers.Get().(*[]byte), batches.Get().(*[]realtime.Delivery)
	defer putBuffer(lent)
	defer func() {
		clear(*batch)
		batches.Put(batch)
	}()
	for !c.ended.Load() {
		var err error
		*batch, err = c.session.Next(c.alive, slot, (*batch)[:0])
		out := (*lent)[:0]
		for i := range *batch {
			switch d := &(*batch)[i]; d.Kind {
			case realtime.KindUpdate:
				out = appendUpdate(out, d)
			case realtime.KindLeft:
				out = appendLeft(out, d)
			default:
				out = append(out, d.Frame(Encoding)...)
			}
		}
		*lent = out
		if err != nil {
			slot.End()
			c.socket.Close(int(realtime.CloseOf(err).Code), realtime.CloseOf(err).Reason)
			return
		}
		if len(*batch) == 0 {
			return
		}
		if c.socket.Push(out, slot) != nil {
			return // the reader notices
		}
		c.session.Sent(*batch, len(out))
	}
}

func putBuffer(lent *[]byte) {
	if cap(*lent) <= maxPooled {
		buffers.Put(lent)
	}
}

// close ends the connection with a reason.
func (c *conn) close(why realtime.Close) {
	c.socket.Close(int(why.Code), why.Reason)
}

func (c *conn) ping() { _ = c.socket.Write(ping) }
