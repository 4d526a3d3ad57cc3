package ledger_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/consumers/provider/faulty"
	"github.com/schoolbell/schoolbell/domain"
)

// silent is a provider that does not respond at first, and counts how often its status is queried.
type silent struct {
	lookup
	lookups *atomic.Int64
}

func newSilent(settle time.Duration, status func() (consumers.Receipt, bool, error)) silent {
	n := &atomic.Int64{}
	p := lookup{
		newProvider(func(_ context.Context, _ *consumers.Delivery, times int) (consumers.Receipt, error) {
			if times == 1 {
				return consumers.Receipt{}, errors.New("timeout")
			}
			return consumers.Receipt{ProviderID: "second", Cost: 1}, nil
		}),
		func(*consumers.Delivery) (consumers.Receipt, bool, error) {
			n.Add(1)
			return status()
		},
	}
	p.can = consumers.Abilities{Status: true, Settle: settle}
	return silent{p, n}
}

func notListed() (consumers.Receipt, bool, error) { return consumers.Receipt{}, false, nil }

// polled waits until the provider has been queried so many times more.
func (p silent) polled(t *testing.T, more int64) {
	t.Helper()
	from := p.lookups.Load()
	require.Eventually(t, func() bool { return p.lookups.Load() >= from+more }, 20*time.Second,
		5*time.Millisecond)
}

// elapse makes as if the last request had been so much earlier.
func (w *world) elapse(d time.Duration) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(),
		`UPDATE schoolbell.ledger SET requested_at = requested_at - $1::interval`, d)
	require.NoError(w.t, err)
}

func TestP5_NothingIsSentAgainBeforeTheProvidersListHasSettled(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newSilent(time.Hour, notListed)
	l := w.ledger(only(consumers.SMS, p))
	pl := plan("s1", "e1", 0, "g1")
	id := pl.Deliveries[0].ID
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	p.polled(t, 12) // more often than a delivery is attempted
	w.elapse(59 * time.Minute)
	p.polled(t, 3)
	require.Equal(t, 1, p.times(id))
	e, err := l.Show(t.Context(), id)
	require.NoError(t, err)
	require.Contains(t, []consumers.State{consumers.Unknown, consumers.Sending}, e.State)

	w.elapse(time.Minute)
	w.eventually(map[string]int{"sent": 1})
	require.Equal(t, 2, p.times(id))
	e, err = l.Show(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 2, e.Attempts, "looking up is no attempt")
}

// A worker that died may have called the provider until then, whatever the time of its start.
func TestP5_AnAttemptThatWasCutOffSettlesToo(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newSilent(time.Hour, notListed)
	l := w.ledger(only(consumers.SMS, p))
	pl := plan("s1", "e1", 0, "g1")
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), `UPDATE schoolbell.ledger SET state = 'sending', fence = 1,
		attempts = 1, started_at = now() - interval '2 h', requested_at = now() - interval '2 h'`)
	require.NoError(t, err)
	run(t, l)
	p.polled(t, 5)
	require.Zero(t, p.times(pl.Deliveries[0].ID))
	w.elapse(time.Hour)
	require.Eventually(t, func() bool { return p.times(pl.Deliveries[0].ID) == 1 }, 20*time.Second,
		5*time.Millisecond)
}

func TestALookupThatFailsIsRepeatedUntilTheTimeIsUp(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newSilent(time.Minute, func() (consumers.Receipt, bool, error) {
		return consumers.Receipt{}, false, errors.New("down")
	})
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.UnknownTimeout = map[consumers.Channel]time.Duration{consumers.SMS: 2 * time.Hour}
	})
	pl := plan("s1", "e1", 0, "g1")
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"unknown": 1})
	w.elapse(90 * time.Minute) // nothing says that it was not sent
	p.polled(t, 12)
	require.Equal(t, 1, p.times(pl.Deliveries[0].ID))
	w.elapse(time.Hour)
	w.eventually(map[string]int{"failed": 1})
	require.Equal(t, 1, p.times(pl.Deliveries[0].ID))
}

