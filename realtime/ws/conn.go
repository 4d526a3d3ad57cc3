package ws

import (
	"bufio"
	"cmp"
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

// Config configures [Config.Accept].
type Config struct {
	// MaxMessage bounds one message from the client, in bytes. 0 means 64 KiB.
	MaxMessage int
	// WriteTimeout is how long a write may wait for a client that does not read. 0 means 10 s.
	WriteTimeout time.Duration
	// CloseTimeout is how long a client may take to reply to a close frame. 0 means 1 s.
	CloseTimeout time.Duration
	// Subprotocols are the supported ones, the preferred first.
	Subprotocols []string
	// CheckOrigin decides by the Origin header whether a page may connect. nil allows pages of the
	// same host, and clients that send none.
	CheckOrigin func(*http.Request) bool
}

// readBuffer is the size of the buffer that an idle connection holds. Larger messages bypass it.
const readBuffer = 256

// Errors of [Conn.Read], in addition to those of the network.
var (
	// ErrClosed says that the connection was closed with a close frame.
	ErrClosed = errors.New("connection is closed")
	// ErrProtocol says that the peer violated the protocol or the size limit.
	ErrProtocol = errors.New("protocol violation")
)

// Conn is one connection. One goroutine reads; any may write.
type Conn struct {
	conn         *websocket.Conn // for reading
	socket       net.Conn
	raw          syscall.RawConn // of socket; nil if it cannot be written to directly, as under TLS
	maxMessage   int
	writeTimeout time.Duration
	closeTimeout time.Duration

	writing  sync.Mutex  // held by the writer, also while it waits for this client
	closing  atomic.Bool // a close frame was sent or is next: nothing may follow it
	deadline time.Time   // for writes that wait, moved by an eighth at a time; guarded by writing
}

// Accept upgrades a request to a WebSocket. If it returns an error, it has responded to the
// request. The caller returns from its HTTP handler and reads in a goroutine of its own, which
// calls [Conn.Release] at the end.
func (cfg Config) Accept(w http.ResponseWriter, r *http.Request) (*Conn, error) {
	u := websocket.Upgrader{
		ReadBufferSize:   readBuffer,
		WriteBufferPool:  unused,
		HandshakeTimeout: cmp.Or(cfg.WriteTimeout, 10*time.Second),
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
		maxMessage:   cmp.Or(cfg.MaxMessage, 64<<10),
		writeTimeout: cmp.Or(cfg.WriteTimeout, 10*time.Second),
		closeTimeout: cmp.Or(cfg.CloseTimeout, time.Second),
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

// wrapped lets gorilla reach the connection underneath the wrappers of middleware, for reading.
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

// reading is a connection as gorilla sees it: after the handshake only for reading. gorilla sends
// close frames by itself, which would end up in the middle of a frame that another goroutine is
// writing.
type reading struct {
	net.Conn
	mute bool
}

// Write writes the response to the handshake, and nothing afterwards.
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

// unused replaces the write buffers that gorilla would hold for each connection. Nothing is written
// through gorilla, so it stays empty.
var unused = new(sync.Pool)

// Read waits for the next message, which the caller owns. It replies to pings, by a write that may
// wait like any other: a client that sends pings and does not read is no longer read from. An error
// is final, and the client has been sent the close frame that belongs to it.
func (c *Conn) Read() (Opcode, []byte, error) {
	kind, r, err := c.conn.NextReader()
	if err != nil {
		return 0, nil, c.readError(err)
	}
	// No buffer is held while waiting. A message cannot exceed the limit: gorilla checks the length
	// of a frame before it reads the payload.
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

// readError translates gorilla's errors, and sends the close frame that belongs to them.
func (c *Conn) readError(err error) error {
	var closed *websocket.CloseError
	var network net.Error
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return fmt.Errorf("read websocket: %w", ErrClosed)
	case errors.As(err, &closed), errors.As(err, &network), errors.Is(err, io.EOF),
		errors.Is(err, ErrClosed):
		return fmt.Errorf("read websocket: %w", err)
	case errors.Is(err, websocket.ErrReadLimit):
		c.sendClose(CloseTooBig, "message is too large")
	default:
		c.sendClose(CloseProtocol, strings.TrimPrefix(err.Error(), "websocket: "))
	}
	return fmt.Errorf("read websocket: %w: %w", ErrProtocol, err)
}

// SetReadDeadline bounds how long Read waits; the zero time removes the bound.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Close sends a close frame with the reason. The goroutine in Read returns when the client has
// replied, or after the close timeout. A client that is not reading is cut off after the timeout as
// well.
func (c *Conn) Close(code int, reason string) {
	if !c.sendClose(code, reason) {
		_ = c.socket.Close()
		return
	}
	_ = c.socket.SetReadDeadline(time.Now().Add(c.closeTimeout))
}

// sendClose sends a close frame unless one was sent before, and reports whether the client can be
// expected to receive it.
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

// lockSoon acquires the right to write, if its holder finishes within the close timeout.
func (c *Conn) lockSoon() bool {
	for end := time.Now().Add(c.closeTimeout); !c.writing.TryLock(); {
		if time.Now().After(end) {
			return false
		}
		<-time.After(time.Millisecond)
	}
	return true
}

// Release closes the socket. The reading goroutine calls it after Read has failed. It first gives
// the client time to read a close frame: closing a socket with unread data makes the kernel discard
// what was sent.
func (c *Conn) Release() {
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = c.socket.SetReadDeadline(time.Now().Add(c.closeTimeout))
		_, _ = io.CopyN(io.Discard, c.socket, maxDiscard)
	}
	_ = c.socket.Close()
}

// maxReason is the space for the reason in a close frame, in bytes.
const maxReason = 123

// maxDiscard bounds what is read from a client that keeps sending after the close frame, in bytes.
const maxDiscard = 1 << 20
