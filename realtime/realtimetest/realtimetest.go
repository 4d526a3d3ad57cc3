// Package realtimetest runs a hub over a log in memory, for the tests of the hub and of its
// protocols. [Start] starts a node, [Publish] appends to its log, and [Listen] opens a session
// whose deliveries a test waits for. The first change: a new event next to [Notice].
package realtimetest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/realtime"
)

// School is the school of the tests.
const School = "greenfield"

// Key signs the resume tokens of all test hubs.
var Key = []byte("a key for tests only, 32 bytes..")

// Node is one hub that runs until the test ends or Kill is called.
type Node struct {
	*realtime.Hub
	Log  *memlog.Log
	Kill func()
}

// Start runs a hub over a log. A nil log is a new one; change may adjust the configuration.
func Start(t testing.TB, log *memlog.Log, change func(*realtime.Config)) *Node {
	t.Helper()
	if log == nil {
		log = memlog.New(4)
	}
	cfg := realtime.Config{Log: log, Key: Key, MaxPerUser: 100_000}
	if change != nil {
		change(&cfg)
	}
	hub, err := realtime.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- hub.Run(ctx) }()
	var once sync.Once
	n := &Node{Hub: hub, Log: log, Kill: func() {
		once.Do(func() {
			cancel()
			require.NoError(t, <-ended)
		})
	}}
	t.Cleanup(n.Kill)
	require.NoError(t, hub.Ready(t.Context()))
	return n
}

// User returns the bearer of a token that is valid for an hour.
func User(user string, roles ...string) realtime.Identity {
	return realtime.Identity{
		Subject: user, School: School, Roles: roles,
		Expires: time.Now().Add(time.Hour),
	}
}

// Notice returns an event for a class.
func Notice(id, class string) domain.Event {
	return &announcement.Posted{
		AnnouncementID: id, Title: "Notice " + id, Body: "…",
		Channels: []string{announcement.InApp},
		Audience: announcement.Audience{ClassIDs: []string{class}},
	}
}

// Mark returns an event for a student and a class.
func Mark(student, class string, day int) domain.Event {
	return &attendance.Marked{
		StudentID: student, ClassID: class, Date: domain.NewDate(2026, 9, 1).AddDays(day),
		Session: "day",
		Status:  attendance.AbsentExcused, Reason: "dentist",
	}
}

// happened is the time of all test events.
var happened = time.Date(2026, 9, 1, 8, 0, 0, 0, time.UTC)

// Record returns the record of an event. Records with the same id are duplicates.
func Record(t testing.TB, school, id string, e domain.Event) eventlog.Record {
	t.Helper()
	rec, err := cloudevents.Encode(&domain.Envelope{
		ID: id, Source: "test", School: school,
		Time: happened, Data: e,
	})
	require.NoError(t, err)
	return rec
}

// Publish appends an event to the log and returns its position.
func Publish(
	t testing.TB, log eventlog.Appender, school, id string, e domain.Event,
) domain.Position {
	t.Helper()
	pos, err := log.Append(context.Background(), school,
		[]eventlog.Record{Record(t, school, id, e)})
	require.NoError(t, err)
	return pos
}

// Reader drives a session as a transport does: it reads when it is woken.
type Reader struct {
	*realtime.Session
	mu       sync.Mutex
	got      []realtime.Delivery
	changed  chan struct{}
	err      error
	woken    chan struct{}
	hold     chan struct{} // while it is open nothing is read
	finished chan struct{}
}

// Listen opens a session and reads it until the test ends.
func Listen(t testing.TB, n *Node, identity realtime.Identity, opts realtime.Options) *Reader {
	t.Helper()
	r, err := TryListen(t, n, identity, opts)
	require.NoError(t, err)
	return r
}

// TryListen is Listen for sessions that may be refused.
func TryListen(
	t testing.TB, n *Node, identity realtime.Identity, opts realtime.Options,
) (*Reader, error) {
	t.Helper()
	r := &Reader{
		changed: make(chan struct{}), woken: make(chan struct{}, 1),
		finished: make(chan struct{}),
	}
	opts.Wake = func(*realtime.Slot) {
		select {
		case r.woken <- struct{}{}:
		default:
			panic("woken twice")
		}
	}
	s, err := n.Open(t.Context(), identity, opts)
	if err != nil {
		return nil, err
	}
	r.Session = s
	go r.run()
	t.Cleanup(r.Stop)
	return r, nil
}

