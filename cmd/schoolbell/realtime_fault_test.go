package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime/realtimetest/swarm"
)

// How large the tests of this file are. CI runs them small; the figures in docs/RELIABILITY.md
// are those of the full size.
const (
	liveClientsEnv = "SCHOOLBELL_FAULT_CLIENTS" // 2000 for the full tests
	liveSecondsEnv = "SCHOOLBELL_FAULT_SECONDS" // 60 for the full tests
	liveIdleEnv    = "SCHOOLBELL_FAULT_IDLE"    // 10000 for the full test
	fullClients    = 1000
)

// TestP6_NodesAreKilledUnderManyClients kills a node with -9 again and again while clients of
// four kinds receive a stream of events over it. Each of them must have received its room's part of the
// log, in order, once.
func TestP6_NodesAreKilledUnderManyClients(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	node := startLiveNode(t, a, "--realtime-per-user=1000")
	clients := liveSwarm(t, a, node.HTTP, devtest.Size(t, liveClientsEnv, 200, 2000))
	connect(t, clients...)
	requireJoined(t, clients)

	ctx, end := context.WithTimeout(
		t.Context(), time.Duration(devtest.Size(t, liveSecondsEnv, 10, 60))*time.Second,
	)
	defer end()
	kills, killed := 0, make(chan error, 1)
	go func() {
		for {
			select {
			case <-ctx.Done():
				killed <- nil
				return
			case <-time.After(time.Second + rand.N(2*time.Second)):
			}
			node.kill()
			kills++
			if err := node.start(t.Context()); err != nil {
				killed <- err
				return
			}
		}
	}()
	published := 0
	for ctx.Err() == nil {
		var batch []map[string]any
		for range 5 {
			batch = append(
				batch, notice("north", "n"+strconv.Itoa(published), liveClass(published)),
			)
			published++
		}
		a.publish(t, "north", batch...)
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	require.NoError(t, <-killed)
	for i := range liveClasses {
		a.publish(t, "north", notice("north", "last"+strconv.Itoa(i), liveClass(i)))
	}
	log := a.logOf(t, "north", clients[0].From)
	deliveries, connects := 0, 0
	for i, c := range clients {
		want := log[strings.TrimPrefix(c.Room, "class:")]
		requireReceives(t, c, want[len(want)-1])
		state := c.State()
		require.Empty(t, state.Lost, "client %d, %s", i, c.Kind)
		require.Equal(t, want, state.Offsets, "client %d, %s", i, c.Kind)
		deliveries += len(state.Offsets)
		connects += state.Connects
	}
	require.Greater(t, kills, 1)
	require.Greater(t, connects, len(clients))
	t.Logf("%d clients received %d of %d events over %d kills, in %d connections", len(clients),
		deliveries, published, kills, connects)
}

// TestAHerdComesBackToANodeThatWasStarted lets all clients lose their node at once: they come
// back to one that has no state.
func TestAHerdComesBackToANodeThatWasStarted(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	node := startLiveNode(t, a, "--realtime-per-user=1000")
	clients := liveSwarm(t, a, node.HTTP, devtest.Size(t, liveClientsEnv, 200, 2000))
	connect(t, clients...)
	requireJoined(t, clients)
	node.kill()
	for i := range 200 {
		a.publish(t, "north", notice("north", "n"+strconv.Itoa(i), liveClass(i)))
	}
	require.NoError(t, node.start(t.Context()))
	up := time.Now()
	log := a.logOf(t, "north", clients[0].From)
	for _, c := range clients {
		want := log[strings.TrimPrefix(c.Room, "class:")]
		requireReceives(t, c, want[len(want)-1])
		require.Equal(t, want, c.State().Offsets, c.Kind)
	}
	var took []time.Duration
	for _, c := range clients {
		took = append(took, max(0, c.State().Since.Sub(up)))
	}
	slices.Sort(took)
	p95 := took[len(took)*95/100]
	t.Logf(
		"%d clients were back after %v (p50), %v (p95), %v (all)", len(clients), took[len(took)/2],
		p95, took[len(took)-1],
	)
}

// TestSocketsThatAreNeverReadDisturbNoOthers measures what clients that never read, two in a hundred,
// cost a whole node. The everyday check is realtimetest.SlowClients, for each protocol.
func TestSocketsThatAreNeverReadDisturbNoOthers(t *testing.T) {
	devtest.Long(t)
	t.Parallel()
	a := startApp(t, nil)
	node := startLiveNode(t, a, "--realtime-per-user=1000")
	goroutines, memory := node.metric(t, "go_goroutines"), node.resident(t)
	clients := liveSwarm(
		t, a, node.HTTP, min(devtest.Size(t, liveClientsEnv, 200, 2000), fullClients),
	)
	var mu sync.Mutex
	var delays []time.Duration
	for _, c := range clients {
		c.Room = "class:quiet"
		c.Token = bearer(t, "north", "boss", "admin", time.Hour)
		c.OnEvent = func(raw []byte) {
			var e struct {
				Data struct {
					Body time.Time `json:"body"`
				} `json:"data"`
			}
			if json.Unmarshal(raw, &e) == nil {
				mu.Lock()
				defer mu.Unlock()
				delays = append(delays, time.Since(e.Data.Body))
			}
		}
	}
	stop := connect(t, clients...)
	requireJoined(t, clients)
	deaf := max(1, len(clients)/50)
	for i := range deaf {
		conn := dialUnread(
			t, node.HTTP, bearer(t, "north", "deaf"+strconv.Itoa(i), "admin", time.Hour),
		)
		t.Cleanup(func() { _ = conn.Close() })
	}

	var last domain.LogPosition
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	for i := range 100 {
		<-pace.C
		id := strconv.Itoa(i)
		var batch []map[string]any
		for j := range 5 {
			noise := notice("north", "noise"+id+"-"+strconv.Itoa(j), "noise")
			noise["data"].(map[string]any)["body"] = strings.Repeat("noise ", 2500)
			batch = append(batch, noise)
		}
		var err error
		last, err = a.send(
			t.Context(),
			"north",
			append(batch, notice("north", "quiet"+id, "quiet"))...)
		require.NoError(t, err)
	}
	for _, c := range clients {
		requireReceives(t, c, last.Offset)
		require.Len(t, c.State().Offsets, 100)
		require.Equal(t, 1, c.State().Connects)
	}
	grown := node.resident(t) - memory
	slices.Sort(delays)
	p99 := delays[len(delays)*99/100]
	t.Logf("%d clients next to %d that do not read: %v (p50), %v (p99); the node grew by %d MB",
		len(clients), deaf, delays[len(delays)/2], p99, grown>>20)
	require.Less(t, grown, int64(160<<20))
	// Clients that do not read are cut off, and nothing of them remains.
	require.Eventually(t, func() bool {
		return int(
			node.metric(t, `schoolbell_realtime_connections{protocol="centrifuge"}`),
		) == len(clients)/len(swarm.Kinds)
	}, time.Minute, 50*time.Millisecond)
	stop()
	require.Eventually(
		t, func() bool { return node.metric(t, "go_goroutines") <= goroutines+20 }, time.Minute,
		50*time.Millisecond,
	)
}

// dialUnread opens a connection that asks for much and reads nothing.
func dialUnread(t *testing.T, url, token string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4096))
	fmt.Fprintf(
		conn,
		"GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer %s\r\n\r\n",
		token,
	)
	const hello = `{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"class:noise"}}`
	_, err = conn.Write(
		append([]byte{0x81, 0x80 | byte(len(hello)), 0, 0, 0, 0}, hello...),
	) // masked with zeros
	require.NoError(t, err)
	return conn
}

