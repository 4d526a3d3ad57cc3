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
)

// onAtATime has one worker, so that the order of work is the order in which jobs are fetched.
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
	large := plan("large", "e1", 0, numbers("g", 2000)...)
	small := plan("small", "e2", 1, "g1", "g2", "g3")
	for _, pl := range []consumers.Planning{large, small} {
		_, err := l.Keep(t.Context(), []consumers.Planning{pl})
		require.NoError(t, err)
	}
	run(t, l)
	w.eventually(map[string]int{"sent": 2003})
	order := p.order()
	for _, id := range ids(small) {
		require.Less(t, slices.Index(order, id), 10, "three of a small school do not wait for 2,000 of a large one")
	}
}

func TestASchoolThatComesLaterJoinsWhereTheLineIs(t *testing.T) {
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
	_, err := l.Keep(t.Context(), []consumers.Planning{plan("large", "e1", 0, numbers("g", 1000)...)})
	require.NoError(t, err)
	run(t, l)
	<-half
	small := plan("small", "e2", 1, numbers("h", 100)...)
	_, err = l.Keep(t.Context(), []consumers.Planning{small})
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

func TestUrgentOvertakesTenThousandBulk(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // the provider takes its time
		return consumers.Receipt{}, nil
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Workers = map[string]int{ledger.QueueSMS: 8}
	})
	bulk := planFor(consumers.Delivery{Channel: consumers.SMS, Priority: consumers.Bulk}, "s", "bulk", 0, numbers("g", 10_000)...)
	_, err := l.Keep(t.Context(), []consumers.Planning{bulk})
	require.NoError(t, err)
	run(t, l)
	require.Eventually(t, func() bool { return len(p.order()) > 200 }, 20*time.Second, time.Millisecond)
	var urgent []string
	for i := range 50 {
		u := planFor(consumers.Delivery{Channel: consumers.SMS, Priority: consumers.Urgent}, "s", fmt.Sprint("urgent", i), int64(i), "g1")
		_, err := l.Keep(t.Context(), []consumers.Planning{u})
		require.NoError(t, err)
		urgent = append(urgent, ids(u)...)
	}
	require.Eventually(t, func() bool {
		order := p.order()
		return !slices.ContainsFunc(urgent, func(id string) bool { return !slices.Contains(order, id) })
	}, 20*time.Second, 20*time.Millisecond)
	require.Less(t, len(p.order()), 9000, "the backlog is still there when the urgent ones are through")
	var p99 float64
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM started_at - planned_at)), -1)
		FROM schoolbell.ledger WHERE priority = 1`).Scan(&p99))
	t.Logf("urgent ones waited %.0f ms at p99", 1000*p99)
}
