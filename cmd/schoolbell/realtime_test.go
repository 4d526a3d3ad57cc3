package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	centrifuge "github.com/centrifugal/centrifuge-go"
	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/realtimetest/swarm"
)

// bearer signs a token for a user of a school.
func bearer(t *testing.T, school, user, role string, valid time.Duration) string {
	t.Helper()
	token, err := auth.Mint(testSecret, auth.Principal{
		Subject: user, School: school, Roles: []string{role}, Expires: time.Now().Add(valid),
	}, time.Now())
	require.NoError(t, err)
	return token
}

// notice is an event for one class.
func notice(school, id, class string) map[string]any {
	return event(school, id, "schoolbell.announcement.posted.v1", id, map[string]any{
		"announcement_id": id, "title": "Notice " + id, "body": time.Now().Format(time.RFC3339Nano), "channels": []string{"in_app"},
		"audience": map[string]any{"class_ids": []string{class}}, "urgent": false,
	})
}

// parsed is a position as the program prints it, with the name of its log.
func parsed(t *testing.T, s string) (at domain.LogPosition) {
	t.Helper()
	require.NoError(t, at.UnmarshalText([]byte(s)))
	require.NotEmpty(t, at.Log)
	return at
}

// startPosition publishes what a school's log begins with, and returns the position after it.
func (a *app) startPosition(t *testing.T, school string) domain.LogPosition {
	t.Helper()
	return parsed(t,
		a.publish(t, school, notice(school, "first", "other"), notice(school, "second", "other")))
}

// logOf reads the offsets of a school's notices after a position from the log, by class.
func (a *app) logOf(t *testing.T, school string, after domain.LogPosition) map[string][]int64 {
	t.Helper()
	offsets := map[string][]int64{}
	for next := after.String(); ; {
		resp, b := a.call(
			t, http.MethodGet, a.HTTP+"/v1/schools/"+school+"/events?limit=1000&after="+next, "",
		)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
		var page struct {
			Next   string `json:"next"`
			Events []struct {
				Position domain.LogPosition `json:"position"`
				Data     struct {
					Audience struct {
						ClassIDs []string `json:"class_ids"`
					} `json:"audience"`
				} `json:"data"`
			} `json:"events"`
		}
		require.NoError(t, json.Unmarshal(b, &page))
		if len(page.Events) == 0 {
			return offsets
		}
		for _, e := range page.Events {
			for _, class := range e.Data.Audience.ClassIDs {
				offsets[class] = append(offsets[class], e.Position.Offset)
			}
		}
		next = page.Next
	}
}

// send publishes events from other goroutines.
func (a *app) send(
	ctx context.Context, school string, events ...map[string]any,
) (at domain.LogPosition, err error) {
	body, err := json.Marshal(events)
	if err != nil {
		return at, err
	}
	r, err := http.NewRequestWithContext(
		ctx, http.MethodPost, a.HTTP+"/v1/schools/"+school+"/events", bytes.NewReader(body),
	)
	if err != nil {
		return at, err
	}
	r.Header.Set("Authorization", "Bearer "+a.token)
	r.Header.Set("Content-Type", "application/cloudevents-batch+json")
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return at, err
	}
	defer resp.Body.Close()
	var accepted struct {
		Position domain.LogPosition `json:"position"`
	}
	if resp.StatusCode != http.StatusAccepted {
		return at, fmt.Errorf("publish: %s", resp.Status)
	}
	err = json.UnmarshalRead(resp.Body, &accepted)
	return accepted.Position, err
}

// requireReceives waits until a client has received events up to an offset.
func requireReceives(t *testing.T, c *swarm.Client, offset int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		offsets := c.State().Offsets
		return len(offsets) > 0 && offsets[len(offsets)-1] >= offset
	}, time.Minute, 5*time.Millisecond, "%s: %+v", c.Kind, c.State().Ends)
}

// connect lets clients run until the test ends, or stop is called.
func connect(t *testing.T, clients ...*swarm.Client) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(func() { c.Run(ctx) })
	}
	stop = func() { cancel(); all.Wait() }
	t.Cleanup(stop)
	return stop
}