// TestIdleConnectionsCostLittle holds many connections that nothing happens on.
func TestIdleConnectionsCostLittle(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	node := startLiveNode(t, a, "--realtime-per-user=20000")
	at := a.startPosition(t, "north")
	token := bearer(t, "north", "boss", "admin", time.Hour)
	var clients []*swarm.Client
	more := func() { // a few hundred at a time
		var some []*swarm.Client
		for range 200 {
			some = append(some, &swarm.Client{
				Kind: swarm.Centrifuge, URL: node.HTTP, Token: token, School: "north", Room: "class:a", From: at,
				Source: swarm.Loopback(len(clients) + len(some)),
			})
		}
		connect(t, some...)
		requireJoined(t, some)
		clients = append(clients, some...)
	}
	more() // the first ones also pay for what all share
	before, counted := node.resident(t), len(clients)
	for n := devtest.Size(t, liveIdleEnv, 4000, 10_000); len(clients) < n; {
		more()
	}
	each := int64(0)
	defer func() { t.Logf("%d idle connections: %.1f KB resident each", len(clients), float64(each)/1024) }()
	require.Eventually(t, func() bool { // the handshakes' garbage goes back bit by bit
		each = (node.resident(t) - before) / int64(len(clients)-counted)
		return each <= 10<<10
	}, time.Minute, time.Second, "the budget of an idle connection")
	last := parsed(t, a.publish(t, "north", notice("north", "wake", "a")))
	for _, c := range clients {
		requireReceives(t, c, last.Offset)
	}
}

