package ws_test

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxMessage = 4096

// serve starts a server that calls handle for each connection, in a goroutine that outlives the
// HTTP handler.
func serve(t *testing.T, cfg ws.Config, handle func(*ws.Conn)) wstest.Server {
	t.Helper()
	var wait sync.WaitGroup
	server := httptest.NewServer(accept(&wait, cfg, handle))
	t.Cleanup(func() { server.Close(); wait.Wait() })
	return wstest.Server{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), MaxMessage: maxMessage,
		Message: "grüße", Reply: "grüße",
	}
}

// accept returns a handler. It counts before Accept, in which the HTTP server forgets the
// connection.
func accept(wait *sync.WaitGroup, cfg ws.Config, handle func(*ws.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		wait.Add(1)
		conn, err := cfg.Accept(w, r)
		if err != nil {
			wait.Done()
			return
		}
		go func() {
			defer wait.Done()
			defer conn.Release()
			handle(conn)
		}()
	}
}

func echo(conn *ws.Conn) {
	for {
		kind, msg, err := conn.Read()
		if err != nil {
			return
		}
		if conn.Write(ws.AppendFrame(nil, kind, msg)) != nil {
			return
		}
	}
}

func TestRawFrames(t *testing.T) {
	t.Parallel()
	wstest.Run(t, serve(t, ws.Config{MaxMessage: maxMessage}, echo))
}

func TestWriteFailsForAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	failed := make(chan error, 1)
	s := serve(t, ws.Config{WriteTimeout: 50 * time.Millisecond}, func(conn *ws.Conn) {
		frames := ws.AppendFrame(nil, ws.Text, []byte("first"))
		frames = ws.AppendFrame(frames, ws.Text, bytes.Repeat([]byte{'x'}, 200))
		frames = ws.AppendFrame(frames, ws.Binary, bytes.Repeat([]byte{'y'}, 70_000))
		for {
			if err := conn.Write(frames); err != nil {
				failed <- err
				break
			}
		}
		conn.Close(ws.CloseTryLater, "") // must not wait for the client either
		require.ErrorIs(t, conn.Write(nil), ws.ErrClosed)
	})
	c := s.Dial(t)
	for _, want := range []int{5, 200, 70_000} {
		f, err := c.Next()
		require.NoError(t, err)
		require.Len(t, f.Payload, want)
	}
	var timeout net.Error
	require.ErrorAs(t, <-failed, &timeout)
	require.True(t, timeout.Timeout())
}

// countingSlot counts releases.
type countingSlot struct{ times atomic.Int32 }

func (e *countingSlot) Release() { e.times.Add(1) }

