package facts_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// TestOverdueFeesLeadToNotices goes the whole way: invoices in the log, their tables, the reminders
// of the day, the reminders in the log, and a notice to whoever pays.
func TestOverdueFeesLeadToNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	settings := ledger.NewSettings(w.jobs)
	require.NoError(t, settings.SetFrom(t.Context(), &consumers.Settings{School: "oak", Reminders: consumers.Reminders{Max: 2, Every: 7, At: 1}}, "test", time.Unix(0, 0)))
	today := domain.DateOf(time.Now())
	var events []domain.Event
	for i := range 5 {
		n := strconv.Itoa(i)
		events = append(events,
			&guardian.Linked{GuardianID: "g" + n, StudentID: "st" + n, Name: "Awa", Relation: "mother", Email: "awa@example.org", Primary: true},
			&fee.Invoiced{InvoiceID: "inv" + n, StudentID: "st" + n, Year: "2026", Term: "1", Category: "tuition", Amount: 100_00, Currency: "EUR", DueOn: today.AddDays(-8)},
		)
	}
	events = append(events,
		&fee.PaymentReceived{PaymentID: "p1", InvoiceID: "inv1", StudentID: "st1", Amount: 100_00, Currency: "EUR", Method: fee.Cash},
		&fee.PaymentReceived{PaymentID: "p2", InvoiceID: "inv2", StudentID: "st2", Amount: 30_00, Currency: "EUR", Method: fee.Cash},
		&fee.Invoiced{InvoiceID: "inv9", StudentID: "st3", Year: "2026", Term: "1", Category: "meals", Amount: 5_00, Currency: "EUR", DueOn: today.AddDays(-6)},
	)
	// What was overpaid for one invoice pays the other, of which nothing is owed any more.
	events = append(events,
		&fee.Invoiced{InvoiceID: "inv8", StudentID: "st4", Year: "2026", Term: "1", Category: "meals", Amount: 20_00, Currency: "EUR", DueOn: today.AddDays(30)},
		&fee.PaymentReceived{PaymentID: "p8", InvoiceID: "inv8", StudentID: "st4", Amount: 120_00, Currency: "EUR", Method: fee.Bank},
	)
	w.append("oak", events...)
	w.consume()
	w.planned() // so the tables have them
	l, err := ledger.New(ledger.Config{
		Pool: w.jobs, Log: w.log, Source: w.log, Encode: cloudevents.Encode, Decode: cloudevents.Decode, Settings: settings, Overdue: facts.New(w.pool, set).Overdue, RemindEvery: 50 * time.Millisecond,
	})
	require.NoError(t, err)
	start(t, l.Run)

	want := []string{"email g0 inv0 10000", "email g2 inv2 7000", "email g3 inv3 10000", "in_app g0 inv0 10000", "in_app g2 inv2 7000", "in_app g3 inv3 10000"}
	notices := func() (all []string) {
		rows, err := w.jobs.Query(t.Context(), `SELECT channel || ' ' || recipient || ' ' || about || ' ' || (params ->> 'amount')
			FROM schoolbell.ledger WHERE planner = 'fee_reminder' ORDER BY 1`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var line string
			require.NoError(t, rows.Scan(&line))
			all = append(all, line)
		}
		require.NoError(t, rows.Err())
		return all
	}
	require.Eventually(t, func() bool { return len(notices()) == len(want) }, 30*time.Second, 20*time.Millisecond)
	require.Equal(t, want, notices())

	// Again from the beginning, and again the same day: nothing new.
	reset(t, checkpoint.NewGroups(w.jobs, router.ErrFenced, nil))
	made, err := l.Remind(t.Context())
	require.NoError(t, err)
	require.Zero(t, made)
	w.planned()
	require.Equal(t, want, notices())
}
