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

// What happens between the connection and the first event is not lost with the connection.
func TestP6_TheFirstMessageHasAnID(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, nil) + "?rooms=class:a"
	for i := range 3 { // nothing was received before, nor in any connection since
		_, next := listen(t, url, "head admin")
		opened, err := next()
		require.NoError(t, err)
		require.Equal(t, "open", opened.event)
		missed := rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), rt.Notice("n", "a"))
		for range 2 {
			_, next = listen(t, url, "head admin", "Last-Event-ID", opened.id)
			again, err := next()
			require.NoError(t, err)
			require.Equal(t, opened.id, again.id, "it is as of what the client has received")
			m, err := next()
			require.NoError(t, err)
			require.Equal(t, missed.String(), m.id)
		}
	}
	// An id that is of no use is replaced together with the news of it, not before.
	_, next := listen(t, url, "head admin", "Last-Event-ID", "3:99999")
	m, err := next()
	require.NoError(t, err)
	require.Equal(t, "open", m.event)
	require.Empty(t, m.id)
	m, err = next()
	require.NoError(t, err)
	require.Equal(t, "resync", m.event)
	require.NotEmpty(t, m.id)
}

// The client of a quiet room is not too far behind when it comes back: it is sent ids without a
// message, which come with the comments.
func TestP6_ClientOfQuietRoomsIsSentIDs(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.MaxLag, c.RingBytes = 100, 1 })
	url := serve(t, n.Hub, func(c *sse.Config) { c.Heartbeat = time.Millisecond }) + "?rooms=class:quiet"
	res, _ := listen(t, url, "head admin")
	var last domain.Position
	for i := range 300 {
		last = rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), rt.Notice("n", "busy"))
	}
	lines := bufio.NewScanner(res.Body)
	for id := ""; id != "id: "+last.String(); {
		require.True(t, lines.Scan(), "the stream has ended after %q", id)
		if strings.HasPrefix(lines.Text(), "id: ") {
			id = lines.Text()
			require.True(t, lines.Scan())
			require.True(t, lines.Text() == "" || lines.Text() == "event: open", lines.Text())
		}
	}
}

func TestRoomsOfAStream(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, nil)
	for query, want := range map[string]string{
		"rooms=class:a&rooms=class:b":                      `"class:a","class:b"`,
		"rooms=class:a,class:b&rooms=school&rooms=":        `"class:a","class:b","school"`,
		"rooms=class:7a%2Cb":                               `"class:7a,b"`,
		"rooms=class:7a,b,class:7a,c&rooms=class%3A7a%2Cd": `"class:7a,b","class:7a,c","class:7a,d"`,
		"rooms=class:a&rooms=class:a":                      `"class:a"`,
	} {
		_, next := listen(t, url+"?"+query, "head admin")
		m, err := next()
		require.NoError(t, err)
		require.Contains(t, m.data, `"rooms":["user:head","role:admin",`+want+`]`, query)
	}
}

// One room that is no longer the client's does not cost it the others, nor its stream: the address
// that a browser connects to again names it for ever.
func TestARoomThatIsLostDoesNotEndTheStream(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	url := serve(t, n.Hub, nil)
	for _, test := range []struct {
		rooms, kept string
		header      []string
	}{
		{"dashboard:fees,class:a", `,"dashboard:fees"`, nil},
		{"class:a,dashboard:fees", `,"dashboard:fees"`, nil},
		{"class:a", "", []string{"Last-Event-ID", "1:-1"}},
	} {
		_, next := listen(t, url+"?rooms="+test.rooms, "may teacher", test.header...)
		m, err := next()
		require.NoError(t, err)
		require.Equal(t, "open", m.event)
		require.Contains(t, m.data, `"rooms":["user:may","role:teacher"`+test.kept+`]`)
		for m.event != "left" {
			m, err = next()
			require.NoError(t, err)
		}
		require.JSONEq(t, `{"room":"class:a"}`, m.data)
	}
}

// A browser never comes back after a status other than 200, so what passes is no status.
func TestEventSourceComesBackAfterWhatPasses(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.MaxPerUser, c.MaxRooms = 1, 3 })
	url := serve(t, n.Hub, nil)
	browser := []string{"Accept", "text/event-stream"}
	_, next := listen(t, url, "busy admin", browser...)
	_, err := next()
	require.NoError(t, err)
	passes := func(data string) {
		t.Helper()
		res, next := listen(t, url, "busy admin", browser...)
		require.Equal(t, 200, res.StatusCode)
		m, err := next()
		require.NoError(t, err)
		require.Equal(t, message{event: "close", data: data}, m)
		_, err = next()
		require.ErrorIs(t, err, io.EOF)
	}
	passes(`{"code":3022,"reason":"too many connections of one user","reconnect":true}`)
	for query, status := range map[string]int{
		"?rooms=class:a,class:b,class:c,class:d": 429, "?rooms=kitchen": 400, "?rooms=user:other": 403,
	} {
		res, _ := listen(t, url+query, "head admin", browser...)
		require.Equal(t, status, res.StatusCode, "it would fail again")
	}
	n.Drain(t.Context(), time.Millisecond)
	passes(`{"code":3001,"reason":"this node is shutting down","reconnect":true}`)
}
