package engineio_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const maxPayload = 10_000

// fixture is a server that returns each message, and a client.
type fixture struct {
	*testing.T
	server *engineio.Server
	url    string
	client *http.Client

	mu       sync.Mutex
	handlers []*echo
	closed   chan engineio.Reason
}

// echo sends back each message, and sends what a test gives it.
type echo struct {
	*engineio.Session
	fixture *fixture

	mu      sync.Mutex
	pending []string
}

func (e *echo) Message(binary bool, data []byte) error {
	e.Send(engineio.Packet{Type: engineio.Message, Binary: binary, Data: data})
	return nil
}

func (e *echo) Next(out *engineio.Batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.pending) > 0 && !out.Full() {
		out.Text([]byte(e.pending[0]))
		e.pending = e.pending[1:]
	}
}

func (e *echo) Closed(r engineio.Reason) { e.fixture.closed <- r }

func (e *echo) give(messages ...string) {
	e.mu.Lock()
	e.pending = append(e.pending, messages...)
	e.mu.Unlock()
	e.Wake()
}

// setup starts a server. Timers that a test does not set never fire.
func setup(t *testing.T, cfg engineio.Config) *fixture {
	t.Helper()
	if cfg.PingInterval == 0 {
		cfg.PingInterval = time.Hour
	}
	cfg.MaxPayload = maxPayload
	w := &fixture{T: t, closed: make(chan engineio.Reason, 1000)}
	w.server = engineio.New(cfg,
		func(s *engineio.Session, _ *http.Request) (engineio.Handler, error) {
			e := &echo{Session: s, fixture: w}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.handlers = append(w.handlers, e)
			return e, nil
		})
	front := httptest.NewServer(w.server)
	w.url = front.URL + "/engine.io/?EIO=4&transport="
	w.client = front.Client()
	w.client.Timeout = wstest.Timeout
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Timeout)
		defer cancel()
		require.NoError(t, w.server.Shutdown(ctx))
		front.Close()
		w.client.CloseIdleConnections()
	})
	return w
}

func (w *fixture) newest() *echo {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.handlers[len(w.handlers)-1]
}

func (w *fixture) reason() engineio.Reason {
	w.Helper()
	select {
	case r := <-w.closed:
		return r
	case <-time.After(wstest.Timeout):
		require.Fail(w, "no session has ended")
		return ""
	}
}

func (w *fixture) do(method, url, payload string) (status int, body string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, strings.NewReader(payload))
	require.NoError(w, err)
	res, err := w.client.Do(req)
	require.NoError(w, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(w, err)
	return res.StatusCode, string(b)
}

type handshake struct {
	SID          string   `json:"sid"`
	Upgrades     []string `json:"upgrades"`
	PingInterval int      `json:"pingInterval"`
	PingTimeout  int      `json:"pingTimeout"`
	MaxPayload   int      `json:"maxPayload"`
}

func (w *fixture) handshake(packet string) (h handshake) {
	w.Helper()
	require.True(w, strings.HasPrefix(packet, "0"), packet)
	require.NoError(w, json.Unmarshal([]byte(packet[1:]), &h, json.RejectUnknownMembers(true)))
	return h
}

// poll opens a long-polling session and returns its URL.
func (w *fixture) poll() string {
	w.Helper()
	status, body := w.do("GET", w.url+"polling", "")
	require.Equal(w, 200, status)
	return w.url + "polling&sid=" + w.handshake(body).SID
}

func (w *fixture) get(url string) (int, string) { w.Helper(); return w.do("GET", url, "") }
func (w *fixture) post(
	url, body string,
) (int, string) {
	w.Helper()
	return w.do("POST", url, body)
}

// stream opens a WebSocket; sid is empty for a session of its own.
func (w *fixture) stream(sid string) *wstest.Client {
	w.Helper()
	url := "ws" + strings.TrimPrefix(w.url, "http") + "websocket"
	if sid != "" {
		url += "&sid=" + sid
	}
	return wstest.Server{URL: url}.Dial(w)
}

