package facts_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

const (
	partitions = 4
	topic      = "events"
)

// world is all parts from the log to the ledger.
type world struct {
	t    *testing.T
	log  *memlog.Log
	jobs *pgxpool.Pool
	pool *postgres.Pool
}

func newWorld(t *testing.T) *world {
	t.Helper()
	url := devtest.Postgres(t)
	projector := devtest.Pool(t, url, postgres.Projector)
	jobs := devtest.Pool(t, url, postgres.Jobs)
	w := &world{t: t, log: memlog.New(partitions), jobs: jobs.Conns(), pool: jobs}
	projected, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	engine, err := projections.NewEngine(projections.Config{
		Name: set, Set: projected, Log: w.log, Group: w.log, Store: postgres.NewProjectionStore(projector, projected, set), Decode: cloudevents.Decode,
	})
	require.NoError(t, err)
	start(t, engine.Run)
	return w
}

// start runs something until the test ends or the function is called.
func start(t *testing.T, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

// consume plans what is in the log. Nothing is executed.
func (w *world) consume() (stop func()) {
	w.t.Helper()
	planners, err := consumers.NewPlanners(plan.Planners()...)
	require.NoError(w.t, err)
	l, err := ledger.New(ledger.Config{Pool: w.jobs, Source: w.log, Decode: cloudevents.Decode})
	require.NoError(w.t, err)
	reached := checkpoint.NewPositions(w.pool.Acquire, set)
	stopPositions := start(w.t, reached.Run)
	engine, err := consumers.NewEngine(consumers.Config{
		Planners: planners, Facts: facts.New(w.pool, set).Snapshot, Await: reached.Await,
		Settings: ledger.NewSettings(w.jobs), Ledger: l,
	})
	require.NoError(w.t, err)
	r, err := router.New(router.Config{
		Log: w.log, Topic: topic, Positions: checkpoint.NewGroups(w.jobs, router.ErrFenced, nil), Planner: engine, DeadLetters: l.AddDeadLetter,
		Reader: eventlog.NewReader(eventlog.ReaderConfig{
			Source: w.log, Decode: cloudevents.Decode,
		}),
	})
	require.NoError(w.t, err)
	stopEngine := start(w.t, engine.Run)
	stopRouter := start(w.t, r.Run)
	return func() { stopRouter(); stopEngine(); stopPositions() }
}

// append writes events of a school.
func (w *world) append(school string, events ...domain.Event) {
	w.t.Helper()
	records := make([]eventlog.Record, len(events))
	for i, e := range events {
		var err error
		records[i], err = cloudevents.Encode(&domain.Envelope{
			ID: fmt.Sprintf("%s-%T-%s-%d", school, e, e.Subject(), len(events)-i), Source: "test", School: school, Time: time.Now(), Data: e,
		})
		require.NoError(w.t, err)
	}
	for len(records) > 0 {
		n := min(len(records), 2000)
		_, err := w.log.Append(w.t.Context(), school, records[:n])
		require.NoError(w.t, err)
		records = records[n:]
	}
}

// planned waits until everything has been planned and returns how many deliveries there are.
func (w *world) planned() (n int) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		for p := range int32(partitions) {
			_, end, err := w.log.Bounds(w.t.Context(), p)
			require.NoError(w.t, err)
			var at int64
			_ = w.jobs.QueryRow(w.t.Context(), `SELECT position FROM schoolbell.checkpoints WHERE set_name = 'consumers' AND partition = $1`, p).Scan(&at)
			if at < end {
				return false
			}
		}
		return true
	}, 2*time.Minute, 20*time.Millisecond)
	require.NoError(w.t, w.jobs.QueryRow(w.t.Context(), `SELECT count(*) FROM schoolbell.ledger`).Scan(&n))
	return n
}

func (w *world) countJobs() (n int) {
	w.t.Helper()
	require.NoError(w.t, w.jobs.QueryRow(w.t.Context(), `SELECT count(*) FROM schoolbell_river.river_job`).Scan(&n))
	return n
}

// reset has the consumers read the log again.
func reset(t *testing.T, positions *checkpoint.Groups) {
	t.Helper()
	n, err := positions.Reset(t.Context(), "consumers", nil, false)
	require.NoError(t, err)
	require.NotZero(t, n)
}

// schoolYear are the events of a school: students with and without a guardian's telephone, and
// their marks.
func schoolYear(students, days int) []domain.Event {
	today := domain.DateOf(time.Now())
	var events []domain.Event
	for i := range students {
		id := "st" + strconv.Itoa(i)
		events = append(events, &student.Enrolled{StudentID: id, GivenName: "Ama", FamilyName: "Diallo", ClassID: "c1", On: today})
		phone := "+2250102030405"
		if i%10 == 0 {
			phone = ""
		}
		events = append(events, &guardian.Linked{GuardianID: "g" + id, StudentID: id, Name: "Awa", Relation: "mother", Phone: phone, Primary: true})
	}
	for day := range days {
		for i := range students {
			status := attendance.AbsentUnexcused
			if i%2 == 1 {
				status = attendance.Present
			}
			events = append(events, &attendance.Marked{StudentID: "st" + strconv.Itoa(i), ClassID: "c1", Date: today, Session: "p" + strconv.Itoa(day), Status: status})
		}
	}
	return events
}

// TestP5_ReplayPlansNothing resets the consumer and has it read 10,000 events again, 100,000 in
// the long tier: with the position that it has reached before; without it, so that only the
// deliveries' ids keep them once; and with more facts than before.
func TestP5_ReplayPlansNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const schools, days = 4, 23 // and two events for each student
	events := devtest.Size(t, "SCHOOLBELL_REPLAY_EVENTS", 10_000, 100_000)
	students := max(1, events/schools/(days+2))
	for i := range schools {
		w.append("s"+strconv.Itoa(i), schoolYear(students, days)...)
	}
	stop := w.consume()
	began := time.Now()
	first := w.planned()
	stop()
	require.NotZero(t, first)
	jobs := w.countJobs()
	require.LessOrEqual(t, jobs, first)
	t.Logf("%d deliveries from %d events in %s", first, events, time.Since(began).Round(time.Millisecond))
	positions := checkpoint.NewGroups(w.jobs, router.ErrFenced, nil)

	reset(t, positions)
	stop = w.consume()
	require.Equal(t, first, w.planned())
	stop()

	_, err := w.jobs.Exec(t.Context(), `DELETE FROM schoolbell.checkpoints WHERE set_name LIKE 'consumers%'`)
	require.NoError(t, err)
	stop = w.consume()
	require.Equal(t, first, w.planned(), "the ids alone keep it once")
	stop()

	// Every student gets another primary guardian; those that had no telephone get one.
	for i := range schools {
		var news []domain.Event
		for j := range students {
			news = append(news, &guardian.Linked{GuardianID: "new" + strconv.Itoa(j), StudentID: "st" + strconv.Itoa(j), Name: "Ali", Relation: "father", Phone: "+2250102030499", Primary: true})
		}
		w.append("s"+strconv.Itoa(i), news...)
	}
	stop = w.consume()
	require.Equal(t, first, w.planned())
	stop()
	reset(t, positions)
	stop = w.consume()
	require.Equal(t, first, w.planned(), "there are more facts, and what was planned stays as it was")
	stop()
	require.Equal(t, jobs, w.countJobs())
}
