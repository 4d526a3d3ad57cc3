package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections/deliveries"
)

// hostility is how much of everything a hostile school does at once, for how long.
type hostility struct {
	payments, uploads, readers, revocations, sockets int
	seconds                                          int
	before                                           int // events that another school imported earlier
}

const hostileSecondsEnv = "SCHOOLBELL_HOSTILE_SECONDS"

func TestP11_AHostileSchoolDisturbsNobody(t *testing.T) {
	testHostileSchool(t, devtest.Kafka(t).Brokers(), hostility{
		payments: 1100, uploads: 16, readers: 20, revocations: 300, sockets: 200,
		seconds: devtest.Size(t, hostileSecondsEnv, 5, 60),
	})
}

func TestP11_AHostileSchoolDisturbsNobodyOnRealKafka(t *testing.T) {
	devtest.Real(t, "java")
	testHostileSchool(t, realkafka.Start(t).Addresses(), hostility{
		payments: 1100, uploads: 16, readers: 60, revocations: 2500, sockets: 500,
		seconds: devtest.Size(t, hostileSecondsEnv, 20, 60), before: 60_000,
	})
}

// A school does all at once that one can do with tokens of its own. Its neighbour in the partition is
// refused nothing, hears all its events live, gets all its texts, and never has more of the hostile
// school's records before its own than the budget of the partition. Afterwards the process holds no
// more memory than before. The neighbour's times are printed next to those without the other.
func testHostileSchool(t *testing.T, brokers []string, h hostility) {
	database := devtest.Postgres(t)
	n := &liveNode{dir: filepath.Join(t.TempDir(), "node")}
	n.args = []string{
		"serve", "--data", n.dir, "--http=127.0.0.1:0", "--ops=127.0.0.1:0", "--ops-profiles", "--log-level=error",
		"--kafka-brokers=" + strings.Join(brokers, ","), "--kafka-partitions=1",
		"--database-url=" + database, "--redis-url=" + devtest.Redis(t).URL(),
		"--jwt-secret=" + testSecret,
		"--realtime-ring-mb=1", // it fills with whatever events there are, and would hide a leak
		"--api-wait-limit=30s", // what is late is printed; the test fails on what is refused
	}
	require.NoError(t, n.start(t.Context()))
	t.Cleanup(n.kill)
	v := newNeighbour(t, n, devtest.Pool(t, database, postgres.Projector).Conns())

	v.live(t)
	// Caches and connections are warm, and the rows of another school fill what memory is for them: a
	// partition holds up to 100,000, whoever they belong to.
	if h.before > 0 {
		ordinary := newTenant(t, n, "ordinary")
		require.NoError(t, ordinary.importYear(t.Context(), 0, h.before, func(int) {}))
		v.requireDrained(t)
	}
	v.rounds(t, func(i int) bool { return i < 20 })
	idle := v.rounds(t, func(i int) bool { return i < 100 })
	before := n.heap(t)

	ctx, stop := context.WithTimeout(t.Context(), time.Duration(h.seconds)*time.Second)
	defer stop()
	attack := startAttack(ctx, t, n, h)
	loaded := v.rounds(t, func(int) bool { return ctx.Err() == nil })
	attack.Wait()
	t.Logf("the hostile school: %s", attack.summary())
	require.Zero(t, attack.granted.Load(), "a revocation with a long id")

	idle.log(t, "idle")
	loaded.log(t, "with the hostile school")
	budget := max(loaded.budget, idle.budget)
	require.LessOrEqual(t, loaded.ahead, budget+2*client.MaxEvents, "records before the neighbour's")
	v.requireAllHeard(t)
	v.requireAllTexts(t)
	v.requireDrained(t)
	// What remains is bounded: the window of duplicates, and for a minute the ids of what was taken.
	after := n.heap(t)
	require.Eventually(t, func() bool { after = n.heap(t); return after < before+32<<20 },
		2*time.Minute, time.Second, "memory is back to base")
	t.Logf("heap: %d KB before, %d KB after", before>>10, after>>10)
}

// heap is what the process holds, after garbage has been collected.
func (n *liveNode) heap(t *testing.T) int64 {
	_, err := n.ops(t.Context(), "/debug/pprof/heap?gc=1")
	require.NoError(t, err)
	return int64(n.metric(t, "go_memstats_heap_alloc_bytes"))
}

// tenant calls the API with a token of one school.
type tenant struct {
	school, token, url string
	http               *http.Client
}

func newTenant(t *testing.T, n *liveNode, school string) tenant {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	t.Cleanup(transport.CloseIdleConnections)
	return tenant{
		school: school, token: bearer(t, school, "head", "admin", time.Hour), url: n.HTTP,
		http: &http.Client{Transport: transport},
	}
}

// do makes a request below the school's path.
func (s tenant) do(
	ctx context.Context, method, path, body string, header ...string,
) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, s.url+"/v1/schools/"+s.school+path,
		strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+s.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