// TestSIGTERMUnderLoad stops a whole serve while requests, events and sockets keep it busy.
func TestSIGTERMUnderLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	t.Setenv("SCHOOLBELL_DRAIN_DELAY", "1s")
	t.Setenv("SCHOOLBELL_REALTIME_DRAIN_TIME", "2s")
	t.Setenv("SCHOOLBELL_REALTIME_PER_USER", "1000")
	t.Setenv("SCHOOLBELL_JWT_SECRET", testSecret)
	serve, a := startProcess(t, dir)
	a.token = mint(t, testSecret)
	clients := liveSwarm(t, a, a.HTTP, 500)
	for _, c := range clients {
		c.Once = true
	}
	connect(t, clients...)
	requireJoined(t, clients)

	// A balancer that sends nothing any more once readiness has fallen.
	var red atomic.Bool
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var balancer, load sync.WaitGroup
	balancer.Go(func() {
		for ctx.Err() == nil {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.Ops+"/readyz", nil)
			if err != nil {
				return
			}
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err == nil {
				_ = resp.Body.Close()
			}
			if err != nil || resp.StatusCode != http.StatusOK {
				red.Store(true)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	var completed atomic.Int64
	failed := make(chan error, 100)
	every := func(interval time.Duration, do func(n int) error) {
		load.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for n := 0; !red.Load(); n++ {
				if err := do(n); err != nil {
					failed <- err
					return
				}
				completed.Add(1)
				<-tick.C
			}
		})
	}
	for worker := range 4 {
		every(13*time.Millisecond, func(int) error { // some 300 requests a second
			r, err := http.NewRequestWithContext(
				t.Context(), http.MethodGet, a.HTTP+"/v1/schools/north/analytics/overview", nil,
			)
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+a.token)
			resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil ||
				resp.StatusCode != http.StatusOK {
				return errors.Join(err, errors.New(resp.Status))
			}
			return nil
		})
		every(80*time.Millisecond, func(n int) error { // some 500 events
			var batch []map[string]any
			for i := range 10 {
				batch = append(
					batch, notice("north", fmt.Sprint("n", worker, "-", n, "-", i), liveClass(n+i)),
				)
			}
			_, err := a.send(t.Context(), "north", batch...)
			return err
		})
	}
	require.Eventually(
		t, func() bool { return completed.Load() > 300 }, time.Minute, 10*time.Millisecond,
	)
	began := time.Now()
	require.NoError(t, serve.Process.Signal(syscall.SIGTERM))
	require.NoError(t, serve.Wait(), "it ends with 0")
	took := time.Since(began)
	load.Wait()
	stop()
	balancer.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err, "a request that was sent before readiness had fallen")
	}
	t.Logf("stopped in %v after %d requests", took, completed.Load())
	for _, c := range clients {
		want := "connection ended: 3001"
		if c.Kind == swarm.Polling {
			want = "connection ended: close packet"
		}
		require.Eventually(
			t, func() bool { return len(c.State().Ends) == 1 }, 10*time.Second, time.Millisecond,
		)
		require.Equal(t, want, c.State().Ends[0], c.Kind)
	}
}
