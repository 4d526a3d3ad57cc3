package ledger_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain/delivery"
)

// lookup is a provider with status lookups.
type lookup struct {
	*remembering
	status func(d *consumers.Delivery) (consumers.Receipt, bool, error)
}

func (a lookup) Status(_ context.Context, d *consumers.Delivery) (consumers.Receipt, bool, error) {
	return a.status(d)
}

func TestUnknownOutcomesAreLookedUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		found bool
		sends int
	}{"it got through": {true, 1}, "it did not": {false, 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			p := lookup{newProvider(func(_ context.Context, _ *consumers.Delivery, times int) (consumers.Receipt, error) {
				if times == 1 {
					return consumers.Receipt{}, errors.New("timeout")
				}
				return consumers.Receipt{ProviderID: "second"}, nil
			}), func(*consumers.Delivery) (consumers.Receipt, bool, error) {
				return consumers.Receipt{ProviderID: "first", State: consumers.Delivered}, c.found, nil
			}}
			p.can = consumers.Abilities{Status: true}
			l := w.ledger(only(consumers.SMS, p))
			pl := plan("s1", "e1", 0, "g1")
			_, err := l.Commit(t.Context(), []consumers.Planning{pl})
			require.NoError(t, err)
			run(t, l)
			want := map[string]int{"sent": 1}
			if c.found {
				want = map[string]int{"delivered": 1}
			}
			w.eventually(want)
			require.Equal(t, c.sends, p.times(pl.Deliveries[0].ID))
		})
	}
}

func TestReportsComeInAnyOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var l *ledger.Ledger
	p := newProvider(func(ctx context.Context, d *consumers.Delivery, _ int) (consumers.Receipt, error) {
		// The report overtakes the response.
		err := l.Receive(ctx, consumers.Report{Provider: "remembering", ProviderID: "p1", DeliveryID: d.ID, State: consumers.Delivered})
		return consumers.Receipt{ProviderID: "p1", Cost: 7}, err
	})
	l = w.ledger(only(consumers.SMS, p))
	pl := plan("s1", "e1", 0, "g1")
	id := pl.Deliveries[0].ID
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	require.Eventually(t, func() bool { return len(w.outcomes()[id]) == 2 }, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, sorted([]string{delivery.TypeDelivered, delivery.TypeSent}), sorted(w.outcomes()[id]))
	for range 2 {
		for _, s := range []consumers.State{consumers.Sent, consumers.Failed, consumers.Delivered} {
			require.NoError(t, l.Receive(t.Context(), consumers.Report{Provider: "remembering", ProviderID: "p1", State: s}))
		}
	}
	e, err := l.Show(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, consumers.Delivered, e.State)
	require.Equal(t, int64(7), e.Cost)
	require.ErrorIs(t, l.Receive(t.Context(), consumers.Report{Provider: "remembering", ProviderID: "other", State: consumers.Sent}), consumers.ErrUnknownDelivery)
}

func TestAReportResolvesAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		return consumers.Receipt{}, errors.New("timeout")
	})
	l := w.ledger(only(consumers.SMS, p))
	pl := plan("s1", "e1", 0, "g1")
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"unknown": 1})
	require.NoError(t, l.Receive(t.Context(), consumers.Report{Provider: "remembering", DeliveryID: pl.Deliveries[0].ID, ProviderID: "p", State: consumers.Sent}))
	w.eventually(map[string]int{"sent": 1})
	require.Equal(t, 1, p.times(pl.Deliveries[0].ID))
}

func TestAStopReturnsJobsAtNoCost(t *testing.T) {
	t.Parallel()
	w := setup(t)
	begun := make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	slow := newProvider(func(ctx context.Context, _ *consumers.Delivery, _ int) (consumers.Receipt, error) {
		once()
		<-ctx.Done()
		return consumers.Receipt{}, &consumers.SendError{Class: consumers.Temporary, Err: ctx.Err()}
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, slow)(cfg)
		cfg.StopTimeout = 50 * time.Millisecond
	})
	pl := plan("s1", "e1", 0, "g1")
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	stop := run(t, l)
	<-begun
	stop()
	e, err := l.Show(t.Context(), pl.Deliveries[0].ID)
	require.NoError(t, err)
	require.Equal(t, consumers.Planned, e.State)
	require.Zero(t, e.Attempts)

	next := w.ledger(only(consumers.SMS, newProvider(nil)))
	run(t, next)
	w.eventually(map[string]int{"sent": 1})
}

