package ws

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/gorilla/websocket"
)

// Config says how connections are accepted.
type Config struct {
	// MaxMessage bounds one message from the client, in bytes. 0 means 64 KiB.
	MaxMessage int
	// WriteTimeout is how long a write may wait for a client that does not read. 0 means 10 s.
	WriteTimeout time.Duration
	// CloseTimeout is how long a client may take to answer a close frame. 0 means 1 s.
	CloseTimeout time.Duration
	// Subprotocols are offered to the client, best first.
	Subprotocols []string
	// CheckOrigin decides by the Origin header of a request whether the page may connect. nil allows those of the
	// same host, and clients that send none.
	CheckOrigin func(*http.Request) bool
}

// readBuffer is what an idle connection holds for reading. Larger messages are read past it.
const readBuffer = 256

// Errors of reading, besides those of the network.
var (
	// ErrClosed says that the peer has closed the connection in order.
	ErrClosed = errors.New("connection is closed")
	// ErrProtocol says that the peer broke the protocol or the limit.
	ErrProtocol = errors.New("connection is misused")
)

// Conn is one connection. One goroutine reads; any may write.
type Conn struct {
	conn         *websocket.Conn // for reading
	socket       net.Conn
	raw          syscall.RawConn // of socket; nil when what is written does not go into it as it is
	maxMessage   int
	writeTimeout time.Duration
	closeTimeout time.Duration

	writing  sync.Mutex  // held while somebody writes, and so while waiting for this client
	closing  atomic.Bool // a close frame has been sent or comes next: nothing may follow it
	deadline time.Time   // of waiting: one to 9/8 time limits away when that begins; for who writes
}

// Accept makes a WebSocket of a request. When it returns an error it has answered the request. The caller returns
// from its HTTP handler and reads in a goroutine of its own, which calls [Conn.Release] at the end.
func (cfg Config) Accept(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	u := websocket.Upgrader{
		ReadBufferSize:   readBuffer,
		WriteBufferPool:  unused,
		HandshakeTimeout: orDefault(cfg.WriteTimeout, 10*time.Second),
		Subprotocols:     cfg.Subprotocols,
		CheckOrigin:      cfg.CheckOrigin,
	}
	reads := new(reading)
	conn, err := u.Upgrade(wrapped{w, reads}, r, nil)
	if err != nil {
		return nil, fmt.Errorf("accept websocket: %w", err)
	}
	reads.mute = true
	c := &Conn{
		conn:         conn,
		socket:       reads.Conn,
		maxMessage:   orDefault(cfg.MaxMessage, 64<<10),
		writeTimeout: orDefault(cfg.WriteTimeout, 10*time.Second),
		closeTimeout: orDefault(cfg.CloseTimeout, time.Second),
	}
	if socket, ok := c.socket.(syscall.Conn); ok {
		c.raw, _ = socket.SyscallConn() // fails on a closed connection, as Write then does
	}
	conn.SetReadLimit(int64(c.maxMessage))
	conn.SetPingHandler(func(data string) error {
		return c.Write(AppendFrame(nil, Pong, []byte(data)))
	})
	conn.SetCloseHandler(func(code int, _ string) error {
		c.sendClose(code, "")
		return nil
	})
	return c, nil
}

// wrapped lets gorilla reach the connection below what middleware has put around it, for reading.
type wrapped struct {
	http.ResponseWriter
	reads *reading
}

// Hijack implements [http.Hijacker].
func (w wrapped) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buffers, err := http.NewResponseController(w.ResponseWriter).Hijack()
	w.reads.Conn = conn
	return w.reads, buffers, err
}

// reading is a connection as gorilla sees it: after the handshake only for reading. By itself it answers faults with a
// close frame, which would land in the middle of what somebody else has written in part.
type reading struct {
	net.Conn
	mute bool
}

// Write writes the answer to the handshake.
func (r *reading) Write(b []byte) (int, error) {
	if r.mute {
		return len(b), nil
	}
	return r.Conn.Write(b)
}

// SetWriteDeadline bounds the handshake.
func (r *reading) SetWriteDeadline(t time.Time) error {
	if r.mute {
		return nil
	}
	return r.Conn.SetWriteDeadline(t)
}

