package ledger_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// oneAtATime has one worker, so that the order of work is the order in which jobs are fetched.
func oneAtATime(p consumers.Provider) func(*ledger.Config) {
	return func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Workers = map[string]int{ledger.QueueSMS: 1}
	}
}

func TestSchoolsTakeTurns(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(nil)
	l := w.ledger(oneAtATime(p))
	large := plan("large", "e1", 0, numbers("g", devtest.Size(t, "SCHOOLBELL_FAIR_DELIVERIES", 5000, 50_000))...)
	small := plan("small", "e2", 1, "g1", "g2", "g3")
	for _, pl := range []consumers.Planning{large, small} {
		_, err := l.Commit(t.Context(), []consumers.Planning{pl})
		require.NoError(t, err)
	}
	run(t, l)
	w.done(p, ids(small))
	order := p.order()
	for i, id := range ids(small) {
		at := slices.Index(order, id)
		t.Logf("number %d of the small school was number %d of all", i+1, at+1)
		require.Less(t, at, 10, "three of a small school do not wait for 5,000 of a large one")
	}
}

// done waits until the provider has received some deliveries.
func (w *world) done(p *remembering, ids []string) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		return !slices.ContainsFunc(ids, func(id string) bool { return p.times(id) == 0 })
	}, time.Minute, 5*time.Millisecond)
}

func TestASchoolThatComesLaterJoinsAtThePositionBeingServed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	half, resume := make(chan struct{}), make(chan struct{})
	p := newProvider(nil)
	p.answer = func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		if len(p.order()) == 500 {
			close(half)
			<-resume
		}
		return consumers.Receipt{}, nil
	}
	l := w.ledger(oneAtATime(p))
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("large", "e1", 0, numbers("g", 1000)...)})
	require.NoError(t, err)
	run(t, l)
	<-half
	small := plan("small", "e2", 1, numbers("h", 100)...)
	_, err = l.Commit(t.Context(), []consumers.Planning{small})
	require.NoError(t, err)
	close(resume)
	w.eventually(map[string]int{"sent": 1100})
	order := p.order()
	first, last := len(order), 0
	for _, id := range ids(small) {
		first, last = min(first, slices.Index(order, id)), max(last, slices.Index(order, id))
	}
	require.Less(t, first, 510, "it does not wait for the backlog")
	require.Greater(t, last, 650, "nor does it push all others back: they take turns")
	require.Less(t, last, 750)
}

// TestUrgentOvertakesBulk plans urgent deliveries one after the other while a backlog is
// worked off, and counts how many of the backlog were done between when each was planned and when
// it was done.
func TestUrgentOvertakesBulk(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		<-time.After(5 * time.Millisecond) // the provider takes its time
		return consumers.Receipt{}, nil
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Workers = map[string]int{ledger.QueueSMS: 8}
	})
	backlog := devtest.Size(t, "SCHOOLBELL_FAULT_BACKLOG", 2000, 10_000)
	bulk := planFor(consumers.Delivery{Channel: consumers.SMS, Priority: consumers.Bulk}, "s", "bulk", 0, numbers("g", backlog)...)
	_, err := l.Commit(t.Context(), []consumers.Planning{bulk})
	require.NoError(t, err)
	run(t, l)
	require.Eventually(t, func() bool { return len(p.order()) > 200 }, 20*time.Second, time.Millisecond)
	planned := map[string]int{} // how many had been done when an urgent one was planned
	for i := 0; len(p.order()) < backlog; i++ {
		u := planFor(consumers.Delivery{Channel: consumers.SMS, Priority: consumers.Urgent}, "s", fmt.Sprint("urgent", i), int64(i), "g1")
		_, err := l.Commit(t.Context(), []consumers.Planning{u})
		require.NoError(t, err)
		planned[ids(u)[0]] = len(p.order())
		w.done(p, ids(u))
	}
	require.Greater(t, len(planned), 20)
	order, overtaken := p.order(), 0
	for id, at := range planned {
		overtaken = max(overtaken, slices.Index(order, id)-at)
	}
	var p99 float64
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - planned_at))
		FROM schoolbell.ledger WHERE priority = 1`).Scan(&p99))
	t.Logf("%d urgent ones while %d drained: they waited for %.0f ms at p99, and for %d others at most",
		len(planned), backlog, 1000*p99, overtaken)
	require.Less(t, overtaken, backlog/10, "they do not wait for the backlog")
}