func (w *fixture) expect(c *wstest.Client, op ws.Opcode, payload string) {
	w.Helper()
	f, err := c.Next()
	require.NoError(w, err)
	require.Equal(w, op, f.Op, "%q", f.Payload)
	require.Equal(w, payload, string(f.Payload))
}

func (w *fixture) expectEnd(c *wstest.Client) {
	w.Helper()
	for {
		f, err := c.Next()
		if err != nil {
			return
		}
		require.Equal(w, ws.CloseFrame, f.Op, "%q", f.Payload)
	}
}

func text(s string) []byte { return wstest.Masked(ws.Text, s) }

func sidOf(url string) string { _, sid, _ := strings.Cut(url, "&sid="); return sid }

func TestHandshake(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{PingInterval: 25 * time.Second, PingTimeout: 20 * time.Second})
	status, body := w.get(w.url + "polling")
	require.Equal(t, 200, status)
	h := w.handshake(body)
	require.NotEmpty(t, h.SID)
	require.Equal(t, handshake{h.SID, []string{"websocket"}, 25_000, 20_000, maxPayload}, h)

	f, err := w.stream("").Next()
	require.NoError(t, err)
	h = w.handshake(string(f.Payload))
	require.Empty(t, h.Upgrades)
	require.Equal(t, 2, w.server.Len())
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	base := strings.TrimSuffix(w.url, "EIO=4&transport=")
	for _, c := range []struct{ method, query, message string }{
		{"GET", "transport=polling", "version"},
		{"GET", "EIO=3&transport=polling", "version"},
		{"GET", "EIO=abc&transport=polling", "version"},
		{"GET", "EIO=4", "Transport"},
		{"GET", "EIO=4&transport=abc", "Transport"},
		{"POST", "EIO=4&transport=polling", "method"},
		{"PUT", "EIO=4&transport=polling", "method"},
		{"GET", "EIO=4&transport=websocket", "Bad request"},
		{"GET", "EIO=4&transport=polling&sid=unknown", "Session ID"},
		{"POST", "EIO=4&transport=polling&sid=unknown", "Session ID"},
		{"GET", "EIO=4&transport=websocket&sid=unknown", "Session ID"},
		{"PUT", "EIO=4&transport=polling&sid=" + sidOf(w.poll()), "Bad request"},
	} {
		status, body := w.do(c.method, base+c.query, "")
		require.Equal(t, 400, status, c.query)
		require.Contains(t, body, c.message, c.query)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{AllowOrigin: func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		return origin == "" || origin == "https://school.example"
	}})
	for origin, status := range map[string]int{
		"https://school.example":    200,
		"https://elsewhere.example": 403, "null": 403, "": 200,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"polling", nil)
		require.NoError(t, err)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := w.client.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, status, res.StatusCode, origin)
		if status == 200 {
			require.Equal(t, origin, res.Header.Get("Access-Control-Allow-Origin"))
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, w.url+"polling", nil)
	require.NoError(t, err)
	req.Header.Set("Origin", "https://school.example")
	res, err := w.client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 204, res.StatusCode)
	require.Contains(t, res.Header.Get("Access-Control-Allow-Methods"), "POST")
}

func TestPollingCarriesMessagesBothWays(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	url := w.poll()
	for _, payload := range []string{
		"4hello", "4test1\x1e4test2\x1e4test3",
		"4hello\x1ebAQIDBA==",
	} {
		status, body := w.post(url, payload)
		require.Equal(t, 200, status)
		require.Equal(t, "ok", body)
		_, body = w.get(url)
		require.Equal(t, payload, body)
	}
	w.newest().give("from", "the handler")
	_, body := w.get(url)
	require.Equal(t, "4from\x1e4the handler", body)

	reply := make(chan string)
	go func() { _, body := w.get(url); reply <- body }() // waits
	w.newest().give("at last")
	require.Equal(t, "4at last", <-reply)
}

