package postgres_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

const testPartitions = 2

// Two engines share a log while the server ends their connections again and again, in the middle of
// whatever they do.
func TestP3_EnginesOnPostgresWithConnectionsKilled(t *testing.T) {
	t.Parallel()
	set := storetest.Set(false)
	store := openStore(t, set)
	log := memlog.New(testPartitions)
	reference := projections.NewReference(set, cloudevents.Decode, testPartitions, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	for range 2 {
		e, err := projections.NewEngine(projections.Config{
			Name: "test", Set: set, Log: log, Group: log, Store: store, Decode: cloudevents.Decode,
			Window: 1000, MaxBatch: 500, MaxRows: 50,
			Logger: slog.New(slog.DiscardHandler),
		})
		require.NoError(t, err)
		go func() { ended <- e.Run(ctx) }()
	}
	killed := make(chan int)
	produced := make(chan struct{})
	go func() { killed <- killConnections(ctx, t, store.url, produced) }()

	const events = 6000
	r := rand.New(rand.NewPCG(1, 1))
	for n := range events {
		appendEvent(t, log, reference, r, n)
		if n%300 == 0 { // so that kills and commits meet in many ways
			waitFor(t, store, log, 2000)
		}
	}
	close(produced)
	require.Positive(t, <-killed)
	waitFor(t, store, log, 0)
	cancel()
	for range 2 {
		require.NoError(t, <-ended)
	}
	want, err := reference.Dump()
	require.NoError(t, err)
	got, err := store.Dump()
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.NotEmpty(t, reference.Parked(0))
	for n := range int32(testPartitions) {
		subjects, err := store.Parked(t.Context(), n)
		require.NoError(t, err)
		require.Len(t, subjects, len(reference.Parked(n)))
	}
}

func appendEvent(
	t *testing.T, log *memlog.Log, reference *projections.Reference, r *rand.Rand, n int,
) {
	school, pupil := fmt.Sprint("school-", r.IntN(5)), fmt.Sprint("pupil-", r.IntN(60))
	var data domain.Event = storetest.Mark(pupil, r.IntN(30),
		[]string{attendance.Present, attendance.AbsentExcused}[r.IntN(2)], "")
	switch r.IntN(100) {
	case 0:
		data = storetest.Withdraw(pupil)
	case 1, 2, 3:
		data = storetest.Enrol(pupil, fmt.Sprint("class-", r.IntN(4)))
	case 4:
		if pupil == "pupil-7" {
			data = storetest.Mark(pupil, 1, attendance.Present, storetest.ReasonPanic)
		}
	}
	rec := storetest.Record(storetest.Event(school, n, data))
	for range 1 + r.IntN(10)/9 { // some come twice
		at, err := log.Append(t.Context(), school, []eventlog.Record{rec})
		require.NoError(t, err)
		b, err := log.Fetch(t.Context(), at.Partition, at.Offset, 1, 0)
		require.NoError(t, err)
		reference.Add(b.Records[0])
	}
}

// killConnections ends all connections of the projector again and again until stop, and returns how
// many there were. It waits for a commit between two rounds, so that a slow machine gets on as
// well.
func killConnections(ctx context.Context, t *testing.T, url string, stop <-chan struct{}) (n int) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	position := int64(-1)
	for {
		select {
		case <-stop:
			return n
		case <-tick.C:
		}
		var now int64
		if err := conn.QueryRow(ctx, `SELECT coalesce(sum(position), 0)
			FROM schoolbell.checkpoints`).
			Scan(&now); err != nil {
			t.Error(err)
			return n
		}
		if now == position {
			continue
		}
		position = now
		var killed int
		if err := conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database()
			AND application_name = 'schoolbell'`).Scan(&killed); err != nil {
			t.Error(err)
			return n
		}
		n += killed
	}
}

// waitFor waits until no partition is more than lag records behind.
func waitFor(t *testing.T, store testStore, log *memlog.Log, lag int64) {
	require.Eventually(t, func() bool {
		for n := range int32(testPartitions) {
			_, end, err := log.Bounds(t.Context(), n)
			require.NoError(t, err)
			if store.position(n) < end-lag {
				return false
			}
		}
		return true
	}, 5*time.Minute, 5*time.Millisecond)
}

// position is that of a partition, or -1 when the database does not answer.
func (s testStore) position(n int32) int64 {
	conn, err := pgx.Connect(s.t.Context(),
		s.url+"&application_name=observer&search_path=schoolbell")
	if err != nil {
		return -1
	}
	defer conn.Close(s.t.Context())
	at, err := checkpoint.Position(s.t.Context(), conn, "test", n)
	if err != nil {
		return -1
	}
	return at.Offset + 1
}

func TestParkedSubjectsForOperators(t *testing.T) {
	t.Parallel()
	url := devtest.EmptyPostgres(t)
	require.NoError(t, postgres.Migrate(t.Context(), url))
	store := openStoreAt(t, storetest.Set(false), url)
	require.NoError(t, postgres.CheckLog(t.Context(), url, eventlog.Topic{ID: "topic", Partitions: 1}))
	claim, err := store.Claim(t.Context(), 0, "topic")
	require.NoError(t, err)
	var c projections.Commit
	for i, school := range []string{"oak", "elm"} {
		key := projections.SubjectKey{School: school, Subject: "ana"}
		rec := storetest.Record(storetest.Event(school, i, storetest.Enrol("ana", "7A")))
		rec.Position.Offset = int64(i)
		c.Parking.Subjects = append(c.Parking.Subjects, projections.ParkedSubject{
			SubjectKey: key, FirstOffset: int64(i), Reason: "so", Attempts: 1, ParkedAt: time.Now(),
			RetryAt: time.Now().Add(time.Hour),
		})
		c.Parking.Events = append(c.Parking.Events,
			projections.ParkedEvent{SubjectKey: key, Type: "t", Record: rec})
	}
	c.To = 2
	require.NoError(t, store.Commit(t.Context(), claim, &c))

	all, err := store.ListParked(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, all, 2)
	some, err := store.ListParked(t.Context(), "elm")
	require.NoError(t, err)
	require.Len(t, some, 1)
	require.EqualValues(t, 1, some[0].Events)
	require.Equal(t, domain.Position{Offset: 1}, some[0].First().Position)
	n, err := store.RequestRetry(t.Context(), "elm", "")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	stored, err := store.Parked(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []bool{false, true},
		[]bool{stored[0].RetryRequested, stored[1].RetryRequested})

	// From the request on, the event is not folded, although its skip is not in the log.
	elm := projections.SubjectKey{School: "elm", Subject: "ana"}
	_, err = store.RequestSkip(t.Context(), elm, &domain.Position{Offset: 7})
	require.ErrorIs(t, err, projections.ErrNotParked, "it is elsewhere")
	for range 2 {
		at, err := store.RequestSkip(t.Context(), elm, &domain.Position{Offset: 1})
		require.NoError(t, err)
		require.Equal(t, domain.Position{Offset: 1}, at)
	}
	stored, err = store.Parked(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, []bool{false, true}, []bool{stored[0].SkipRequested, stored[1].SkipRequested})
	fold := projections.Commit{From: 2, To: 2, Parking: projections.Parking{Folded: []int64{1}}}
	require.ErrorContains(t, store.Commit(t.Context(), claim, &fold), "0:1 is to be skipped")

	api, err := postgres.NewPool(t.Context(), postgres.Config{URL: url, Role: postgres.API})
	require.NoError(t, err)
	defer api.Close()
	require.NoError(t, api.Read(t.Context(), "elm", func(tx pgx.Tx) error {
		// P10: nothing about others
		for school, want := range map[string]int64{"elm": 1, "oak": 0} {
			var n int64
			require.NoError(t, tx.QueryRow(t.Context(), `SELECT parked_count($1)`, school).Scan(&n))
			require.Equal(t, want, n, school)
		}
		return nil
	}))
}

// While events are folded, a reader sees all projections of a school at one and the same point of
// the log, which is the one that its answer names.
func TestP4_AllProjectionsShowOnePoint(t *testing.T) {
	t.Parallel()
	set := storetest.Set(false)
	store := openStore(t, set)
	log := memlog.New(1)
	e, err := projections.NewEngine(projections.Config{
		Name: "test", Set: set, Log: log, Group: log, Store: store, Decode: cloudevents.Decode,
		Window: 1000, MaxBatch: 30,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- e.Run(ctx) }()
	api, err := postgres.NewPool(t.Context(), postgres.Config{URL: store.url, Role: postgres.API})
	require.NoError(t, err)
	defer api.Close()

	const events = 3000
	for n := range events {
		data := storetest.Mark(fmt.Sprint("pupil-", n%50), n%20, attendance.Present, "")
		_, err := log.Append(t.Context(), "oak",
			[]eventlog.Record{storetest.Record(storetest.Event("oak", n, data))})
		require.NoError(t, err)
	}
	points := map[int64]bool{}
	for at := int64(-1); at < events-1; {
		require.NoError(t, api.Read(t.Context(), "oak", func(tx pgx.Tx) error {
			position, err := checkpoint.Position(t.Context(), tx, "test", 0)
			require.NoError(t, err)
			var kinds, journal, changes int64
			require.NoError(t, tx.QueryRow(t.Context(), `SELECT (SELECT coalesce(sum(events), 0)
				FROM test_kinds),
				(SELECT count(*) FROM test_journal), (SELECT coalesce(sum(changes), 0)
				FROM test_marks)`).Scan(&kinds, &journal, &changes))
			at = position.Offset
			require.Equal(t, []int64{at + 1, at + 1, at + 1}, []int64{kinds, journal, changes})
			points[at] = true
			return nil
		}))
	}
	t.Logf("read at %d points", len(points))
	cancel()
	require.NoError(t, <-ended)
}