// neighbour writes, reads what it wrote, and hears it live.
type neighbour struct {
	tenant
	node  *liveNode
	pool  *pgxpool.Pool
	heard chan string // positions of its events, from its stream
	sent  []string    // positions of its events
	got   map[string]bool
}

func newNeighbour(t *testing.T, n *liveNode, pool *pgxpool.Pool) *neighbour {
	v := &neighbour{
		tenant: newTenant(t, n, "neighbour"), node: n, pool: pool, heard: make(chan string, 10_000),
		got: map[string]bool{},
	}
	resp, b, err := v.do(t.Context(), http.MethodPut, "/settings", `{"name":"Good"}`,
		"Content-Type", "application/json", "If-Match", `"0"`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
	return v
}

// live opens a stream of all events of the school.
func (v *neighbour) live(t *testing.T) {
	a := &app{Address: v.node.Address}
	subscribe(t, a, "/v1/schools/"+v.school+"/stream?rooms=school,class:7a", v.token, v.heard)
}

// times of a series of rounds, and what was before the neighbour's events.
type times struct {
	write, visible []time.Duration
	ahead, budget  int // the most
}

func (s times) log(t *testing.T, when string) {
	for _, of := range []struct {
		what string
		all  []time.Duration
	}{{"written", s.write}, {"visible", s.visible}} {
		slices.Sort(of.all)
		t.Logf("%s, %s: p50 %v, p99 %v of %d", when, of.what, of.all[len(of.all)/2],
			of.all[len(of.all)*99/100], len(of.all))
	}
	t.Logf("%s: at most %d records ahead, budget %d", when, s.ahead, s.budget)
}

// rounds report absences of new students, one after the other, each read back.
func (v *neighbour) rounds(t *testing.T, more func(int) bool) (s times) {
	t.Helper()
	for i := 0; more(i); i++ {
		student := fmt.Sprintf("st-%d", len(v.sent))
		events := append(family(v.school, student), absent(v.school, student))
		body, err := json.Marshal(events)
		require.NoError(t, err)
		read := v.read(t)
		began := time.Now()
		resp, b, err := v.do(t.Context(), http.MethodPost, "/events", string(body),
			"Content-Type", "application/cloudevents-batch+json")
		require.NoError(t, err)
		require.Equal(t, http.StatusAccepted, resp.StatusCode, "%s", b)
		s.write = append(s.write, time.Since(began))
		at := resp.Header.Get("Schoolbell-Position")
		resp, b, err = v.do(t.Context(), http.MethodGet, "/students/"+student, "",
			"Schoolbell-Min-Position", at)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
		s.visible = append(s.visible, time.Since(began))
		v.sent = append(v.sent, at)
		s.ahead = max(s.ahead, int(parsed(t, at).Offset-read)-len(events))
		s.budget = max(s.budget,
			int(v.node.metric(t, `schoolbell_ingest_max_unread_records{partition="0"}`)))
	}
	return s
}

// read is the offset up to which tables and planning have read.
func (v *neighbour) read(t *testing.T) int64 {
	tables, err := checkpoint.Next(t.Context(), v.pool, program.SetName)
	require.NoError(t, err)
	planned, err := checkpoint.Furthest(t.Context(), v.pool, program.ConsumersGroup)
	require.NoError(t, err)
	return min(tables[0], planned[0])
}

func (v *neighbour) requireAllHeard(t *testing.T) {
	require.Eventually(t, func() bool {
		for {
			select {
			case line := <-v.heard:
				if id, ok := strings.CutPrefix(line, "id: "); ok {
					v.got[id] = true
				}
				continue
			default:
			}
			break
		}
		return !slices.ContainsFunc(v.sent, func(at string) bool { return !v.got[at] })
	}, time.Minute, 10*time.Millisecond, "every event is heard live")
}

func (v *neighbour) requireAllTexts(t *testing.T) {
	require.Eventually(t, func() bool {
		sent, after := map[string]bool{}, ""
		for {
			resp, b, err := v.do(t.Context(), http.MethodGet,
				"/deliveries?channel=sms&status=sent&limit=200&after="+url.QueryEscape(after), "")
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, resp.StatusCode, "%s", b)
			var list deliveries.List
			require.NoError(t, json.Unmarshal(b, &list))
			for i := range list.Deliveries {
				sent[list.Deliveries[i].ID] = true
			}
			if after = list.Next; after == "" {
				return len(sent) == len(v.sent)
			}
		}
	}, time.Minute, 100*time.Millisecond, "no text is missing")
}

// requireDrained waits until all that was accepted is read.
func (v *neighbour) requireDrained(t *testing.T) {
	require.Eventually(t, func() bool {
		return v.node.metric(t, `schoolbell_ingest_unread_records{partition="0"}`) == 0
	}, time.Minute, 100*time.Millisecond)
}