func TestWhatEndsAPollingSession(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	gone := func(url string) {
		t.Helper()
		status, _ := w.get(url)
		require.Equal(t, 400, status)
	}

	url := w.poll()
	status, _ := w.post(url, "abc")
	require.Equal(t, 400, status)
	require.Equal(t, engineio.ParseError, w.reason())
	gone(url)

	url = w.poll()
	status, _ = w.post(url, "4"+strings.Repeat("x", maxPayload))
	require.Equal(t, 413, status)
	require.Equal(t, engineio.TransportError, w.reason())
	gone(url)

	url = w.poll()
	status, _ = w.post(url, "2") // only the server sends pings
	require.Equal(t, 400, status)
	require.Equal(t, engineio.ParseError, w.reason())

	url = w.poll()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	cancelled := make(chan struct{})
	go func() { defer close(cancelled); _, _ = w.client.Do(req) }()
	w.awaitPoll(url)
	cancel()
	<-cancelled
	require.Equal(t, engineio.TransportError, w.reason())
	gone(url)
}

// awaitPoll returns when a request of another goroutine waits for packets.
func (w *fixture) awaitPoll(url string) {
	w.Helper()
	require.Eventually(w, func() bool { return w.server.Polls(sidOf(url)) }, wstest.Timeout,
		time.Millisecond)
}

func TestSecondPollEndsTheSession(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	url := w.poll()
	reply := make(chan string)
	go func() { _, body := w.get(url); reply <- body }()
	w.awaitPoll(url)
	status, _ := w.get(url)
	require.Equal(t, 400, status)
	require.Equal(t, "1", <-reply)
	status, _ = w.get(url)
	require.Equal(t, 400, status)
}

func TestClientClosesAPollingSession(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	t.Run("while a poll waits", func(t *testing.T) {
		url := w.poll()
		reply := make(chan string)
		go func() { _, body := w.get(url); reply <- body }()
		w.awaitPoll(url)
		status, _ := w.post(url, "1")
		require.Equal(t, 200, status)
		require.Equal(t, "6", <-reply)
		require.Equal(t, engineio.TransportClose, w.reason())
		status, _ = w.get(url)
		require.Equal(t, 400, status)
	})
	t.Run("before the poll that goes with it", func(t *testing.T) {
		url := w.poll()
		_, _ = w.post(url, "1")
		status, body := w.get(url)
		require.Equal(t, 200, status)
		require.Equal(t, "6", body)
		status, _ = w.get(url)
		require.Equal(t, 400, status)
	})
}