// unused stands in for the write buffers that gorilla would else hold for each connection: frames are written whole.
var unused = new(sync.Pool)

func orDefault[T comparable](v, fallback T) T {
	if v == *new(T) {
		return fallback
	}
	return v
}

// Subprotocol is the one that was agreed on, or empty.
func (c *Conn) Subprotocol() string { return c.conn.Subprotocol() }

// RemoteAddr is the client's address.
func (c *Conn) RemoteAddr() net.Addr { return c.socket.RemoteAddr() }

// Read waits for the next message, which is then the caller's. Pings are answered on the way: by a write that waits like
// any other, so that a client which sends pings and does not read stops being read itself. An error is final and the
// client has been told of it.
func (c *Conn) Read() (Opcode, []byte, error) {
	kind, r, err := c.conn.NextReader()
	if err != nil {
		return 0, nil, c.readError(err)
	}
	// Nothing is held while waiting. A message does not grow beyond the limit: gorilla looks at the length of a
	// frame before it reads the payload.
	msg := make([]byte, 0, readBuffer)
	for {
		n, err := r.Read(msg[len(msg):cap(msg)])
		msg = msg[:len(msg)+n]
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, nil, c.readError(err)
		}
		if len(msg) == cap(msg) {
			msg = append(msg, 0)[:len(msg)]
		}
	}
	if kind == websocket.TextMessage && !utf8.Valid(msg) {
		c.sendClose(CloseBadText, "text is not UTF-8")
		return 0, nil, fmt.Errorf("read text: %w", ErrProtocol)
	}
	return Opcode(kind), msg, nil
}

// readError sorts the errors of gorilla, and sends the close frame that belongs to them.
func (c *Conn) readError(err error) error {
	var closed *websocket.CloseError
	var network net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return fmt.Errorf("read websocket: %w", ErrClosed)
	case errors.As(err, &closed), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, ErrClosed):
		return fmt.Errorf("read websocket: %w", err)
	case errors.Is(err, websocket.ErrReadLimit):
		c.sendClose(CloseTooBig, "message is too large")
	default:
		c.sendClose(CloseProtocol, strings.TrimPrefix(err.Error(), "websocket: "))
	}
	return fmt.Errorf("read websocket: %w: %w", ErrProtocol, err)
}

// SetReadDeadline bounds how long Read waits; the zero time ends that.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Close tells the client that the connection ends, and why. The goroutine in Read returns when the client has answered,
// or after the time limit. A client that is in the middle of not reading is cut off after it, too.
func (c *Conn) Close(code int, reason string) {
	if !c.sendClose(code, reason) {
		_ = c.socket.Close()
		return
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(c.closeTimeout))
}

// sendClose sends a close frame unless there was one, and reports whether the client can be expected to get it.
func (c *Conn) sendClose(code int, reason string) bool {
	if c.closing.Swap(true) {
		return true
	}
	if !c.lockSoon() {
		return false
	}
	defer c.writing.Unlock()
	payload := websocket.FormatCloseMessage(code, reason[:min(len(reason), maxReason)])
	if c.socket.SetWriteDeadline(time.Now().Add(c.closeTimeout)) != nil {
		return false
	}
	_, err := c.socket.Write(AppendFrame(nil, CloseFrame, payload))
	return err == nil
}

// lockSoon takes the right to write, if who has it finishes within the time limit.
func (c *Conn) lockSoon() bool {
	for end := time.Now().Add(c.closeTimeout); !c.writing.TryLock(); {
		if time.Now().After(end) {
			return false
		}
		<-time.After(time.Millisecond)
	}
	return true
}

// Release gives the connection back. It is called by the goroutine that read, after Read has failed. If a close frame
// is on its way, it first gives the client the time to read it: closing a socket that holds unread data makes the
// kernel throw away what was sent.
func (c *Conn) Release() {
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.socket.SetReadDeadline(time.Now().Add(c.closeTimeout))
		_, _ = io.CopyN(io.Discard, c.socket, maxDiscard)
	}
	_ = c.socket.Close()
}

// maxReason is what fits into a close frame beside the code.
const maxReason = 123

// maxDiscard bounds what is read from a client that goes on sending after it was told to stop.
const maxDiscard = 1 << 20
