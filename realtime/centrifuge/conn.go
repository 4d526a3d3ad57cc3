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

// link is what a connection is written to: a [ws.Conn] or a [stream].
type link interface {
	// Write sends whole frames; the connection ends if the client does not take them in time.
	Write(frames []byte) error
	// Push is Write, and releases the slot before it waits.
	Push(frames []byte, slot ws.Slot) error
	// Close says the reason to the client and ends the connection.
	Close(code int, reason string)
}

// conn is one connection.
type conn struct {
	server       *Server
	link         link
	wire         *wire             // how it is written to
	identity     realtime.Identity // by the header or ticket of the request; zero without
	leavePreAuth func()            // nil once there is a session
	session      *realtime.Session // nil until the connect command
	pinged       time.Time         // time of the last ping; guarded by the server's lock
	alive        context.Context   //nolint:containedctx // ends with the connection
	cancel       context.CancelFunc

	// writing orders what is written. It may be held while waiting for this client.
	writing sync.Mutex
	ended   atomic.Bool

	pace *realtime.Pace // of its commands; a pong counts as one

	// Of a connection whose commands come in requests of their own:
	id    string       // the secret by which they name it; else empty
	inURL bool         // the first of them is in a URL
	heard atomic.Int64 // when the last one came, in unix nanoseconds
}

// buffers and batches are pooled: a connection holds them only while it writes.
var (
	buffers = sync.Pool{New: func() any { return new([]byte) }}
	batches = sync.Pool{New: func() any { return new([]realtime.Delivery) }}
)

// maxPooled is the largest buffer that goes back into the pool, in bytes.
const maxPooled = 256 << 10

// run reads from a socket until the connection ends. The client's messages have one opcode.
func (c *conn) run(socket *ws.Conn, opcode ws.Opcode) {
	defer c.server.leave(c)
	defer socket.Release()
	defer func() {
		c.ended.Store(true)
		if c.session != nil {
			c.session.End()
		}
	}()
	// of the connect command, however often it is retried
	deadline := time.Now().Add(c.server.cfg.ConnectTimeout)
	for {
		if c.session != nil {
			deadline = time.Now().Add(c.server.cfg.PingInterval + c.server.cfg.PongTimeout)
		}
		// fails only on a closed connection, as Read then does
		_ = socket.SetReadDeadline(deadline)
		kind, frame, err := socket.Read()
		var network net.Error
		switch {
		case errors.As(err, &network) && network.Timeout() && c.session == nil:
			c.close(realtime.CloseStale)
		case errors.As(err, &network) && network.Timeout():
			c.close(realtime.CloseNoPong)
		case err == nil && kind == opcode:
			// In a goroutine of its own, because a stack that has grown stays large: the goroutine
			// that spends its life waiting in Read should have the smallest one.
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

// handle executes the commands of a frame and writes the replies, in one write unless they are
// long, and before any delivery that follows from them.
func (c *conn) handle(frame []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	pooled := buffers.Get().(*[]byte)
	defer putBuffer(pooled)
	out := (*pooled)[:0]
	fresh := c.session == nil
	err := c.wire.parse(frame, func(cmd *command) error {
		wait, err := c.pace.Take()
		if err == nil && wait > 0 {
			// the replies so far, and deliveries, need not wait
			err, out = c.pause(out, wait), out[:0]
		}
		if err != nil {
			return err
		}
		r, err := c.execute(cmd)
		if r != nil {
			out = c.wire.appendReply(out, r)
		}
		if len(out) > maxPooled && err == nil { // the replies to one frame can be long
			err, out = c.link.Write(out), out[:0]
		}
		return err
	})
	*pooled = out
	if len(out) > 0 {
		if werr := c.link.Write(out); werr != nil && err == nil {
			err = werr
		}
	}
	if fresh && c.session != nil && err == nil {
		go c.write(nil)
	}
	return err
}

// pause writes replies and waits, without the right to write.
func (c *conn) pause(replies []byte, wait time.Duration) error {
	if len(replies) > 0 {
		if err := c.link.Write(replies); err != nil {
			return err
		}
	}
	c.writing.Unlock()
	defer c.writing.Lock()
	return realtime.Pause(c.alive, wait)
}

// write writes deliveries, batch by batch, until the session has none. The hub calls it to wake the
// session.
func (c *conn) write(slot *realtime.Slot) {
	if !c.writing.TryLock() {
		slot.Release()
		c.writing.Lock()
	}
	defer c.writing.Unlock()
	pooled, batch := buffers.Get().(*[]byte), batches.Get().(*[]realtime.Delivery)
	defer putBuffer(pooled)
	defer func() {
		clear(*batch)
		batches.Put(batch)
	}()
	for !c.ended.Load() {
		var err error
		*batch, err = c.session.Next(c.alive, slot, (*batch)[:0])
		out := (*pooled)[:0]
		for i := range *batch {
			out = c.wire.appendDelivery(out, &(*batch)[i])
		}
		*pooled = out
		if err != nil {
			slot.Release()
			c.link.Close(int(realtime.CloseOf(err).Code), realtime.CloseOf(err).Reason)
			return
		}
		if len(*batch) == 0 {
			return
		}
		if c.link.Push(out, slot) != nil {
			return // the reader ends the connection
		}
		c.session.Sent(*batch, len(out))
	}
}

func putBuffer(pooled *[]byte) {
	if cap(*pooled) <= maxPooled {
		buffers.Put(pooled)
	}
}

// close closes the connection with a reason.
func (c *conn) close(reason realtime.Close) {
	c.link.Close(int(reason.Code), reason.Reason)
}

func (c *conn) ping() { _ = c.link.Write(c.wire.ping) }
