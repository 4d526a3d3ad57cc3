package httpapi_test

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/httpapi"
)

func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	limited := httpapi.Listen(l, httpapi.Limits{Connections: 2})
	accepted := make(chan net.Conn)
	done := make(chan error, 1)
	go func() {
		for {
			c, err := limited.Accept()
			if err != nil {
				done <- err
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", l.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial()
	dial()
	first := <-accepted
	second := <-accepted
	require.Implements(t, (*syscall.Conn)(nil), second, "realtime writes to the socket itself")
	dial()
	select {
	case <-accepted:
		t.Fatal("a third connection was accepted")
	case <-time.After(20 * time.Millisecond):
	}
	require.NoError(t, first.Close())
	_ = first.Close() // closing it again frees nothing
	third := <-accepted
	require.NoError(t, limited.Close())
	require.ErrorIs(t, <-done, net.ErrClosed)
	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
}

func TestServerLimitsAreSet(t *testing.T) {
	t.Parallel()
	server := httpapi.Server(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	for _, limit := range []time.Duration{
		server.ReadHeaderTimeout, server.ReadTimeout,
		server.WriteTimeout, server.IdleTimeout,
	} {
		require.Positive(t, limit)
		require.LessOrEqual(t, limit, 2*time.Minute)
	}
	require.Greater(t, server.MaxHeaderBytes, 8<<10, "a token must fit in")
	require.LessOrEqual(t, server.MaxHeaderBytes, 64<<10)
}

// A request that a balancer sent to the wrong process says so.
func TestAProcessSaysWhoServesAPath(t *testing.T) {
	t.Parallel()
	s := logOnly(t)
	for path, says := range map[string]string{
		"/v1/schools/north/students":  "the role api",
		"/v1/schools/north/imports":   "both roles ingest and api",
		"/v1/schools/north/stream":    "the role realtime",
		"/socket.io/?transport=polls": "the role realtime",
		"/v2":                         "nothing at this path",
	} {
		resp, err := s.server.Client().Get(s.server.URL + path)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
		require.Contains(t, string(body), says, path)
	}
}