const socketClient = `
import { io } from 'socket.io-client';
const [url, token, from] = process.argv.slice(2);
const socket = io(url, { auth: { token, rooms: ['class:7a'], from } });
socket.on('connect', () => console.log('connected', socket.io.engine.transport.name));
socket.onAny((name, event) => { if (name.startsWith('schoolbell.')) console.log('received', event.position); });
`

// TestP6_AllClientsHearTheLog publishes over the API, and compares what the official clients of
// three protocols receive at the same time with the log.
func TestP6_AllClientsHearTheLog(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm", "promtool")
	a := startApp(t, nil)
	at := a.startPosition(t, "north")
	token := bearer(t, "north", "boss", "admin", time.Hour)

	script := realtimetest.JavaScript(t, socketClient, a.HTTP, token, at.String())
	script.Next("connected")
	official := centrifuge.NewJsonClient(
		"ws"+strings.TrimPrefix(a.HTTP, "http")+"/connection/websocket",
		centrifuge.Config{Token: token},
	)
	t.Cleanup(official.Close)
	sub, err := official.NewSubscription("class:7a", centrifuge.SubscriptionConfig{})
	require.NoError(t, err)
	publications, subscribed := make(chan int64, 1000), make(chan struct{}, 1)
	sub.OnSubscribed(func(centrifuge.SubscribedEvent) { subscribed <- struct{}{} })
	sub.OnPublication(func(e centrifuge.PublicationEvent) { publications <- int64(e.Offset) })
	require.NoError(t, sub.Subscribe())
	require.NoError(t, official.Connect())
	<-subscribed
	var clients []*swarm.Client
	for _, kind := range swarm.Kinds {
		clients = append(
			clients,
			&swarm.Client{
				Kind:   kind,
				URL:    a.HTTP,
				Token:  token,
				School: "north",
				Room:   "class:7a",
				From:   at,
			},
		)
	}
	connect(t, clients...)

	for i := range 40 {
		id := fmt.Sprint(i)
		repeated := notice("north", id, "7a")
		a.publish(t, "north", repeated, notice("north", "b"+id, "7b"), repeated)
	}
	want := a.logOf(t, "north", at)["7a"]
	require.Len(t, want, 40)
	for _, c := range clients {
		requireReceives(t, c, want[len(want)-1])
		require.Equal(t, want, c.State().Offsets, c.Kind)
	}
	for _, offset := range want {
		require.Equal(t, offset, <-publications)
		at.Offset = offset
		require.Equal(t, at.String(),
			script.Next("received"))
	}

	// A page can ask over the same connection what it would ask the API.
	a.get(t, "/v1/schools/north/analytics/overview", a.publish(t, "north", enrolled("north", 1)),
		new(any))
	result, err := official.RPC(t.Context(), "students", []byte(`{"limit":5}`))
	require.NoError(t, err)
	require.Contains(t, string(result.Data), `"status":200`)
	require.Contains(t, string(result.Data), "Lovelace")

	code, stdout, stderr := command(t, "status", "--ops", a.Ops)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "NODE")
	require.Regexp(t, `class:7a +6\n`, stdout)
	_, metrics := a.call(t, http.MethodGet, a.Ops+"/metrics", "")
	require.Contains(t, string(metrics), `schoolbell_realtime_connections{protocol="sse"} 1`)
	t.Run("Prometheus understands the metrics", func(t *testing.T) {
		check := exec.CommandContext(
			t.Context(), devtest.Program(t, "promtool"), "check", "metrics",
		)
		check.Stdin = strings.NewReader(string(metrics))
		out, err := check.CombinedOutput()
		require.NoError(t, err, "%s", out)
	})
}

