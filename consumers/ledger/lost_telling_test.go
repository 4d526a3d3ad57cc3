package ledger_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain/delivery"
)

// allTrue checks deliveries and finds them as they were planned.
func allTrue(cfg *ledger.Config) {
	cfg.Check = func(_ context.Context, all []*consumers.Delivery) ([]consumers.Verdict, error) {
		verdicts := make([]consumers.Verdict, len(all))
		for i, d := range all {
			verdicts[i] = consumers.Verdict{Address: d.Address, Params: d.Params, FactsAt: 100}
		}
		return verdicts, nil
	}
}

// says plans an event that says a topic, takesBack one that takes it back from whoever was told.
func says(school, event string, offset int64, recipients ...string) consumers.Planning {
	return planFor(consumers.Delivery{
		Channel: consumers.SMS, Priority: consumers.Normal, Template: "absence", Topic: "absent today",
	}, school, event, offset, recipients...)
}

func takesBack(school, event string, offset int64) consumers.Planning {
	p := plan(school, event, offset)
	d := consumers.Delivery{
		Priority: consumers.Normal, Template: "absence_corrected", Topic: "absent today", Retracts: true,
	}
	d.Complete(p.Event.Envelope, "absence")
	p.Deliveries = []consumers.Delivery{d}
	return p
}

func TestP12_ALostLedgerTakesBackWhatWasTold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s, p := homeSchool(), counting()
	plans := []consumers.Planning{
		says(s, "e1", 0, "g1"), takesBack(s, "e2", 1), says(s, "e3", 2, "g1"), takesBack(s, "e4", 3),
	}
	lost := w.copied()
	sending := w.ledger(func(cfg *ledger.Config) { only(consumers.SMS, p)(cfg); allTrue(cfg) })
	stop := run(t, sending)
	for i := range 3 { // what e4 takes back has been told, and the ledger is lost
		require.Equal(t, 1, w.commit(sending, plans[i]))
		w.eventually(map[string]int{"sent": i + 1})
	}
	require.Eventually(t, func() bool { return w.logged(delivery.TypeSent) == 3 }, 30*time.Second, 10*time.Millisecond)
	stop()

	told := p.order()
	old := w.restored(lost)
	l := old.ledger(func(cfg *ledger.Config) { only(consumers.SMS, p)(cfg); allTrue(cfg) })
	run(t, l)
	old.commit(l, plans...)
	old.eventually(map[string]int{"sent": 4})
	require.Len(t, p.order(), len(told)+1, "nothing is sent again, and the last is taken back")
	require.Empty(t, old.column(`SELECT id FROM schoolbell.ledger_past`))
	require.Equal(t, []string{"false", "true", "false", "true"},
		old.column(`SELECT retracts::text FROM schoolbell.ledger ORDER BY log_offset`))
}

func TestP12_AnotherWayIsInTheLogAndIsGoneOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	s := homeSchool()
	p := counting()
	p.answer = func(_ context.Context, d *consumers.Delivery, _ int) (consumers.Receipt, error) {
		if d.Recipient == "mother" {
			return consumers.Receipt{}, &consumers.SendError{Class: consumers.Permanent, Err: errors.New("no such number")}
		}
		return consumers.Receipt{ProviderID: "p-" + d.ID}, nil
	}
	pl := planFor(consumers.Delivery{
		Channel: consumers.SMS, Priority: consumers.Normal, Template: "absence", Otherwise: []consumers.Route{
			{Recipient: "father", Channel: consumers.SMS, Address: "+22501020305"},
			{Recipient: "mother", Channel: consumers.InApp, Unreachable: "nobody is left"},
		},
	}, s, "e1", 0, "mother")
	nobody := planFor(consumers.Delivery{
		Channel: consumers.SMS, Priority: consumers.Normal, Template: "absence", Unreachable: "no guardian has a number",
	}, s, "e2", 1, "student")
	lost := w.copied()
	sending := w.ledger(only(consumers.SMS, p))
	stop := run(t, sending)
	w.commit(sending, pl, nobody)
	w.eventually(map[string]int{"failed": 2, "sent": 1})
	require.Eventually(t, func() bool {
		return w.logged(delivery.TypeSent) == 1 && w.logged(delivery.TypeFailed) == 2
	}, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, 2, w.logged(delivery.TypePlanned), "the plans, and the other way")
	stop()

	sent := p.order()
	old := w.restored(lost)
	l := old.ledger(only(consumers.SMS, p))
	run(t, l)
	old.commit(l, pl, nobody)
	old.eventually(map[string]int{"failed": 2, "sent": 1})
	require.Equal(t, sent, p.order(), "nothing is sent again")
	require.Empty(t, old.column(`SELECT id FROM schoolbell.ledger_past`))
	require.Equal(t, []string{"unreachable"},
		old.column(`SELECT error_class FROM schoolbell.ledger WHERE recipient = 'student'`))
}