func TestADeliveryThatIsNeverAcceptedIsDeadAfterItsAttempts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newSilent(0, notListed)
	p.answer = func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		return consumers.Receipt{}, errors.New("timeout")
	}
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.Attempts = 3
	})
	pl := plan("s1", "e1", 0, "g1")
	_, err := l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"dead": 1})
	require.Equal(t, 3, p.times(pl.Deliveries[0].ID))
}

// The service takes every request, accepts it only after the client has given up, and lists a
// message only when it has accepted it.
func TestP5_ASlowServiceGetsOneRequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	service := faulty.NewSMS(faulty.SMSConfig{
		Account: account, Token: token, Faults: faulty.Faults{faulty.Late: 1},
		Late: 1500 * time.Millisecond, Price: "-0.0075",
	})
	t.Cleanup(service.Close)
	p, err := sms(service.URL, "", "", 30*time.Second)
	require.NoError(t, err)
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.PriceAfter = 10 * time.Millisecond
	})
	pl := planFor(consumers.Delivery{
		Channel: consumers.SMS, Template: wording.Absence, Language: "en",
		Params: wording.Params{
			Sender: "Oak", Student: "Kid Roy", Date: domain.NewDate(2026, 9, 1), Session: "day",
		}.Encode(),
	}, "s1", "e1", 0, "g1")
	_, err = l.Commit(t.Context(), []consumers.Planning{pl})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"sent": 1})
	service.Settle()
	require.Equal(t, 1, service.Tally().Requests)
	require.Equal(t, 1, service.Tally().Taken)

	// The price is not in the list, and set after the message was sent.
	require.Eventually(t, func() bool {
		e, err := l.Show(t.Context(), pl.Deliveries[0].ID)
		return err == nil && e.Cost == 7500
	}, 20*time.Second, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		return len(w.column(`SELECT delivery_id FROM schoolbell.ledger_prices`)) == 0
	}, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, 1, service.Tally().Reads)
}

// Without a public address there are no reports: what arrived is learnt with the price.
func TestWhatArrivedIsLearntWithThePrice(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newSilent(0, func() (consumers.Receipt, bool, error) {
		return consumers.Receipt{State: consumers.Delivered, ProviderID: "p1", Cost: 7}, true, nil
	})
	p.answer = func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		return consumers.Receipt{ProviderID: "p1"}, nil
	}
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.PriceAfter = 10 * time.Millisecond
	})
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1")})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"delivered": 1})
	require.Equal(t, []string{"7"}, w.column(`SELECT cost::text FROM schoolbell.ledger`))
}

// A service that never sets a price is not polled without end.
func TestAPriceThatIsNeverSetIsPolledFiveTimes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := newSilent(0, func() (consumers.Receipt, bool, error) {
		return consumers.Receipt{State: consumers.Sent, ProviderID: "p1"}, true, nil
	})
	p.answer = func(context.Context, *consumers.Delivery, int) (consumers.Receipt, error) {
		return consumers.Receipt{ProviderID: "p1"}, nil
	}
	l := w.ledger(func(cfg *ledger.Config) {
		only(consumers.SMS, p)(cfg)
		cfg.PriceAfter = 10 * time.Millisecond
	})
	_, err := l.Commit(t.Context(), []consumers.Planning{plan("s1", "e1", 0, "g1")})
	require.NoError(t, err)
	run(t, l)
	w.eventually(map[string]int{"sent": 1})
	require.Eventually(t, func() bool {
		_, err := w.pool.Exec(t.Context(), `UPDATE schoolbell.ledger_prices SET due_at = now()`)
		return err == nil && len(w.column(`SELECT delivery_id FROM schoolbell.ledger_prices`)) == 0
	}, 20*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 5, p.lookups.Load())
}
