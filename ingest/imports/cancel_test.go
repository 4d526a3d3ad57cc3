package imports_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// begin applies a plan until a crash in the middle.
func (s *stack) begin(school, source string) *imports.Plan {
	s.t.Helper()
	defer imports.SetApplyBatch(3)()
	log := &crashing{Log: s.log, left: 1, written: true}
	plan, err := s.imports(log).Plan(s.t.Context(), school, "office",
		pack(s.t, complete(source), pupils(s.t, 7)...), false)
	require.NoError(s.t, err)
	_, err = s.imports(log).Apply(s.t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	require.ErrorIs(s.t, err, errCrash)
	return plan
}

// An import whose process died is given up: it writes no more, others of its source may begin, and
// the next one writes what it has not.
func testCancelled(t *testing.T, s *stack, school string) {
	begun := s.begin(school, "sis")
	service := s.imports(s.log)
	applying, err := service.List(t.Context(), school, "office", 10, imports.Applying)
	require.NoError(t, err)
	require.Len(t, applying, 1)
	for range 2 {
		ended, err := service.Cancel(t.Context(), school, "head", begun.ID)
		require.NoError(t, err)
		require.Equal(t, imports.Cancelled, ended.State)
		require.Equal(t, "head", ended.CancelledBy)
	}
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, begun.ID, nil)
	var cancelled *imports.CancelledError
	require.ErrorAs(t, err, &cancelled)
	require.Equal(t, "head", cancelled.By)
	written := len(s.roster(school).Students)
	require.Less(t, written, 7)
	require.NotZero(t, written)

	rest := s.apply(school, pack(t, complete("sis"), pupils(t, 7)...), false)
	require.EqualValues(t, 7-written, rest.Total)
	require.Len(t, s.roster(school).Students, 7)
	var applied *imports.AppliedError
	_, err = service.Cancel(t.Context(), school, "head", rest.ID)
	require.ErrorAs(t, err, &applied)
	_, err = service.Cancel(t.Context(), "another-school", "head", rest.ID)
	require.ErrorIs(t, err, imports.ErrUnknown)

	// A plan that was not begun is cancelled too, and can be made again.
	packed := pack(t, complete("sis"), pupils(t, 8)...)
	plan, err := service.Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	_, err = service.Cancel(t.Context(), school, "head", plan.ID)
	require.NoError(t, err)
	again, err := service.Plan(t.Context(), school, "office", packed, false)
	require.NoError(t, err)
	require.Equal(t, plan.ID, again.ID)
	require.Equal(t, imports.Planned, again.State)
	require.Zero(t, again.CancelledBy)
	s.apply(school, packed, false)
}

// halting is a log that lets a test do something while an append is under way.
type halting struct {
	*memlog.Log
	during func()
}

func (h *halting) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	h.during()
	return h.Log.Append(ctx, school, records)
}

// Cancelling waits for the batch that is being appended, and nothing is appended after it: what
// begins then is compared with all that the cancelled one has written.
func testCancelledWhileWriting(t *testing.T, s *stack, school string) {
	defer imports.SetApplyBatch(3)()
	var plan, ended *imports.Plan
	var cancelling sync.WaitGroup
	var failed error
	appends := 0
	service := s.imports(&halting{s.log, func() {
		if appends++; appends > 1 {
			return
		}
		cancelling.Go(func() {
			ended, failed = s.imports(s.log).Cancel(t.Context(), school, "head", plan.ID)
		})
		require.Eventually(t, s.somebodyWaits, 10*time.Second, time.Millisecond)
	}})
	plan, err := service.Plan(t.Context(), school, "office",
		pack(t, complete("sis"), pupils(t, 7)...), false)
	require.NoError(t, err)
	_, err = service.Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
	var cancelled *imports.CancelledError
	require.ErrorAs(t, err, &cancelled)
	cancelling.Wait()
	require.NoError(t, failed)
	require.EqualValues(t, 3, ended.Written)
	require.Equal(t, 1, appends)
	require.Len(t, s.roster(school).Students, 3)
}

// somebodyWaits reports that a transaction waits for an import that another one holds.
func (s *stack) somebodyWaits() (waits bool) {
	require.NoError(s.t, s.tables.Read(s.t.Context(), "any", func(tx pgx.Tx) error {
		return tx.QueryRow(s.t.Context(), `SELECT EXISTS (SELECT FROM pg_locks
			WHERE locktype = 'advisory' AND NOT granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).
			Scan(&waits)
	}))
	return waits
}

// Two plans of a source are applied at the same time: one of them is, and the other finds that it
// is too late.
func testTwoAtOnce(t *testing.T, s *stack, school string) {
	plans := make([]*imports.Plan, 2)
	for i := range plans {
		var err error
		plans[i], err = s.imports(s.log).Plan(t.Context(), school, "office",
			pack(t, complete("sis"), pupils(t, 3+i)...), false)
		require.NoError(t, err)
	}
	errs := s.together(2, func(i int) error {
		_, err := s.imports(s.log).Apply(t.Context(), school, imports.By{User: "office"}, plans[i].ID, nil)
		return err
	})
	done := 0
	for i, err := range errs {
		var busy *imports.BusyError
		var moved *imports.MovedError
		switch {
		case err == nil:
			done++
			require.Len(t, s.roster(school).Students, 3+i)
		case !errors.As(err, &busy) && !errors.As(err, &moved):
			require.ErrorIs(t, err, imports.ErrPlanning)
		}
	}
	require.Equal(t, 1, done)
}

// together does something n times at once.
func (s *stack) together(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errs
}

// Requests apply one import at the same time: each event is written once, and all of them learn that
// it is applied.
func testTwoRequests(t *testing.T, s *stack, school string) {
	defer imports.SetApplyBatch(2)()
	plan, err := s.imports(s.log).Plan(t.Context(), school, "office",
		pack(t, complete("sis"), pupils(t, 31)...), false)
	require.NoError(t, err)
	_, before, err := s.log.Bounds(t.Context(), 0)
	require.NoError(t, err)
	states := make([]imports.State, 3)
	for _, err := range s.together(len(states), func(i int) error {
		done, err := s.imports(s.log).Apply(t.Context(), school, imports.By{User: "office"}, plan.ID, nil)
		if err == nil {
			states[i] = done.State
		}
		return err
	}) {
		require.NoError(t, err)
	}
	require.Equal(t, []imports.State{imports.Applied, imports.Applied, imports.Applied}, states)
	_, after, err := s.log.Bounds(t.Context(), 0)
	require.NoError(t, err)
	require.EqualValues(t, 31+1, after-before)
	require.Len(t, s.roster(school).Students, 31)
}