func TestOperatorsDecide(t *testing.T) {
	t.Parallel()
	w := setup(t)
	broken := true
	var mu sync.Mutex
	p := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			return consumers.Receipt{}, &consumers.SendError{Class: consumers.Temporary, Err: errors.New("down")}
		}
		return consumers.Receipt{}, nil
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Attempts = 2
	})
	pl := plan("s1", "e1", 0, "g1", "g2", "g3")
	id := ids(pl)
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"dead": 3})
	mu.Lock()
	broken = false
	mu.Unlock()

	require.NoError(t, l.Retry(t.Context(), id[0], "me"))
	require.NoError(t, l.Discard(t.Context(), id[1], "me"))
	require.NoError(t, l.Cancel(t.Context(), id[2], "me"))
	w.eventually(map[string]int{"sent": 1, "failed": 1, "cancelled": 1})
	var wrong *ledger.StateError
	require.ErrorAs(t, l.Cancel(t.Context(), id[0], "me"), &wrong)
	require.ErrorIs(t, l.Cancel(t.Context(), "nobody", "me"), consumers.ErrUnknownDelivery)
	list, err := l.List(t.Context(), ledger.Filter{School: "s1", State: consumers.Cancelled})
	require.NoError(t, err)
	require.Len(t, list, 1)

	require.NoError(t, l.Pause(t.Context(), ledger.QueueSMS))
	require.Eventually(t, func() bool { q, err := l.Paused(t.Context()); return err == nil && len(q) == 1 }, 10*time.Second, 10*time.Millisecond)
}

func TestANoticeWaitsForItsDocument(t *testing.T) {
	t.Parallel()
	w := setup(t)
	doc := &consumers.Document{Kind: "receipt", StudentID: "st1", SHA256: "a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5a3f5", Bytes: 12}
	painter := newProvider(func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		return consumers.Receipt{State: consumers.Rendered, Document: doc}, nil
	})
	seen := make(chan *consumers.Document, 1)
	mail := newProvider(func(_ context.Context, d *consumers.Delivery, _ int) (consumers.Receipt, error) {
		seen <- d.Document
		return consumers.Receipt{}, nil
	})
	l := w.ledger(func(cfg *ledger.Config) {
		cfg.Providers = map[consumers.Channel]consumers.Provider{consumers.PDF: painter, consumers.Email: mail}
	})
	both := planFor(consumers.Delivery{Channel: consumers.PDF}, "s1", "e1", 0, "st1")
	notice := planFor(consumers.Delivery{Channel: consumers.Email, DependsOn: both.Deliveries[0].ID}, "s1", "e1", 0, "g1")
	both.Deliveries = append(both.Deliveries, notice.Deliveries...)
	_, err := l.Commit(t.Context(), []consumers.Planning{both})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"rendered": 1, "sent": 1})
	require.Equal(t, doc, <-seen)
}

func TestALateResultChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first, release := make(chan struct{}), make(chan struct{})
	p := newProvider(func(_ context.Context, _ *consumers.Delivery, times int) (consumers.Receipt, error) {
		if times == 1 {
			close(first)
			<-release
			return consumers.Receipt{}, &consumers.SendError{Class: consumers.Permanent, Err: errors.New("late")}
		}
		return consumers.Receipt{ProviderID: "second"}, nil
	})
	p.can = consumers.Abilities{Idempotent: true}
	l := w.ledger(only(consumers.SMS, p))
	pl := plan("s1", "e1", 0, "g1")
	id := pl.Deliveries[0].ID
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	<-first
	// A worker is frozen and its job rescued: another one starts it again.
	_, err = w.pool.Exec(t.Context(), `UPDATE schoolbell_river.river_job SET state = 'available', scheduled_at = now() - interval '1 h'`)
	require.NoError(t, err)
	w.eventually(map[string]int{"sent": 1})
	close(release)
	require.Eventually(t, func() bool {
		e, err := l.Show(t.Context(), id)
		return err == nil && len(e.Log) == 2
	}, 20*time.Second, 10*time.Millisecond)
	e, err := l.Show(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, consumers.Sent, e.State)
	require.Equal(t, "late failed", e.Log[1].What)
}

func TestADeliveryThatLostItsJobGetsANewOne(t *testing.T) {
	t.Parallel()
	w := setup(t)
	l := w.ledger(only(consumers.SMS, newProvider(nil)))
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1")})
	require.NoError(t, err)
	w.announce()
	_, err = w.pool.Exec(t.Context(), `DELETE FROM schoolbell_river.river_job`)
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), `UPDATE schoolbell.ledger SET fence = 1, changed_at = now() - interval '1 hour'`)
	require.NoError(t, err)
	n, err := l.Repair(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	run(t, l)
	w.eventually(map[string]int{"sent": 1})
}

// River records later, and for many jobs at once, that they are done. What a crash takes of that runs
// again.
func TestP5_JobsWhoseEndIsLostSendNothingAgain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newProvider(nil)
	l := w.ledger(only(consumers.SMS, p))
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, numbers("g", 100)...)})
	require.NoError(t, err)
	run(t, l)
	done := func(starts int) func() bool {
		return func() bool {
			var n int
			err := w.pool.QueryRow(t.Context(), `SELECT count(*) FROM schoolbell_river.river_job WHERE state = 'completed' AND attempt = $1`, starts).Scan(&n)
			return err == nil && n == 100
		}
	}
	require.Eventually(t, done(1), 20*time.Second, 10*time.Millisecond)
	_, err = w.pool.Exec(t.Context(), `UPDATE schoolbell_river.river_job SET state = 'available', finalized_at = NULL`)
	require.NoError(t, err)
	require.Eventually(t, done(2), 20*time.Second, 10*time.Millisecond)
	require.Len(t, p.order(), 100, "the ledger has them as sent")
	w.eventually(map[string]int{"sent": 100})
}
