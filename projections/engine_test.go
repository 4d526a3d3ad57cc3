package projections_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a log, a store, and what is needed to run engines on them in simulated time.
type world struct {
	*testing.T
	log   *memlog.Log
	store *memstore.Store
	set   *projections.Set
	sent  int

	maxParked int // subjects of a school; 0 is the default
}

const partitions = 3

func newWorld(t *testing.T) *world {
	return &world{
		T: t, log: memlog.New(partitions), store: memstore.New(),
		set: storetest.Set(false),
	}
}

func (w *world) config() projections.Config {
	return projections.Config{
		Name: "test", Set: w.set, Log: w.log, Group: w.log, Store: w.store,
		Decode: cloudevents.Decode, Window: 1000, MaxParked: w.maxParked,
		Logger: slog.New(slog.NewTextHandler(w.Output(),
			&slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// run runs an engine until the function that it returns is called.
func (w *world) run(cfg projections.Config) (e *projections.Engine, stop func()) {
	e, err := projections.NewEngine(cfg)
	require.NoError(w, err)
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	return e, func() {
		cancel()
		require.NoError(w, <-done)
	}
}

func (w *world) send(school string, events ...domain.Event) domain.Position {
	var last domain.Position
	for _, data := range events {
		w.sent++
		last = w.sendRecord(school, storetest.Record(storetest.Event(school, w.sent, data)))
	}
	return last
}

func (w *world) sendRecord(school string, rec eventlog.Record) domain.Position {
	at, err := w.log.Append(w.Context(), school, []eventlog.Record{rec})
	require.NoError(w, err)
	return at
}

// pass lets simulated time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// records reads the whole log.
func (w *world) records() []eventlog.Record {
	var all []eventlog.Record
	for n := range int32(partitions) {
		start, end, err := w.log.Bounds(w.Context(), n)
		require.NoError(w, err)
		for next := start; next < end; {
			b, err := w.log.Fetch(w.Context(), n, next, 1<<30, 0)
			require.NoError(w, err)
			all = append(all, b.Records...)
			next = b.Next
		}
	}
	return all
}

// reference folds the whole log plainly.
func (w *world) reference() *projections.Reference {
	r := projections.NewReference(w.set, cloudevents.Decode, partitions, 1000)
	if w.maxParked > 0 {
		r.LimitParked(w.maxParked)
	}
	for _, rec := range w.records() {
		r.Skip(rec)
	}
	for _, rec := range w.records() {
		r.Add(rec)
	}
	return r
}

// requireReferenceButOrder says that the tables are those of one plain fold, but for the one that
// knows in which order the events of different subjects were folded.
func (w *world) requireReferenceButOrder() {
	w.Helper()
	want, err := w.reference().Dump()
	require.NoError(w, err)
	got, err := w.store.Dump()
	require.NoError(w, err)
	for _, d := range []projections.Dump{want, got} {
		delete(d, "test_kinds")
	}
	require.Equal(w, want, got)
}

// requireReference says that the tables, the positions and the parked events are those of one plain
// fold of the log.
func (w *world) requireReference() {
	w.Helper()
	r := w.reference()
	want, err := r.Dump()
	require.NoError(w, err)
	got, err := w.store.Dump()
	require.NoError(w, err)
	require.Equal(w, want, got)
	for n := range int32(partitions) {
		_, end, err := w.log.Bounds(w.Context(), n)
		require.NoError(w, err)
		require.Equal(w, end, w.store.Position(n), "position of partition %d", n)
		parked := map[projections.SubjectKey][]int64{}
		subjects, err := w.store.Parked(w.Context(), n)
		require.NoError(w, err)
		for _, u := range subjects {
			events, err := w.store.ParkedEvents(w.Context(), n, u.SubjectKey, 1<<30)
			require.NoError(w, err)
			for _, rec := range events {
				parked[u.SubjectKey] = append(parked[u.SubjectKey], rec.Position.Offset)
			}
		}
		require.Equal(w, r.Parked(n), parked, "parked in partition %d", n)
	}
}

func TestEngineFoldsTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.send("oak", storetest.Enrol("ana", "7A"),
			storetest.Mark("ana", 1, attendance.Present, ""))
		_, stop := w.run(w.config())
		defer stop()
		pass(time.Second)
		w.requireReference()
		w.send("elm", storetest.Enrol("bo", "7A"), storetest.Mark("bo", 1, attendance.Late, ""),
			storetest.Withdraw("bo"))
		synctest.Wait() // no time passes
		w.requireReference()
	})
}

// notes is a notifier that records its calls.
type notes struct {
	mu      sync.Mutex
	fail    bool
	claimed map[domain.Position]int64
	changes []projections.Change
	latest  map[int32]int64
	beats   int
}

func newNotes(fail bool) *notes {
	return &notes{fail: fail, claimed: map[domain.Position]int64{}, latest: map[int32]int64{}}
}

func (n *notes) Claimed(_ context.Context, at domain.Position, epoch, _ int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.claimed[at] = epoch
	return n.err()
}

func (n *notes) Committed(
	_ context.Context, at domain.Position, _ int64, changes []*projections.Change,
) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.latest[at.Partition] = at.Offset
	for _, c := range changes {
		n.changes = append(n.changes, *c)
	}
	return n.err()
}

func (n *notes) Heartbeat(context.Context, domain.Position, int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.beats++
	return n.err()
}

// heartbeats returns how many there were. Heartbeats have no other order with the test than the lock.
func (n *notes) heartbeats() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.beats
}

func (n *notes) err() error {
	if n.fail {
		return errors.New("notifier is out of order")
	}
	return nil
}

func TestNotifiersLearnOfCommits(t *testing.T) {
	t.Parallel()
	for _, fail := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			n := newNotes(fail)
			cfg := w.config()
			cfg.Notifiers = []projections.Notifier{n}
			var logged bytes.Buffer
			cfg.Logger = slog.New(slog.NewTextHandler(&logged,
				&slog.HandlerOptions{Level: slog.LevelWarn}))
			_, stop := w.run(cfg)
			defer stop()
			synctest.Wait()
			require.Len(t, n.claimed, partitions)
			at := w.send("oak", storetest.Enrol("ana", "7A"))
			synctest.Wait()
			require.Equal(t, []projections.Change{{
				School:  "oak",
				Offsets: []int64{at.Offset, -1, at.Offset},
			}}, n.changes)
			require.Equal(t, at.Offset, n.latest[at.Partition])
			pass(1500 * time.Millisecond)
			require.Equal(t, partitions, n.heartbeats())
			pass(time.Minute)
			require.Equal(t, fail, strings.Contains(logged.String(), "cannot notify of changes"))
			w.requireReference()
		})
	}
}
