package projtest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/memstore"
)

// FoldsAlike checks that the projections come to the same tables however their events are folded:
// all at once in the order of the log, or in batches of any size, with rows forgotten and looked up
// again, by one worker after the other, and with the events of some subjects late, as when they
// were parked.
//
// The events are drawn from the catalogue, from their structs and rules, so that a new one needs
// nothing here. The check fails as well when it has proved nothing: when a fold was never reached,
// or a table stayed empty in all runs.
func FoldsAlike(t *testing.T, members ...*projections.Projection) {
	t.Helper()
	set, err := projections.NewSet(members...)
	require.NoError(t, err)
	facts := foldedBy(set)
	require.NotEmpty(t, facts, "the projections fold no event of the catalogue")
	folded, filled := map[reflect.Type]bool{}, map[string]bool{}
	rapid.Check(t, func(t *rapid.T) {
		events := draw(t, facts)
		plain := projections.NewReference(set, nil, 1, 0)
		for _, e := range events {
			require.NoError(t, plain.Fold(e))
			folded[reflect.TypeOf(e.Data).Elem()] = true
		}
		want, err := plain.Dump()
		require.NoError(t, err)
		for table, rows := range want {
			filled[table] = filled[table] || len(rows) > 0
		}

		o := worker{t: t, set: set, store: memstore.New()}
		o.begin()
		for _, e := range late(t, events) {
			o.fold(e)
			switch rapid.IntRange(0, 9).Draw(t, "next") {
			case 0, 1, 2:
				o.take()
			case 3:
				o.take()
				o.commit()
				o.begin()
			}
		}
		o.take()
		o.commit()
		got, err := o.store.Dump()
		require.NoError(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("tables differ from a plain fold (-plain +batches):\n%s", diff)
		}
	})
	for _, f := range facts {
		require.True(t, folded[f.GoType()], "no run folded a %s", f.Type)
	}
	for _, table := range set.Tables() {
		require.True(t, filled[table.Schema().Name], "no run put a row into %s",
			table.Schema().Name)
	}
}

// worker is one partition worker after the other. As in the engine, what was taken is written while
// the next batch is folded, so that a fold which changed a row in place would be found out.
type worker struct {
	t     *rapid.T
	set   *projections.Set
	store *memstore.Store
	batch *projections.Batch
	claim projections.Claim
	taken []projections.RowSet
}

func (o *worker) begin() {
	claim, err := o.store.Claim(o.t.Context(), 0, "topic")
	require.NoError(o.t, err)
	o.claim = claim
	o.batch = projections.NewBatch(o.set, claim.Epoch == 1)
}

func (o *worker) fold(e *domain.Envelope) {
	for range 10 { // a fold finds out round by round which rows it needs
		outcome, err := o.batch.Fold(e)
		require.NoError(o.t, err)
		if outcome == projections.Folded {
			return
		}
		require.NoError(o.t, o.store.Lookup(o.t.Context(), o.batch.Lookups()))
		o.batch.Settle()
	}
	o.t.Fatalf("fold of %s keeps reading rows that were not looked up", e.Type)
}

func (o *worker) take() {
	o.commit()
	o.taken, _ = o.batch.Take(rapid.IntRange(0, 20).Draw(o.t, "rows to cache"))
}

func (o *worker) commit() {
	if len(o.taken) == 0 {
		return
	}
	err := o.store.Commit(o.t.Context(), o.claim,
		&projections.Commit{From: o.claim.Next, To: o.claim.Next + 1, Rows: o.taken})
	require.NoError(o.t, err)
	o.claim.Next++
	o.taken = nil
}

// late puts the events of some subjects behind those of the others. The order within a subject
// stays.
func late(t *rapid.T, events []*domain.Envelope) []*domain.Envelope {
	delay := map[string]int{}
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b *domain.Envelope) int {
		return at(t, delay, a) - at(t, delay, b)
	})
	return events
}

func at(t *rapid.T, delay map[string]int, e *domain.Envelope) int {
	subject := e.School + " " + e.Data.Subject()
	d, drawn := delay[subject]
	if !drawn {
		d = rapid.SampledFrom([]int{0, 0, 5, 1000}).Draw(t, "delay of "+subject)
		delay[subject] = d
	}
	return int(e.Position.Offset) + d
}