func TestSlotIsReleasedBeforeAWriteWaits(t *testing.T) {
	t.Parallel()
	var slot countingSlot
	waits, read := make(chan struct{}), make(chan struct{})
	const frames, size = 200, 100_000
	s := serve(t, ws.Config{}, func(conn *ws.Conn) {
		short := ws.AppendFrame(nil, ws.Text, []byte("short"))
		for range 100 {
			require.NoError(t, conn.Push(short, &slot))
		}
		require.Zero(t, slot.times.Load(), "there is room for a short frame")
		long := ws.AppendFrame(nil, ws.Binary, bytes.Repeat([]byte{'y'}, size))
		var both sync.WaitGroup
		for range 2 { // one waits for the client, the other for the first
			both.Go(func() {
				for range frames / 2 {
					if err := conn.Push(long, &slot); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for slot.times.Load() < 2 {
			runtime.Gosched()
		}
		close(waits)
		both.Wait()
		<-read
	})
	c := s.Dial(t)
	<-waits
	for range 100 {
		f, err := c.Next()
		require.NoError(t, err)
		require.Equal(t, "short", string(f.Payload))
	}
	for range frames { // each is whole
		f, err := c.Next()
		require.NoError(t, err)
		require.Len(t, f.Payload, size)
	}
	close(read)
}

// Under TLS frames cannot be written to the socket directly.
func TestFramesAreWholeUnderTLS(t *testing.T) {
	t.Parallel()
	const frames, size = 100, 100_000
	var slot countingSlot
	var wait sync.WaitGroup
	server := httptest.NewTLSServer(accept(&wait, ws.Config{}, func(conn *ws.Conn) {
		for range frames {
			if err := conn.Push(ws.AppendFrame(nil, ws.Binary, bytes.Repeat([]byte{'y'}, size)),
				&slot); err != nil {
				t.Error(err)
			}
		}
		conn.Close(ws.CloseGoingAway, "bye")
		_, _, err := conn.Read()
		require.ErrorIs(t, err, ws.ErrClosed)
	}))
	t.Cleanup(func() { server.Close(); wait.Wait() })
	dialer := websocket.Dialer{TLSClientConfig: server.Client().Transport.(*http.Transport).TLSClientConfig}
	c, res, err := dialer.DialContext(t.Context(), "wss"+strings.TrimPrefix(server.URL, "https"),
		nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	t.Cleanup(func() { _ = c.Close() })
	for range frames {
		kind, msg, err := c.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, websocket.BinaryMessage, kind)
		require.Len(t, msg, size)
	}
	_, _, err = c.ReadMessage()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.Equal(t, ws.CloseGoingAway, closed.Code)
	require.EqualValues(t, frames, slot.times.Load(), "whether a write will wait cannot be known")
}

// A close frame, in reply to one or after a fault, comes after a frame that was written in part,
// and nothing follows it.
func TestCloseFrameComesBetweenFrames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		send []byte
		code int
	}{
		"in order": {wstest.Masked(ws.CloseFrame, "\x03\xE8"), ws.CloseNormal},
		"a fault":  {wstest.Masked(ws.Continuation, "of nothing"), ws.CloseProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const size = 100_000
			waits := make(chan struct{})
			s := serve(t, ws.Config{CloseTimeout: wstest.Timeout}, func(conn *ws.Conn) {
				var writer sync.WaitGroup
				defer writer.Wait()
				writer.Go(func() {
					var slot countingSlot
					var once sync.Once
					for long := ws.AppendFrame(nil, ws.Binary,
						bytes.Repeat([]byte{'y'}, size)); conn.Push(long, &slot) == nil; {
						if slot.times.Load() > 0 {
							once.Do(func() { close(waits) })
						}
					}
				})
				_, _, err := conn.Read()
				require.Error(t, err)
			})
			c := s.Dial(t)
			for {
				f, err := c.Next() // whole, or the payload of the last would end the test
				require.NoError(t, err)
				if f.Op == ws.CloseFrame {
					require.Equal(t, []byte{byte(test.code >> 8), byte(test.code)}, f.Payload[:2])
					break
				}
				require.Equal(t, strings.Repeat("y", size), string(f.Payload))
				select {
				case <-waits:
					c.Send(test.send)
					waits = nil
				default:
				}
			}
			_, err := c.Next()
			require.Error(t, err, "nothing comes after a close frame")
		})
	}
}

func TestCloseReachesAClientThatKeepsSending(t *testing.T) {
	t.Parallel()
	s := serve(t, ws.Config{}, func(conn *ws.Conn) {
		_, _, err := conn.Read()
		require.NoError(t, err)
		conn.Close(ws.ClosePolicy, strings.Repeat("too long a reason ", 20))
		for err == nil {
			_, _, err = conn.Read()
		}
	})
	c := s.Dial(t)
	for range 100 {
		c.Send(wstest.Masked(ws.Text, strings.Repeat("z", 1000)))
	}
	f, err := c.Next()
	require.NoError(t, err)
	require.Equal(t, ws.CloseFrame, f.Op)
	require.Equal(t, []byte{1008 >> 8, 1008 & 0xFF}, f.Payload[:2])
	c.Send(wstest.Masked(ws.CloseFrame, ""))
	_, err = c.Next()
	require.Error(t, err)
}

func TestAcceptRefusesForeignOrigins(t *testing.T) {
	t.Parallel()
	s := serve(t, ws.Config{}, echo)
	req, err := http.NewRequest(http.MethodGet, "http"+strings.TrimPrefix(s.URL, "ws"), nil)
	require.NoError(t, err)
	for k, v := range map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "https://elsewhere.example",
	} {
		req.Header.Set(k, v)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusForbidden, res.StatusCode)
}

func FuzzRead(f *testing.F) {
	f.Add(wstest.Masked(ws.Text, "hello"))
	f.Add(append(wstest.Fragment(ws.Text, "a"), wstest.Masked(ws.Ping, "b")...))
	f.Add([]byte{0x81, 0xFE, 0xFF, 0xFF})
	var wait sync.WaitGroup
	server := httptest.NewServer(accept(&wait,
		ws.Config{MaxMessage: maxMessage, CloseTimeout: time.Millisecond}, echo))
	f.Cleanup(func() { server.Close(); wait.Wait() })
	s := wstest.Server{URL: "ws" + strings.TrimPrefix(server.URL, "http")}
	f.Fuzz(func(t *testing.T, frames []byte) {
		c := s.Dial(t)
		c.Send(frames)
		require.NoError(t, c.Conn.(*net.TCPConn).CloseWrite())
		for { // only whole frames come back, and then the end
			if _, err := c.Next(); err != nil {
				return
			}
		}
	})
}