// TestP6_FromAResponseToLiveEventsWithoutAGap reads a response, continues live from its position, and
// loses its connection at random while events keep coming. What the response had and what was received
// are together all there is, once.
func TestP6_FromAResponseToLiveEventsWithoutAGap(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	began := a.startPosition(t, "north")
	token := bearer(t, "north", "boss", "admin", time.Hour)
	const students, clients = 600, 12
	published := make(chan error, 1)
	next := make(chan domain.LogPosition, students)
	go func() {
		defer close(next)
		for i := range students {
			at, err := a.send(t.Context(), "north", enrolled("north", i))
			if err != nil {
				published <- err
				return
			}
			next <- at
		}
		published <- nil
	}()

	type page struct {
		*swarm.Client
		enrolled int
	}
	var pages []page
	for i := range clients {
		for range 20 { // so that they begin at different times
			<-next
		}
		var overview struct {
			Students struct {
				Enrolled int `json:"enrolled"`
			} `json:"students"`
		}
		resp := a.get(t, "/v1/schools/north/analytics/overview", began.String(), &overview)
		at := parsed(t, resp.Header.Get("Schoolbell-Position"))
		c := &swarm.Client{
			Kind: swarm.Kinds[i%len(swarm.Kinds)], URL: a.HTTP, Token: token, School: "north", Room: "class:7a", From: at, Pause: 50 * time.Millisecond,
		}
		pages = append(pages, page{c, overview.Students.Enrolled})
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() {
			for ctx.Err() == nil {
				short, lose := context.WithTimeout(
					ctx, 20*time.Millisecond+rand.N(300*time.Millisecond),
				)
				c.Run(short)
				lose()
			}
		})
		t.Cleanup(func() { cancel(); running.Wait() })
	}
	require.NoError(t, <-published)
	var last domain.LogPosition
	for last = range next { // to the end
	}
	for _, p := range pages {
		requireReceives(t, p.Client, last.Offset)
		state := p.State()
		require.Empty(t, state.Lost)
		require.Equal(t, students, p.enrolled+len(state.Offsets), "%s", p.Kind)
		for i := 1; i < len(state.Offsets); i++ {
			require.Less(t, state.Offsets[i-1], state.Offsets[i], "%s", p.Kind)
		}
		require.Greater(t, state.Connects, 1)
	}
}

// TestP10_ConnectionsEndWithTheRight revokes a user's connections, lets tokens expire, and ends rights
// by facts, on all surfaces.
func TestP10_ConnectionsEndWithTheRight(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	testRightsEndEverywhere(t, a)
	at := a.startPosition(t, "north")
	for name, test := range map[string]struct {
		user  string
		valid time.Duration
		end   func()
		code  int
	}{
		"revoked": {"tom", time.Hour, func() {
			resp, b := a.call(t, http.MethodDelete, a.HTTP+"/v1/schools/north/users/tom/connections", "")
			require.Equal(t, http.StatusNoContent, resp.StatusCode, "%s", b)
		}, 3503},
		"expired": {"ann", 5 * time.Second, func() {}, 3005},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			token := bearer(t, "north", test.user, "admin", test.valid)
			var clients []*swarm.Client
			for _, kind := range swarm.Kinds {
				clients = append(
					clients,
					&swarm.Client{
						Kind:   kind,
						URL:    a.HTTP,
						Token:  token,
						School: "north",
						Room:   "class:" + name,
						From:   at,
						Once:   true,
					},
				)
			}
			connect(t, clients...)
			for _, c := range clients {
				require.Eventually(
					t, func() bool { return c.State().Connects == 1 }, 10*time.Second,
					time.Millisecond, "%s: %v", c.Kind, c.State().Ends,
				)
			}
			test.end()
			for _, c := range clients {
				require.Eventually(
					t, func() bool { return len(c.State().Ends) == 1 }, 30*time.Second,
					time.Millisecond, c.Kind,
				)
				want := fmt.Sprintf("connection ended: %d", test.code)
				if c.Kind == swarm.Polling {
					want = "connection ended: close packet"
				}
				require.Equal(t, want, c.State().Ends[0], c.Kind)
			}
			a.publish(t, "north", notice("north", name, name))
			for _, c := range clients {
				require.Empty(t, c.State().Offsets)
			}
		})
	}
}

