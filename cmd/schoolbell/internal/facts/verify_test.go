package facts_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/verify"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// verify recomputes all plans.
func (w *world) verify() (all verify.Result) {
	w.t.Helper()
	planners, err := consumers.NewPlanners(plan.Planners()...)
	require.NoError(w.t, err)
	l, err := ledger.New(ledger.Config{Pool: w.jobs})
	require.NoError(w.t, err)
	v := &verify.Verification{
		Planners: planners, Settings: ledger.NewSettings(w.jobs), Log: w.log, Decode: cloudevents.Decode,
	}
	for p := range int32(partitions) {
		stored, err := l.Partition(w.t.Context(), p)
		require.NoError(w.t, err)
		checked, err := v.Partition(w.t.Context(), p, stored)
		require.NoError(w.t, err)
		all.Events += checked.Events
		all.Deliveries += checked.Deliveries
		all.Findings = append(all.Findings, checked.Findings...)
	}
	return all
}

// TestVerify plans a simulated year while it is being written, so that the facts often reach
// further than the event that is planned, and recomputes every plan.
func TestVerify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	year := simulate.Config{Schools: 3, Students: 60, Days: 60, Seed: 7}
	settings := ledger.NewSettings(w.jobs)
	rules := map[string]consumers.Rule{}
	for _, p := range plan.Planners() {
		rules[p.Name] = consumers.Rule{On: true, MaxAge: -1}
	}
	schools := map[string]bool{}
	for e := range year.Events() {
		if !schools[e.School] {
			schools[e.School] = true
			require.NoError(t, settings.Set(t.Context(), &consumers.Settings{School: e.School, Rules: rules}, "test"))
		}
	}
	stop := w.consume()
	records := map[string][]eventlog.Record{}
	flush := func(school string) {
		_, err := w.log.Append(t.Context(), school, records[school])
		require.NoError(t, err)
		delete(records, school)
	}
	for e := range year.Events() {
		rec, err := cloudevents.Encode(e)
		require.NoError(t, err)
		if records[e.School] = append(records[e.School], rec); len(records[e.School]) == 100 {
			flush(e.School)
		}
	}
	for school := range records {
		flush(school)
	}
	planned := w.planned()
	stop()
	require.NotZero(t, planned)
	checked := w.verify()
	t.Logf("%d events, %d deliveries", checked.Events, checked.Deliveries)
	require.Equal(t, planned, checked.Deliveries)
	require.Empty(t, checked.Findings)

	for _, change := range []struct{ finding, sql string }{
		{"missing", `DELETE FROM schoolbell.ledger WHERE id = (SELECT min(id) FROM schoolbell.ledger)`},
		{"different", `UPDATE schoolbell.ledger SET address = 'x' || address WHERE id = (SELECT max(id) FROM schoolbell.ledger)`},
		{"surplus", `UPDATE schoolbell.ledger SET id = 'surplus' WHERE id = (SELECT min(id) FROM schoolbell.ledger)`},
	} {
		_, err := w.jobs.Exec(t.Context(), change.sql)
		require.NoError(t, err)
		kinds := map[string]bool{}
		for _, f := range w.verify().Findings {
			kinds[f.Kind] = true
		}
		require.True(t, kinds[change.finding], change.finding)
	}
}
