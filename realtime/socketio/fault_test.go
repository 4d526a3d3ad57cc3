package socketio_test

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

func TestP6_ClientsThatNeverReadDelayNoOthers(t *testing.T) {
	n := realtimetest.Start(t, nil, func(c *realtime.Config) { c.RingBytes = 1 << 20 })
	s := serve(t, socketio.NewRooms(socketio.Config{
		Access: access, Engine: engineio.Config{WriteTimeout: 500 * time.Millisecond},
	}, n.Hub))
	connect := func(user string) *wstest.Client {
		c := s.Dial(t)
		auth := `40{"token":"` + user + `:admin","rooms":["class:7a"]}`
		exchange(t, c, []string{auth}, `40{"sid":"…`)
		return c
	}
	realtimetest.SlowClients(t, n, connect, "2", "3")
}

func TestP10_NothingIsSentAfterTheTokenHasExpired(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	s := serve(t, socketio.NewRooms(socketio.Config{Access: access}, n.Hub))
	c := s.Dial(t)
	exchange(t, c, []string{`40{"token":"ann:admin:300ms","rooms":["class:a"]}`}, `40{"sid":"…`)
	expires := time.Now().Add(300 * time.Millisecond)
	for i := 0; time.Now().Before(expires.Add(100 * time.Millisecond)); i++ {
		realtimetest.Publish(t, n.Log, realtimetest.School, fmt.Sprint(i),
			realtimetest.Notice(fmt.Sprint(i), "a"))
	}
	late := realtimetest.Publish(t, n.Log, realtimetest.School, "late",
		realtimetest.Notice("late", "a"))
	for {
		f, err := c.Next()
		require.NoError(t, err)
		if f.Op == ws.CloseFrame {
			return
		}
		require.NotContains(t, string(f.Payload), late.String()+`"`)
	}
}

func TestP10_WhoMayConnect(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	addr := front(t, n, socketio.Config{})
	for _, test := range []struct {
		origin, query, bearer string
		status                int
	}{
		{"", "", "", 200},
		{"http://" + addr, "", "", 200},
		{"https://elsewhere.example", "", "", 403},
		{"null", "", "", 403},
		{"", "&token=ann:admin", "", 400},
		{"", "&access_token=ann:admin", "", 400},
		{"", "", "ann:admin", 200},
		{"", "", "nonsense", 401},
		{"https://elsewhere.example", "", "ann:admin", 403},
	} {
		status := handshake(t, "http://"+addr+"/socket.io/?EIO=4&transport=polling"+test.query,
			test.origin, test.bearer)
		require.Equal(t, test.status, status, "%+v", test)
	}
}

// Silent sessions of strangers keep nobody out, on either transport.
func TestTheOldestSilentSessionGoesForANewOne(t *testing.T) {
	t.Parallel()
	n := realtimetest.Start(t, nil, nil)
	limited := &realtime.Access{
		Verify: access.Verify, PreAuth: realtime.PreAuth{PerAddress: 2},
	}
	s := serve(t, socketio.NewRooms(socketio.Config{Access: limited}, n.Hub))
	polls := "http" + strings.TrimPrefix(strings.Replace(s.URL, "websocket", "polling", 1), "ws")
	open := func(bearer string) (sid string) {
		status, body := get(t, polls, bearer)
		require.Equal(t, http.StatusOK, status, body)
		return regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(body)[1]
	}
	connect := func(c *wstest.Client) {
		t.Helper()
		exchange(t, c, []string{`40{"token":"ann:admin"}`}, `40{"sid":"…`)
	}
	oldest := s.Dial(t)
	poll := open("")
	for range 5 {
		open("ann:admin") // shown with the request, so it does not wait
	}
	newest := s.Dial(t)
	expectClose(t, oldest, realtime.CloseFull.Code)
	bearer := s.Dial(t)
	_, body := get(t, polls+"&sid="+poll, "")
	require.Equal(t, "1", body, "the session was closed")
	connect(newest)
	connect(bearer)
}

// get returns the status and the body of a response.
func get(t *testing.T, url, bearer string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(b)
}

// handshake requests a long-polling session and returns the status.
func handshake(t *testing.T, url, origin, bearer string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if origin != "" {
		req.Header.Set("Origin", origin)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}