// TestP10_RevokedTokensAreRefusedEverywhere takes a user's tokens back at one process, and tries
// them at another.
func TestP10_RevokedTokensAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	brokers, cache, database := devtest.Kafka(t).
		Brokers(),
		devtest.Redis(t).
			URL(),
		devtest.Postgres(t)
	start := func() *app {
		return startApp(
			t,
			func(c *config.Config) { c.Kafka.Brokers, c.Redis.URL, c.Database.URL = brokers, cache, database },
		)
	}
	here, there := start(), start()
	at := here.startPosition(t, "north")
	sign := func(user string, age time.Duration) string {
		token, err := auth.Mint(testSecret, auth.Principal{
			Subject: user, School: "north", Roles: []string{"admin"}, Expires: time.Now().Add(time.Hour), TokenID: fmt.Sprint(user, age),
		}, time.Now().Add(-age))
		require.NoError(t, err)
		return token
	}
	stolen, other := sign("tom", time.Hour), sign("ann", time.Hour)
	status := func(token string) int {
		resp, _ := there.call(
			t, http.MethodGet, there.HTTP+"/v1/schools/north/students", "", "Authorization",
			"Bearer "+token,
		)
		return resp.StatusCode
	}
	client := func(token string) *swarm.Client {
		return &swarm.Client{
			Kind:   swarm.Centrifuge,
			URL:    there.HTTP,
			Token:  token,
			School: "north",
			Room:   "class:7a",
			From:   at,
			Once:   true,
		}
	}
	ends, stays := client(stolen), client(other)
	connect(t, ends, stays)
	for _, c := range []*swarm.Client{ends, stays} {
		require.Eventually(
			t, func() bool { return c.State().Connects == 1 }, 10*time.Second, time.Millisecond,
			"%v", c.State().Ends,
		)
	}
	online := func() string {
		_, b := here.call(
			t, http.MethodGet, here.HTTP+"/v1/schools/north/users/tom/connections", "",
		)
		return string(b)
	}
	require.Eventually(
		t,
		func() bool { return strings.Contains(online(), `"online":true`) },
		10*time.Second,
		10*time.Millisecond,
		"at the other process",
	)
	resp, b := there.call(
		t, http.MethodPost, there.HTTP+"/v1/realtime/tickets", "", "Authorization",
		"Bearer "+stolen,
	)
	require.Equal(t, http.StatusCreated, resp.StatusCode, "%s", b)
	var ticket struct {
		Ticket string `json:"ticket"`
	}
	require.NoError(t, json.Unmarshal(b, &ticket))

	code, _, stderr := command(
		t, "revoke", "--url", here.HTTP, "--token", here.token, "--school=north", "--user=tom",
		"--token-id=another",
	)
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, http.StatusOK, status(stolen), "that was another token")
	code, stdout, stderr := command(
		t, "revoke", "--url", here.HTTP, "--token", here.token, "--school=north", "--user=tom",
	)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "tom")
	require.Eventually(
		t, func() bool { return len(ends.State().Ends) == 1 }, 30*time.Second, time.Millisecond,
	)
	require.Equal(t, []string{"connection ended: 3503"}, ends.State().Ends)
	require.Eventually(
		t,
		func() bool { return online() == `{"online":false,"connections":[]}` },
		10*time.Second,
		10*time.Millisecond,
	)
	require.Equal(t, http.StatusUnauthorized, status(stolen))
	require.Equal(t, http.StatusOK, status(other))
	// A revocation covers its whole second.
	require.Equal(t, http.StatusOK, status(sign("tom", -2*time.Second)), "issued afterwards")
	resp, b = there.call(
		t, http.MethodGet, there.HTTP+"/v1/schools/north/stream?ticket="+ticket.Ticket, "",
		"Authorization", "",
	)
	require.Equal(
		t, http.StatusUnauthorized, resp.StatusCode, "a ticket is no better than its token: %s", b,
	)
	require.Empty(t, stays.State().Ends)

	// Processes that start later have another Redis, as after a restart that flushed it.
	restarted := startApp(t, func(c *config.Config) {
		c.Kafka.Brokers, c.Database.URL = brokers, database
	})
	resp, _ = restarted.call(t, http.MethodGet, restarted.HTTP+"/v1/schools/north/students", "",
		"Authorization", "Bearer "+stolen)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "PostgreSQL is the truth")

	// An operator's tokens are for all schools, and end at all of them.
	operator := func(subject string) string {
		token, err := auth.Mint(testSecret, auth.Principal{
			Subject: subject, School: auth.AllSchools, Roles: []string{"operator"},
			Expires: time.Now().Add(time.Hour),
		}, time.Now())
		require.NoError(t, err)
		return token
	}
	lost, chief := operator("lost"), operator("chief")
	require.Equal(t, http.StatusOK, status(lost))
	code, stdout, stderr = command(
		t, "revoke", "--url", here.HTTP, "--token", chief, "--school=*", "--user=lost",
	)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, stdout, "at all schools")
	require.Eventually(
		t, func() bool { return status(lost) == http.StatusUnauthorized }, 20*time.Second,
		10*time.Millisecond,
	)
	require.Equal(t, http.StatusOK, status(chief))
}