// attack is what the hostile school has done so far.
type attack struct {
	tenant
	sync.WaitGroup
	requests [600]atomic.Int64 // by status
	granted  atomic.Int64      // revocations that should have been refused
	imported atomic.Int64      // events
}

func (a *attack) summary() string {
	text := fmt.Sprintf("%d events imported;", a.imported.Load())
	for status := range a.requests {
		if n := a.requests[status].Load(); n > 0 {
			text += fmt.Sprintf(" %d × %d", n, status)
		}
	}
	return text
}

// request makes a request and counts its status.
func (a *attack) request(ctx context.Context, method, path, body string, header ...string) int {
	resp, _, err := a.do(ctx, method, path, body, header...)
	if err != nil {
		return 0 // the attack is over, or its connection was cut
	}
	a.requests[resp.StatusCode].Add(1)
	return resp.StatusCode
}

// startAttack does everything at once until ctx ends.
func startAttack(ctx context.Context, t *testing.T, n *liveNode, h hostility) *attack {
	a := &attack{tenant: newTenant(t, n, "hostile")}
	a.Go(func() { a.contradict(ctx, h.payments) })
	for range h.uploads {
		a.Go(func() { a.upload(ctx) })
	}
	for i := range h.readers {
		a.Go(func() {
			for q := 0; ctx.Err() == nil; q++ { // no two alike, so that no result is shared
				a.request(ctx, http.MethodGet, fmt.Sprintf("/students?q=%d-%d", i, q), "")
				a.request(ctx, http.MethodGet, "/analytics/at-risk", "", "Cache-Control", "no-cache")
			}
		})
	}
	a.Go(func() {
		for i := 0; i < h.revocations && ctx.Err() == nil; i++ {
			status := a.request(ctx, http.MethodDelete, fmt.Sprintf("/users/u%d/tokens?for=1000000h&id=%s",
				i, strings.Repeat("x", 25_000)), "")
			if status != 0 && status < 400 {
				a.granted.Add(1)
			}
		}
	})
	for range h.sockets {
		a.Go(func() { a.silence(ctx) })
	}
	for i := range 4 {
		a.Go(func() {
			err := a.importYear(ctx, i, 0, func(events int) { a.imported.Add(int64(events)) })
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				fmt.Fprintln(os.Stderr, "hostile import:", err)
			}
		})
	}
	return a
}

// contradict pays invoices in another currency than theirs.
func (a *attack) contradict(ctx context.Context, payments int) {
	for first := 0; first < payments && ctx.Err() == nil; first += 100 {
		var events []map[string]any
		for i := first; i < min(first+100, payments); i++ {
			id := fmt.Sprint("pupil-", i)
			events = append(events, invoice(a.school, id), payment(a.school, id))
		}
		body, err := json.Marshal(events)
		if err != nil {
			panic(err) // it holds strings and numbers
		}
		for ctx.Err() == nil && a.request(ctx, http.MethodPost, "/events", string(body),
			"Content-Type", "application/cloudevents-batch+json") != http.StatusAccepted {
			wait(ctx, time.Second)
		}
	}
}

// upload sends bodies that do not arrive.
func (a *attack) upload(ctx context.Context) {
	for ctx.Err() == nil {
		a.raw(ctx, "POST /v1/schools/"+a.school+"/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+
			a.token+"\r\nContent-Type: application/cloudevents+json\r\n"+
			"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n")
	}
}

// silence opens sockets and says nothing on them.
func (a *attack) silence(ctx context.Context) {
	for ctx.Err() == nil {
		a.raw(ctx, "GET /connection/websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"+
			"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	}
}

// raw sends text on a connection, and reads until the server closes it, or ctx ends.
func (a *attack) raw(ctx context.Context, text string) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		wait(ctx, 100*time.Millisecond)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, _ = io.WriteString(conn, text)
	_, _ = io.Copy(io.Discard, conn)
	wait(ctx, 100*time.Millisecond)
}

// importYear publishes the first events of a school year, n of them if n is not 0, and reports how many
// more are in the log.
func (s *tenant) importYear(ctx context.Context, part, n int, more func(events int)) error {
	api, err := client.New(client.Config{URL: s.url, Token: s.token})
	if err != nil {
		return err
	}
	defer api.Close()
	year := simulate.Config{Schools: 1, Students: 2000, Days: simulate.MaxDays, Seed: uint64(part + 1)}
	counted := 0
	_, err = api.Stream(ctx, func(totals client.Totals) {
		more(totals.Events - counted)
		counted = totals.Events
	}, func(stream *client.Stream) error {
		sent := 0
		for e := range year.Events() {
			if sent++; n > 0 && sent > n {
				break
			}
			e.School, e.ID = s.school, fmt.Sprint(part, "-", e.ID)
			if err := stream.Send(e); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
