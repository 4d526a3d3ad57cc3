package wstest

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Timeout bounds each wait for the server.
const Timeout = 10 * time.Second

// Client is a WebSocket client that sends raw frames.
type Client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// Dial opens a connection and reads the greetings.
func (s Server) Dial(t testing.TB) *Client {
	t.Helper()
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", u.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(Timeout)))

	header := s.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Upgrade", "websocket")
	header.Set("Connection", "Upgrade")
	header.Set("Sec-WebSocket-Version", "13")
	header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	u.Scheme = "http"
	require.NoError(t, (&http.Request{Method: http.MethodGet, URL: u, Header: header}).Write(conn))

	c := &Client{Conn: conn, t: t, r: bufio.NewReader(conn)}
	res, err := http.ReadResponse(c.r, nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close()) // it is empty; what follows are frames
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", res.Header.Get("Sec-WebSocket-Accept"))
	for range s.Greetings {
		f, err := c.Next()
		require.NoError(t, err)
		require.Equal(t, ws.Text, f.Op)
	}
	return c
}

// Send writes raw bytes. A server may have closed the connection already, so errors are ignored.
func (c *Client) Send(frames ...[]byte) {
	for _, f := range frames {
		_, _ = c.Write(f)
	}
}

// Frame is what a server sent.
type Frame struct {
	Op      ws.Opcode
	Payload []byte
}

// Next reads one frame, which must be whole, unmasked and without reserved bits.
func (c *Client) Next() (Frame, error) {
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return Frame{}, err
	}
	require.EqualValues(c.t, 0x80, head[0]&0xF0, "want a final frame without reserved bits")
	require.Zero(c.t, head[1]&0x80, "want an unmasked frame")
	n := uint64(head[1])
	switch n {
	case 126:
		ext := make([]byte, 2)
		if _, err := io.ReadFull(c.r, ext); err != nil {
			return Frame{}, err
		}
		n = uint64(binary.BigEndian.Uint16(ext))
	case 127:
		ext := make([]byte, 8)
		if _, err := io.ReadFull(c.r, ext); err != nil {
			return Frame{}, err
		}
		n = binary.BigEndian.Uint64(ext)
	}
	payload := make([]byte, n)
	_, err := io.ReadFull(c.r, payload)
	return Frame{ws.Opcode(head[0] & 0x0F), payload}, err
}

// Bits of the first two bytes of a frame.
const (
	final  = 0x80
	rsv1   = 0x40
	rsv2   = 0x20
	rsv3   = 0x10
	masked = 0x80
)

var key = [4]byte{0x37, 0xFA, 0x21, 0x3D}

// Masked is a whole frame as a client sends it.
func Masked(op ws.Opcode, payload string) []byte { return raw(final|byte(op), payload) }

// Fragment is a frame that is not the last of its message.
func Fragment(op ws.Opcode, payload string) []byte { return raw(byte(op), payload) }

// raw is a masked frame with any first byte.
func raw(first byte, payload string) []byte {
	b := claim(first, uint64(len(payload)))
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// claim is the header of a masked frame that says it has a payload of n bytes.
func claim(first byte, n uint64) []byte {
	b := []byte{first}
	switch {
	case n < 126:
		b = append(b, masked|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, masked|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, masked|127), n)
	}
	return append(b, key[:]...)
}

// closing is the payload of a close frame.
func closing(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// Heap returns the bytes of live objects on the heap, after a garbage collection.
func Heap() int64 {
	runtime.GC()
	runtime.GC() // the second one also empties pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