// TestP10_WhoMayConnect asks at every door.
func TestP10_WhoMayConnect(t *testing.T) {
	t.Parallel()
	a := startApp(
		t,
		func(c *config.Config) { c.API.Origins = []string{"https://app.example"}; c.Realtime.PerUser = 3 },
	)
	a.startPosition(t, "north")
	doors := map[string]string{
		"/v1/schools/north/stream":                    "",
		"/connection/websocket":                       "websocket",
		"/socket.io/?EIO=4&transport=polling":         "",
		"/socket.io/?EIO=4&transport=websocket":       "websocket",
		"/v1/schools/north/stream?rooms=class%3Aopen": "",
	}
	knock := func(door, token, origin string) int {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.HTTP+door, nil)
		require.NoError(t, err)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		if doors[door] != "" {
			for name, value := range map[string]string{
				"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
			} {
				r.Header.Set(name, value)
			}
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		require.Equal(
			t,
			"nosniff",
			first(
				resp.Header.Get("X-Content-Type-Options"),
				resp.StatusCode == http.StatusSwitchingProtocols,
			),
		)
		return resp.StatusCode
	}
	good := bearer(t, "north", "boss", "admin", time.Hour)
	for door := range doors {
		for _, origin := range []string{"https://evil.example", "null", "https://app.example.evil.example"} {
			require.Equal(
				t, http.StatusForbidden, knock(door, good, origin), "%s from %s", door, origin,
			)
		}
		require.Less(t, knock(door, good, "https://app.example"), 300, door)
		require.Less(t, knock(door, good, a.HTTP), 300, door)
		require.Equal(t, http.StatusUnauthorized, knock(door, "forged", ""), door)
	}
	// A missing Origin is not a permission: a client that presents nothing gets no stream, and a socket
	// that says nothing.
	require.Equal(t, http.StatusUnauthorized, knock("/v1/schools/north/stream", "", ""))
	require.Equal(t, http.StatusSwitchingProtocols, knock("/connection/websocket", "", ""))
	require.Equal(t, http.StatusBadRequest, knock("/v1/schools/north/stream?token="+good, "", ""))
	require.Equal(t, http.StatusForbidden, knock("/v1/schools/south/stream", good, ""))
	require.Equal(t, http.StatusForbidden, knock("/v1/schools/north/stream?rooms=school",
		bearer(t, "north", "tom", "teacher", time.Hour), ""))
	requireAuditOfStrangers(t, a)

	// One ticket opens one connection.
	resp, b := a.call(
		t, http.MethodPost, a.HTTP+"/v1/realtime/tickets", "", "Authorization", "Bearer "+good,
	)
	require.Equal(t, http.StatusCreated, resp.StatusCode, "%s", b)
	var ticket struct {
		Ticket string `json:"ticket"`
	}
	require.NoError(t, json.Unmarshal(b, &ticket))
	require.Equal(t, http.StatusOK, knock("/v1/schools/north/stream?ticket="+ticket.Ticket, "", ""))
	require.Equal(
		t, http.StatusUnauthorized, knock("/v1/schools/north/stream?ticket="+ticket.Ticket, "", ""),
	)

	// A user has so many connections and no more.
	many := bearer(t, "north", "many", "admin", time.Hour)
	for range 3 {
		r, err := http.NewRequestWithContext(
			t.Context(), http.MethodGet, a.HTTP+"/v1/schools/north/stream", nil,
		)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+many)
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		require.NoError(t, err)
		t.Cleanup(func() { _ = resp.Body.Close() })
		require.Equal(t, http.StatusOK, resp.StatusCode)
		_, err = bufio.NewReader(resp.Body).ReadString('\n')
		require.NoError(t, err)
	}
	require.Equal(t, http.StatusTooManyRequests, knock("/v1/schools/north/stream", many, ""))
}

// first is a header's value, or what it would be if the response had headers of ours.
func first(value string, noneOfOurs bool) string {
	if noneOfOurs {
		return "nosniff"
	}
	return value
}
