package ledger_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// counting is a provider that lists what it was sent, soon after.
func counting() lookup {
	p := lookup{remembering: newProvider(nil)}
	p.can = consumers.Abilities{Status: true}
	p.status = func(d *consumers.Delivery) (consumers.Receipt, bool, error) {
		return consumers.Receipt{ProviderID: "p-" + d.ID}, p.times(d.ID) > 0, nil
	}
	return p
}

// homeSchool is one whose partition is that of the plans, 0.
func homeSchool() string {
	for i := 0; ; i++ {
		if school := "s" + strconv.Itoa(i); eventlog.PartitionFor(school, 4) == 0 {
			return school
		}
	}
}

// restored is the world after its database was replaced by another one.
func (w *world) restored(url string) *world {
	w.t.Helper()
	return &world{t: w.t, url: url, pool: jobsPool(w.t, url), log: w.log}
}

// copied returns the address of a copy of the database as it is now.
func (w *world) copied() string {
	w.t.Helper()
	defer w.pool.Reset() // a copy needs a database without connections, so it ends them
	return devtest.Copy(w.t, w.url)
}

func (w *world) commit(l *ledger.Ledger, plans ...consumers.Planning) (planned int) {
	w.t.Helper()
	planned, err := l.Commit(w.t.Context(), plans)
	require.NoError(w.t, err)
	return planned
}

// logged counts the events of a type in the log.
func (w *world) logged(eventType string) (n int) {
	w.t.Helper()
	for p := range int32(4) {
		batch, err := w.log.Fetch(context.Background(), p, 0, 1<<30, 0)
		require.NoError(w.t, err)
		for _, rec := range batch.Records {
			e, err := cloudevents.Decode(rec)
			require.NoError(w.t, err)
			if e.Type == eventType {
				n++
			}
		}
	}
	return n
}

func TestP12_NoAgeOfTheLedgerSendsATextTwice(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := counting()
	plans := []consumers.Planning{plan("s1", "e1", 0, "g1", "g2"), plan("s2", "e2", 1, "g3")}
	ages := map[string]string{"lost": w.copied()}
	planning := w.ledger(nil)
	w.commit(planning, plans...)
	ages["planned"] = w.copied()
	w.announce()
	require.Equal(t, 2, w.logged(delivery.TypePlanned))
	ages["announced"] = w.copied()
	sending := w.ledger(only(consumers.SMS, p))
	stop := run(t, sending)
	w.eventually(map[string]int{"sent": 3})
	require.Eventually(t, func() bool { return w.logged(delivery.TypeSent) == 3 }, 30*time.Second, 10*time.Millisecond)
	stop()

	for age, url := range ages {
		t.Run(age, func(t *testing.T) {
			old := w.restored(url)
			old.t = t
			l := old.ledger(only(consumers.SMS, p))
			run(t, l)
			old.commit(l, plans...)
			old.eventually(map[string]int{"sent": 3})
			for _, id := range ids(plans...) {
				require.Equal(t, 1, p.times(id), "texts about %s", id)
			}
			require.Empty(t, old.column(`SELECT id FROM schoolbell.ledger_past`))
			require.Zero(t, old.commit(l, plan("s1", "e1", 0, "g1", "g2", "new")), "nothing is added to it")
		})
	}
}

func TestP12_WhatALostLedgerHadNotSentIsSent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	planning := w.ledger(nil)
	empty := w.copied()
	s := homeSchool()
	plans := []consumers.Planning{plan(s, "e1", 0, "sent", "waiting"), plan(s, "e2", 1), plan(s, "e3", 2, "last")}
	w.commit(planning, plans...)
	w.announce()

	old := w.restored(empty)
	p := counting()
	_, err := p.Send(t.Context(), &plans[0].Deliveries[0]) // and then the ledger was lost
	require.NoError(t, err)
	l := old.ledger(only(consumers.SMS, p))
	run(t, l)
	plans[1] = plan(s, "e2", 1, "whose number was learnt since")
	require.Equal(t, 4, old.commit(l, append(plans, plan(s, "e4", 3, "later"))...),
		"what led to nothing leads to nothing, and what is new is planned")
	old.eventually(map[string]int{"sent": 4})
	for _, d := range old.column(`SELECT id FROM schoolbell.ledger`) {
		require.Equal(t, 1, p.times(d), "texts about %s", d)
	}
}

func TestP12_AStandbyWithoutTheLastSecondSendsNothingTwice(t *testing.T) {
	t.Parallel()
	w := setup(t)
	planning := w.ledger(nil)
	waiting := planFor(consumers.Delivery{
		Channel: consumers.SMS, Priority: consumers.Normal, Template: "absence", NotBefore: time.Now().Add(time.Hour),
	}, "s1", "e2", 1, "tomorrow")
	w.commit(planning, plan("s1", "e1", 0, "sent", "waiting"), waiting)
	w.announce()

	// The copy is another database, as a standby is another server; the log has nothing more.
	standby := w.restored(w.copied())
	p := counting()
	_, err := p.Send(t.Context(), &plan("s1", "e1", 0, "sent").Deliveries[0])
	require.NoError(t, err)
	run(t, standby.ledger(only(consumers.SMS, p)))
	standby.eventually(map[string]int{"sent": 2, "planned": 1})
	for _, d := range standby.column(`SELECT id FROM schoolbell.ledger WHERE state = 'sent'`) {
		require.Equal(t, 1, p.times(d), "texts about %s", d)
	}
	require.Equal(t, waiting.Deliveries[0].ID, standby.column(`SELECT id FROM schoolbell.ledger WHERE state = 'planned'`)[0],
		"it cannot have been sent before its time")
}

func TestP12_ARestartOfTheDatabaseChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	planning := w.ledger(nil)
	w.commit(planning, plan("s1", "e1", 0, "g1"))
	w.announce()
	_, err := w.pool.Exec(t.Context(), `UPDATE schoolbell.ledger_partitions
		SET opened = split_part(opened, '|', 1) || '|before the restart'`)
	require.NoError(t, err)
	// It has no way to find out what was sent, so it would stay unknown.
	p := newProvider(nil)
	run(t, w.ledger(only(consumers.SMS, p)))
	w.eventually(map[string]int{"sent": 1})
	require.Empty(t, w.column(`SELECT what FROM schoolbell.ledger_log WHERE what = 'unknown'`))
}