// Stop ends the session.
func (r *Reader) Stop() {
	r.Release()
	r.Close(realtime.CloseNormal)
	<-r.finished
}

func (r *Reader) run() {
	defer close(r.finished)
	defer r.End()
	for {
		r.mu.Lock()
		hold := r.hold
		r.mu.Unlock()
		if hold != nil {
			<-hold
		}
		batch, err := r.Next(context.Background(), nil, nil)
		r.Sent(batch, 0)
		r.mu.Lock()
		r.got = append(r.got, batch...)
		r.err = err
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
		switch {
		case err != nil:
			return
		case len(batch) == 0:
			<-r.woken
		}
	}
}

// Hold stops reading, as a slow client does.
func (r *Reader) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hold == nil {
		r.hold = make(chan struct{})
	}
}

// Release resumes reading.
func (r *Reader) Release() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hold != nil {
		close(r.hold)
		r.hold = nil
	}
}

// Until waits until wanted accepts the deliveries received so far and the reason for the session's
// end, and returns both.
func (r *Reader) Until(
	t testing.TB, wanted func(got []realtime.Delivery, err error) bool,
) ([]realtime.Delivery, error) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		r.mu.Lock()
		got, err, changed := r.got, r.err, r.changed
		r.mu.Unlock()
		if wanted(got, err) {
			return got, err
		}
		select {
		case <-changed:
		case <-deadline:
			require.FailNow(t, "gave up waiting", "received %v, error %v", Describe(got), err)
		}
	}
}

// Positions waits for an event at a position, and returns the offsets of all events received.
func (r *Reader) Positions(t testing.TB, last domain.Position) []int64 {
	t.Helper()
	got, _ := r.Until(t, func(got []realtime.Delivery, _ error) bool {
		for _, d := range got {
			if d.Kind == realtime.KindEvent && d.Position.Offset >= last.Offset {
				return true
			}
		}
		return false
	})
	var offsets []int64
	for _, d := range got {
		if d.Kind == realtime.KindEvent {
			offsets = append(offsets, d.Position.Offset)
		}
	}
	return offsets
}

// Reaches waits until the session has received the log up to a position, whether it has events
// there or not.
func (r *Reader) Reaches(t testing.TB, pos domain.Position) {
	t.Helper()
	require.Eventually(t, func() bool { return r.Position().Offset >= pos.Offset }, 20*time.Second,
		time.Millisecond)
}

// Describe makes deliveries readable.
func Describe(ds []realtime.Delivery) []string {
	var lines []string
	for _, d := range ds {
		lines = append(lines, fmt.Sprintf("%d %s %s", d.Kind, d.Room, d.Position))
	}
	return lines
}

// Access accepts tokens of the form "user role"; one that begins with "!" has expired.
func Access() *realtime.Access {
	return &realtime.Access{Verify: func(_ context.Context, token string) (realtime.Identity,
		error,
	) {
		user, roles, ok := strings.Cut(token, " ")
		switch {
		case !ok:
			return realtime.Identity{}, realtime.ErrInvalidToken
		case strings.HasPrefix(user, "!"):
			return realtime.Identity{}, realtime.ErrExpired
		case user == "operator":
			return realtime.Identity{Subject: user, School: "*", Roles: []string{roles}}, nil
		}
		return User(user, strings.Fields(roles)...), nil
	}}
}

// LateRights grants every user a class, and fails while the read models are late.
type LateRights struct {
	Class string
	Late  atomic.Bool
}

// Grants is a [realtime.Rights].
func (r *LateRights) Grants(
	context.Context, string, string, domain.Position,
) (realtime.Grants, error) {
	if r.Late.Load() {
		return realtime.Grants{}, context.DeadlineExceeded
	}
	return realtime.Grants{Directory: access.Directory{Teaches: []string{r.Class}}}, nil
}

// Serve runs a web server and returns its address for WebSockets.
func Serve(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}
