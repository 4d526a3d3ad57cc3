package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain/delivery"
)

// moments records when a provider was called.
type moments struct {
	mu sync.Mutex
	at []time.Time
}

func (m *moments) note() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = append(m.at, time.Now())
}

func TestAProvidersPauseIsRespected(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var asked moments
	const pause = 700 * time.Millisecond
	p := newProvider(func(_ context.Context, _ *consumers.Delivery, times int) (consumers.Receipt, error) {
		asked.note()
		if times == 1 {
			return consumers.Receipt{}, &consumers.SendError{Class: consumers.Temporary, RetryAfter: pause, Err: errors.New("too many")}
		}
		return consumers.Receipt{}, nil
	})
	l := w.ledger(only(consumers.SMS, p))
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1")})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"sent": 1})
	require.GreaterOrEqual(t, asked.at[1].Sub(asked.at[0]), pause)
}

func TestPausesGrowToALimit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var asked moments
	p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		asked.note()
		return consumers.Receipt{}, &consumers.SendError{Class: consumers.Temporary, Err: errors.New("down")}
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Attempts, cfg.RetryMin, cfg.RetryMax = 6, 100*time.Millisecond, 400*time.Millisecond
	})
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1")})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"dead": 1})
	require.Len(t, asked.at, 6)
	for i, half := range []int{50, 100, 200, 200, 200} { // the other half is random
		require.GreaterOrEqual(t, asked.at[i+1].Sub(asked.at[i]), time.Duration(half)*time.Millisecond, "pause %d", i+1)
	}
}

// TestALimitHoldsForAllProcesses has two ledgers send through the same provider. The limit is a
// mean: no call may come before its slot, but one that is late need not wait for the next.
func TestALimitHoldsForAllProcesses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var asked moments
	const limit, deliveries = 50.0, 60
	for range 2 {
		p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
			asked.note()
			return consumers.Receipt{}, nil
		})
		p.can.Rate = limit
		run(t, w.ledger(only(consumers.SMS, p)))
	}
	began := time.Now()
	_, err := w.ledger(nil).Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, numbers("g", deliveries)...)})
	require.NoError(t, err)
	w.eventually(map[string]int{"sent": deliveries})
	least := time.Duration(float64(deliveries-1) / limit * float64(time.Second))
	require.GreaterOrEqual(t, asked.at[len(asked.at)-1].Sub(began), least)
}

// TestUnknownOutcomesExpire has a delivery whose outcome is unknown and stays so. It fails without
// being sent again, and a report that comes even later counts.
func TestUnknownOutcomesExpire(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		return consumers.Receipt{}, errors.New("timeout")
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.UnknownTimeout = map[consumers.Channel]time.Duration{consumers.SMS: time.Second}
	})
	pl := plan("s1", "e1", 0, "g1")
	id := ids(pl)[0]
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"unknown": 1})
	w.eventually(map[string]int{"failed": 1})
	require.Equal(t, 1, p.times(id))
	require.NoError(t, l.Receive(t.Context(), consumers.Report{Provider: "remembering", DeliveryID: id, State: consumers.Delivered}))
	w.eventually(map[string]int{"delivered": 1})
	require.Eventually(t, func() bool { return len(w.outcomes()[id]) == 2 }, 10*time.Second, 10*time.Millisecond)
	require.Equal(t, []string{delivery.TypeFailed, delivery.TypeDelivered}, w.outcomes()[id])
}

// TestMetricsCountEveryFate reads what operators see after one delivery of each fate.
func TestMetricsCountEveryFate(t *testing.T) {
	t.Parallel()
	w := setup(t)
	fates := map[string]error{
		"sent": nil, "failed": &consumers.SendError{Class: consumers.Permanent, Code: "21211", Err: errors.New("no such number")},
		"unknown": errors.New("timeout"), "dead": &consumers.SendError{Class: consumers.Temporary, Code: "500", Err: errors.New("down")},
	}
	p := newProvider(func(_ context.Context, d *consumers.Delivery, _ int) (consumers.Receipt, error) {
		return consumers.Receipt{ProviderID: d.ID, Cost: 7500}, fates[d.Recipient]
	})
	registry := prometheus.NewRegistry()
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Attempts, cfg.Metrics = 2, registry
	})
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "sent", "failed", "unknown", "dead")})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"sent": 1, "failed": 1, "unknown": 1, "dead": 1})
	want := `# HELP schoolbell_jobs_attempts_total Attempts by result.
# TYPE schoolbell_jobs_attempts_total counter
schoolbell_jobs_attempts_total{queue="sms",reason="",state="sent"} 1
schoolbell_jobs_attempts_total{queue="sms",reason="permanent",state="failed"} 1
schoolbell_jobs_attempts_total{queue="sms",reason="temporary",state="dead"} 1
schoolbell_jobs_attempts_total{queue="sms",reason="temporary",state="retry"} 1
schoolbell_jobs_attempts_total{queue="sms",reason="unknown",state="unknown"} 1
# HELP schoolbell_jobs_cost_total Cost of deliveries, in the provider's currency; schools beyond the first 500 are counted as others.
# TYPE schoolbell_jobs_cost_total counter
schoolbell_jobs_cost_total{provider="remembering",school="s1"} 0.0075
# HELP schoolbell_jobs_provider_errors_total Errors of providers.
# TYPE schoolbell_jobs_provider_errors_total counter
schoolbell_jobs_provider_errors_total{class="permanent",code="21211",provider="remembering"} 1
schoolbell_jobs_provider_errors_total{class="temporary",code="500",provider="remembering"} 2
schoolbell_jobs_provider_errors_total{class="unknown",code="",provider="remembering"} 1
`
	require.Eventually(t, func() bool {
		return testutil.GatherAndCompare(registry, strings.NewReader(want),
			"schoolbell_jobs_attempts_total", "schoolbell_jobs_cost_total", "schoolbell_jobs_provider_errors_total") == nil
	}, 10*time.Second, 20*time.Millisecond)
	require.Equal(t, 1, testutil.CollectAndCount(registry, "schoolbell_jobs_provider_seconds"))
	require.Equal(t, 1, testutil.CollectAndCount(registry, "schoolbell_jobs_waiting_seconds"))
}

func TestCostsOfManySchoolsStayFew(t *testing.T) {
	t.Parallel()
	w := setup(t)
	registry := prometheus.NewRegistry()
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, newProvider(nil))(cfg)
		cfg.Metrics = registry
	})
	var plans []consumers.Planning
	for i := range 520 {
		plans = append(plans, plan(fmt.Sprint("s", i), "e1", int64(i), "g1"))
	}
	_, err := l.Commit(t.Context(), plans)
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"sent": 520})
	require.Eventually(t, func() bool {
		return testutil.CollectAndCount(registry, "schoolbell_jobs_cost_total") == 501
	}, 10*time.Second, 20*time.Millisecond)
}