func TestWebSocketCarriesMessagesBothWays(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	c := w.stream("")
	_, err := c.Next()
	require.NoError(t, err)
	c.Send(text("4hello"), wstest.Masked(ws.Binary, "\x01\x02"))
	w.expect(c, ws.Text, "4hello")
	w.expect(c, ws.Binary, "\x01\x02")
	w.newest().give("one", "two")
	w.expect(c, ws.Text, "4one")
	w.expect(c, ws.Text, "4two")
	c.Send(text("abc"))
	w.expectEnd(c)
	require.Equal(t, engineio.ParseError, w.reason())

	c = w.stream("")
	_, err = c.Next()
	require.NoError(t, err)
	c.Send(text("1"))
	w.expectEnd(c)
	require.Equal(t, engineio.TransportClose, w.reason())
}

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	w := setup(t,
		engineio.Config{PingInterval: 20 * time.Millisecond, PingTimeout: 500 * time.Millisecond})
	url := w.poll()
	c := w.stream("")
	_, err := c.Next()
	require.NoError(t, err)
	for range 3 {
		_, body := w.get(url)
		require.Equal(t, "2", body)
		status, _ := w.post(url, "3")
		require.Equal(t, 200, status)
		w.expect(c, ws.Text, "2")
		c.Send(text("3"))
	}
	require.Empty(t, w.closed)
	w.expect(c, ws.Text, "2") // and from now on neither replies
	w.expectEnd(c)
	require.Equal(t, engineio.PingTimeout, w.reason())
	require.Equal(t, engineio.PingTimeout, w.reason())
	status, _ := w.get(url)
	require.Equal(t, 400, status)
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	url := w.poll()
	reply := make(chan string)
	go func() { _, body := w.get(url); reply <- body }()
	w.awaitPoll(url)

	c := w.stream(sidOf(url))
	c.Send(text("2probe"))
	w.expect(c, ws.Text, "3probe")
	require.Equal(t, "6", <-reply, "the waiting poll ends")
	_, body := w.get(url)
	require.Equal(t, "6", body, "and so does one that comes during the upgrade")

	w.newest().give("between")
	c.Send(text("5"), text("4hello"))
	got := map[string]bool{}
	for range 2 {
		f, err := c.Next()
		require.NoError(t, err)
		got[string(f.Payload)] = true
	}
	require.Equal(t, map[string]bool{"4between": true, "4hello": true}, got)

	status, _ := w.get(url)
	require.Equal(t, 400, status, "the session has left long-polling")
	status, _ = w.post(url, "4x")
	require.Equal(t, 400, status)
	w.expectEnd(w.stream(sidOf(url))) // nor can it move again
	c.Send(text("4still here"))
	w.expect(c, ws.Text, "4still here")
	require.Empty(t, w.closed)
}

func TestUpgradeThatFailsLeavesTheSessionAlone(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{UpgradeTimeout: 20 * time.Millisecond})
	url := w.poll()
	for _, frames := range [][][]byte{
		{text("4hello")},             // no probe
		{text("2probe"), text("4x")}, // no upgrade
		{text("2probe")},             // nothing more
		{wstest.Masked(ws.CloseFrame, "")},
		nil,
	} {
		c := w.stream(sidOf(url))
		c.Send(frames...)
		for {
			if f, err := c.Next(); err != nil || f.Op == ws.CloseFrame {
				break
			}
		}
		require.NoError(t, c.Close())
		w.newest().give("hello")
		for body := ""; body != "4hello"; {
			var status int
			status, body = w.get(url)
			require.Equal(t, 200, status)
			require.Contains(t, []string{"4hello", "6"}, body)
		}
	}
	require.Empty(t, w.closed)
}

func TestServerCloses(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	c := w.stream("")
	_, err := c.Next()
	require.NoError(t, err)
	e := w.newest()
	e.Send(engineio.Packet{Type: engineio.Message, Data: []byte("last words")})
	e.Close(engineio.ServerClose, 3001, "shutdown")
	e.Close(engineio.ServerClose, 3002, "again")
	w.expect(c, ws.Text, "4last words")
	w.expect(c, ws.CloseFrame, "\x0b\xb9shutdown")
	require.Equal(t, engineio.ServerClose, w.reason())

	url := w.poll()
	e = w.newest()
	e.Send(engineio.Packet{Type: engineio.Message, Data: []byte("last words")})
	e.Close(engineio.ServerClose, 3001, "shutdown")
	_, body := w.get(url)
	require.Equal(t, "4last words\x1e1", body)
	status, _ := w.get(url)
	require.Equal(t, 400, status)
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{MaxSessions: 1})
	url := w.poll()
	status, _ := w.get(w.url + "polling")
	require.Equal(t, 503, status)
	_, _ = w.post(url, "abc")
	w.poll()
}

func TestRawFrames(t *testing.T) {
	t.Parallel()
	w := setup(t, engineio.Config{})
	wstest.Run(t, wstest.Server{
		URL: "ws" + strings.TrimPrefix(w.url, "http") + "websocket", Greetings: 1,
		Message: "4grüße", Reply: "4grüße", MaxMessage: maxPayload,
	})
}
