package sse_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/sse"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func serve(t *testing.T, hub *realtime.Hub, change func(*sse.Config)) string {
	t.Helper()
	cfg := sse.Config{Hub: hub, Access: rt.Access()}
	if change != nil {
		change(&cfg)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /v1/schools/{school}/stream", sse.Handler(cfg))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/v1/schools/" + rt.School + "/stream"
}

type message struct{ id, event, data string }

// listen connects and returns a function that waits for the next message.
func listen(
	t *testing.T, url, token string, header ...string,
) (*http.Response, func() (message, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	require.NoError(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() { cancel(); _ = res.Body.Close(); transport.CloseIdleConnections() })
	lines := bufio.NewScanner(res.Body)
	return res, func() (m message, err error) {
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data = value
			case "":
				if m.event != "" {
					return m, nil
				}
			}
		}
		return m, io.EOF
	}
}

func TestP6_LastEventIDRecoversWhatWasMissed(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, nil)
	_, next := listen(t, url+"?rooms=class:a", "head admin")
	m, err := next()
	require.NoError(t, err)
	require.Equal(t, "open", m.event)
	require.Contains(t, m.data, `"rooms":["user:head","role:admin","class:a"]`)
	first := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	rt.Publish(t, n.Log, rt.School, "2", rt.Notice("2", "b"))
	m, err = next()
	require.NoError(t, err)
	require.Equal(t, first.String(), m.id)
	require.Equal(t, "event", m.event)
	require.Contains(t, m.data, `"type":"schoolbell.announcement.posted.v1"`)
	require.Contains(t, m.data, `"position":"`+first.String()+`"`)

	var missed []string
	for i := range 3 {
		missed = append(missed,
			rt.Publish(t, n.Log, rt.School, "m"+strconv.Itoa(i), rt.Notice("m", "a")).String())
	}
	for _, header := range [][]string{{"Last-Event-ID", first.String()}, nil} {
		url := url + "?rooms=class:a"
		if header == nil {
			url += "&after=" + first.String()
		}
		_, next = listen(t, url, "head admin", header...)
		_, err = next()
		require.NoError(t, err)
		for _, want := range missed {
			m, err := next()
			require.NoError(t, err)
			require.Equal(t, want, m.id)
		}
	}
}

func TestP6_UnservablePositionsAreReported(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, nil) + "?rooms=class:a"
	for _, id := range []string{"nonsense", "3:99999", "1:0", "2:7"} {
		_, next := listen(t, url, "head admin", "Last-Event-ID", id)
		_, err := next()
		require.NoError(t, err)
		m, err := next()
		require.NoError(t, err)
		require.Equal(t, "resync", m.event, id)
		require.Contains(t, m.data, `"reason":`)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.MaxPerUser = 1 })
	url := serve(t, n.Hub, nil)
	for name, test := range map[string]struct {
		url, token string
		header     []string
		status     int
	}{
		"nothing at all": {url, "", nil, 401},
		"no token, own origin": {
			url, "",
			[]string{"Origin", strings.SplitAfter(url, "/v1")[0]},
			401,
		},
		"a bad token":          {url, "bad", nil, 401},
		"a token in the query": {url + "?token=x", "head admin", nil, 400},
		"a foreign origin": {
			url, "head admin",
			[]string{"Origin", "https://elsewhere.example"},
			403,
		},
		"no real origin": {url, "head admin", []string{"Origin", "null"}, 403},
		"another school": {
			strings.Replace(url, rt.School, "elsewhere", 1), "head admin", nil,
			403,
		},
		"a foreign room":      {url + "?rooms=user:other", "head admin", nil, 403},
		"nonsense for a room": {url + "?rooms=kitchen", "head admin", nil, 400},
	} {
		res, _ := listen(t, test.url, test.token, test.header...)
		require.Equal(t, test.status, res.StatusCode, name)
		require.Equal(t, "application/problem+json", res.Header.Get("Content-Type"), name)
	}
	res, _ := listen(t, url, "busy admin")
	require.Equal(t, 200, res.StatusCode)
	res, _ = listen(t, url, "busy admin")
	require.Equal(t, 429, res.StatusCode)
}

func TestCloseSaysWhetherToReconnect(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.DashboardInterval = time.Millisecond })
	_, next := listen(t, serve(t, n.Hub, func(c *sse.Config) { c.Heartbeat = time.Millisecond })+
		"?rooms=dashboard:fees", "head admin")
	_, err := next()
	require.NoError(t, err)
	n.Changed(realtime.Changed{
		School: rt.School, Projections: []string{"fees"},
		Position: domain.Position{Partition: 1, Offset: 9},
	})
	m, err := next()
	require.NoError(t, err)
	require.Equal(t, message{event: "update", data: `{"projection":"fees","position":"1:9"}`}, m)
	n.Drain(t.Context(), time.Millisecond)
	m, err = next()
	require.NoError(t, err)
	require.Equal(t,
		message{event: "close", data: `{"code":3001,"reason":"shutdown","reconnect":true}`}, m)
	_, err = next()
	require.ErrorIs(t, err, io.EOF)
}

func TestStreamsOutliveTheTimeLimitsOfRequests(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	mux := http.NewServeMux()
	mux.Handle("GET /v1/schools/{school}/stream",
		sse.Handler(sse.Config{Hub: n.Hub, Access: rt.Access(), Heartbeat: 20 * time.Millisecond}))
	s := httptest.NewUnstartedServer(mux)
	s.Config.ReadTimeout, s.Config.WriteTimeout = 100*time.Millisecond, 100*time.Millisecond
	s.Start()
	t.Cleanup(s.Close)
	res, _ := listen(t, s.URL+"/v1/schools/"+rt.School+"/stream", "may admin")
	lines := bufio.NewScanner(res.Body)
	for beats := 0; beats < 20; {
		require.True(t, lines.Scan(), "the stream has ended after %d beats", beats)
		if lines.Text() == ": still here" {
			beats++
		}
	}
}
