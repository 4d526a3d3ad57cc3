package projections_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// However events are cut into batches, wherever it crashes, and however little is held in memory:
// the tables are those of one fold.
func TestP3_AnyBatchingGivesTheSameTables(t *testing.T) {
	t.Parallel()
	set := storetest.Set(false)
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(anyEvent(), 1, 60).Draw(t, "events")
		reference := projections.NewReference(set, nil, 1, 1)
		for i, e := range events {
			e.Position.Offset = int64(i)
			_ = reference.Fold(e) // those that fail are left out on both sides
		}
		store := memstore.New()
		for next := int64(0); next < int64(len(events)); {
			next = foldUntilCrash(t, set, store, events)
		}
		want, err := reference.Dump()
		require.NoError(t, err)
		got, err := store.Dump()
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// foldUntilCrash is one life of a worker. It returns how far the store is afterwards.
func foldUntilCrash(
	t *rapid.T, set *projections.Set, store *memstore.Store, events []*domain.Envelope,
) int64 {
	claim, err := store.Claim(t.Context(), 0, "topic")
	require.NoError(t, err)
	rows := projections.NewBatch(set, claim.Next == 0)
	crash := rapid.IntRange(1, 6).Draw(t, "batches until the crash")
	for from := claim.Next; from < int64(len(events)) && crash > 0; crash-- {
		to := min(from+rapid.Int64Range(1, 15).Draw(t, "batch"), int64(len(events)))
		for i, e := range events[from:to] {
			foldOne(t, store, rows, e, events[from+int64(i):to])
		}
		sets, _ := rows.Take(rapid.IntRange(0, 10).Draw(t, "rows held"))
		if crash == 1 && rapid.Bool().Draw(t, "before the commit") {
			break
		}
		require.NoError(t,
			store.Commit(t.Context(), claim, &projections.Commit{From: from, To: to, Rows: sets}))
		from = to
	}
	return store.Position(0)
}

func foldOne(
	t *rapid.T, store *memstore.Store, rows *projections.Batch, e *domain.Envelope,
	ahead []*domain.Envelope,
) {
	for {
		outcome, err := rows.Fold(e)
		if outcome != projections.Missing {
			require.Equal(t, outcome == projections.Failed, err != nil)
			return
		}
		for _, next := range ahead[:rapid.IntRange(0, len(ahead)).Draw(t, "probed")] {
			rows.Probe(next)
		}
		require.NoError(t, store.Lookup(t.Context(), rows.Lookups()))
		rows.Settle()
	}
}

func anyEvent() *rapid.Generator[*domain.Envelope] {
	n := 0
	return rapid.Custom(func(t *rapid.T) *domain.Envelope {
		n++
		school := rapid.SampledFrom([]string{"oak", "elm"}).Draw(t, "school")
		pupil := rapid.SampledFrom([]string{"ana", "bo", "cy"}).Draw(t, "pupil")
		reason := rapid.SampledFrom([]string{
			"", "", "", storetest.ReasonFail,
			storetest.ReasonPanic,
		}).Draw(t, "reason")
		status := rapid.SampledFrom([]string{
			attendance.Present,
			attendance.AbsentUnexcused,
		}).Draw(t, "status")
		var data domain.Event
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			data = storetest.Enrol(pupil, rapid.SampledFrom([]string{"7A", "7B"}).Draw(t, "class"))
		case 1:
			data = storetest.Withdraw(pupil)
		default:
			data = storetest.Mark(pupil, rapid.IntRange(0, 3).Draw(t, "day"), status, reason)
		}
		return storetest.Event(school, n, data)
	})
}

// The changes that a batch reports are those of its events, and of none that failed.
func TestChangesNameWhatEventsChanged(t *testing.T) {
	t.Parallel()
	rows := projections.NewBatch(storetest.Set(false), true)
	for i, data := range []domain.Event{
		storetest.Enrol("ana", "7A"), storetest.Mark("bo", 1, attendance.Present, ""),
		storetest.Mark("ana", 1, attendance.Present, storetest.ReasonFail),
	} {
		e := storetest.Event("oak", i, data)
		e.Position.Offset = int64(10 + i)
		_, err := rows.Fold(e)
		require.Equal(t, i == 2, err != nil)
		var p *projections.PanicError
		require.False(t, errors.As(err, &p))
	}
	_, changes := rows.Take(100)
	require.Equal(t, []*projections.Change{{School: "oak", Offsets: []int64{10, 11, 11}}}, changes)
}
