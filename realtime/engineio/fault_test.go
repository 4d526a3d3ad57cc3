package engineio_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

// bystander is a well-behaved client; what others do must not disturb it.
func (w *fixture) bystander() (check func()) {
	c := w.stream("")
	_, err := c.Next()
	require.NoError(w, err)
	return func() {
		w.Helper()
		require.NoError(w, c.SetDeadline(time.Now().Add(wstest.Timeout)))
		c.Send(text("4ping"))
		w.expect(c, ws.Text, "4ping")
	}
}

// flood sends frames until the server takes no more, and returns how many bytes it took.
func flood(t *testing.T, c *wstest.Client, frames []byte, atMost int) int {
	t.Helper()
	sent := 0
	for sent < atMost {
		require.NoError(t, c.SetWriteDeadline(time.Now().Add(wstest.Timeout)))
		n, err := c.Write(frames)
		sent += n
		if err != nil {
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded,
				"the server neither reads nor closes")
			return sent
		}
	}
	return sent
}

// Clients that send requests and never read the replies.
func TestClientThatDoesNotReadRepliesIsNotReadFrom(t *testing.T) {
	w := setup(t, engineio.Config{WriteTimeout: 200 * time.Millisecond})
	check := w.bystander()
	before := wstest.Heap()
	for name, frame := range map[string][]byte{
		"messages": text("4" + strings.Repeat("x", 1000)),
		"pings":    wstest.Masked(ws.Ping, strings.Repeat("p", 125)),
	} {
		c := w.stream("")
		const most = 256 << 20
		sent := flood(t, c, bytes.Repeat(frame, 64), most)
		require.Less(t, sent, most, "%s: the server must stop reading", name)
		require.Contains(t, []engineio.Reason{engineio.TransportError, engineio.TransportClose},
			w.reason())
		check()
	}
	require.Less(t, wstest.Heap()-before, int64(16<<20))
}

// The same with long-polling: many messages, and never a poll.
func TestClientThatNeverPollsIsNotReadFrom(t *testing.T) {
	t.Parallel()
	w := setup(t,
		engineio.Config{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond})
	url := w.poll()
	messages := strings.TrimSuffix(strings.Repeat("4"+strings.Repeat("x", 98)+"\x1e", 99), "\x1e")
	for range 1000 {
		if status, _ := w.post(url, messages); status != 200 {
			require.Equal(t, engineio.PingTimeout, w.reason())
			return
		}
	}
	require.Fail(t, "ten megabytes of replies are queued for a client that never polls")
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	check := w.bystander()
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := make([]byte, 1+random.IntN(2000))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		switch random.IntN(4) {
		case 0: // instead of frames
			c := w.stream("")
			c.Send(b)
			require.NoError(t, c.Close())
		case 1: // in frames
			c := w.stream("")
			c.Send(wstest.Masked(ws.Binary, string(b)), text(string(b)))
			require.NoError(t, c.Close())
		case 2: // by request
			w.post(w.poll(), string(b))
		default: // instead of an upgrade
			c := w.stream(sidOf(w.poll()))
			c.Send(b)
			require.NoError(t, c.Close())
		}
	}
	check()
}

func TestCompressedBombs(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	check := w.bystander()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(bytes.Repeat([]byte("4"), 8<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	require.Less(t, bomb.Len(), maxPayload)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.poll(), &bomb)
	require.NoError(t, err)
	req.Header.Set("Content-Encoding", "gzip")
	res, err := w.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 400, res.StatusCode)

	// WebSocket compression is never negotiated, even if offered; TestRawFrames sends compressed
	// frames all the same.
	req, err = http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"websocket", nil)
	require.NoError(t, err)
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key":        "dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits",
	} {
		req.Header.Set(k, v)
	}
	res, err = w.client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	require.Empty(t, res.Header.Get("Sec-WebSocket-Extensions"))
	check()
}

func TestFragmentsWithoutEnd(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	check := w.bystander()
	c := w.stream("")
	_, err := c.Next()
	require.NoError(t, err)
	c.Send(wstest.Fragment(ws.Text, "4"))
	for range maxPayload {
		c.Send(wstest.Fragment(ws.Continuation, "x"))
	}
	f, err := c.Next()
	if err == nil { // the rest of the fragments may have reset the connection
		require.Equal(t, ws.CloseFrame, f.Op)
	}
	require.Equal(t, engineio.TransportError, w.reason())
	check()
}

func TestRequestBodyThatNeverComes(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{WriteTimeout: 50 * time.Millisecond})
	url := w.poll()
	body, _ := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, body)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		res, err := w.client.Do(req)
		if err == nil {
			err = errors.Join(res.Body.Close(), errors.New(res.Status))
		}
		done <- err
	}()
	require.Equal(t, engineio.TransportError, w.reason())
	require.NoError(t, body.Close())
	require.Error(t, <-done)
}

// A peer that vanishes without closing is detected by its silence, even in the middle of a write.
func TestHalfOpenConnection(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{
		PingInterval: 50 * time.Millisecond,
		PingTimeout:  50 * time.Millisecond, WriteTimeout: time.Hour,
	})
	c := w.stream("")
	require.NoError(t, c.Conn.(*net.TCPConn).SetReadBuffer(64<<10))
	_, err := c.Next()
	require.NoError(t, err)
	big := strings.Repeat("x", 1<<20)
	for range 16 {
		w.newest().give(big) // more than the kernel takes
	}
	require.Equal(t, engineio.PingTimeout, w.reason())
}

// A session that is accepted during a shutdown is closed like the others, and the shutdown waits
// for it.
func TestShutdownEndsASessionThatIsOpening(t *testing.T) {
	t.Parallel()
	for _, transport := range []string{"polling", "websocket"} {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			var accepted atomic.Int32
			arrived, goOn, closed := make(chan struct{}), make(chan struct{}),
				make(chan engineio.Reason, 1)
			server := engineio.New(engineio.Config{PingInterval: time.Hour, MaxPayload: maxPayload},
				func(*engineio.Session, *http.Request) (engineio.Handler, error) {
					if accepted.Add(1) > 1 {
						return nil, errors.New("not you")
					}
					close(arrived)
					<-goOn
					return silent(closed), nil
				})
			front := httptest.NewServer(server)
			defer front.Close()
			go func() {
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet,
					front.URL+"/engine.io/?EIO=4&transport="+transport, nil)
				if transport == "websocket" {
					r.Header = http.Header{
						"Connection": {"Upgrade"}, "Upgrade": {"websocket"},
						"Sec-Websocket-Version": {"13"},
						"Sec-Websocket-Key":     {"dGhlIHNhbXBsZSBub25jZQ=="},
					}
				}
				if resp, err := front.Client().Do(r); err == nil {
					_ = resp.Body.Close()
				}
			}()
			<-arrived
			ended := make(chan error, 1)
			go func() { ended <- server.Shutdown(t.Context()) }()
			require.Eventually(t, func() bool {
				resp, err := front.Client().Get(front.URL + "/engine.io/?EIO=4&transport=polling")
				require.NoError(t, err)
				_ = resp.Body.Close()
				return resp.StatusCode == http.StatusServiceUnavailable
			}, wstest.Timeout, time.Millisecond)
			require.Empty(t, ended, "it waits for the session that is opening")
			close(goOn)
			require.NoError(t, <-ended)
			require.Equal(t, engineio.ServerClose, <-closed)
		})
	}
}

// silent is a handler that only reports its end.
type silent chan engineio.Reason

func (silent) Message(bool, []byte) error { return nil }
func (silent) Next(*engineio.Batch)       {}
func (s silent) Closed(r engineio.Reason) { s <- r }
