package fees

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
)

// drawMoney makes facts about a few invoices of a few students, at different times. Ids repeat, with the
// same content and with others.
func drawMoney(t *rapid.T) (events []*domain.Envelope) {
	pick := func(label string, of ...string) string { return rapid.SampledFrom(of).Draw(t, label) }
	for i := range rapid.IntRange(1, 25).Draw(t, "events") {
		invoice, student := pick("invoice", "i1", "i2"), pick("student", "ana", "ben")
		currency, amount := pick("currency", "EUR", "EUR", "USD"), rapid.Int64Range(1, 9).Draw(t, "amount")
		id, reason := pick("id", "a", "b", "c"), pick("reason", "x", "y")
		var data domain.Event
		switch rapid.IntRange(0, 10).Draw(t, "fact") {
		case 0, 1:
			data = &fee.Invoiced{
				InvoiceID: invoice, StudentID: student, Year: "2026", Term: "1", Category: "bus",
				Amount: amount, Currency: currency, DueOn: domain.NewDate(2026, 9, 1+int(amount)),
			}
		case 2:
			data = &fee.InvoiceChanged{ChangeID: id, InvoiceID: invoice, StudentID: student, Amount: amount}
		case 3:
			data = &fee.InvoiceCancelled{InvoiceID: invoice, StudentID: student, Reason: reason}
		case 4:
			data = &fee.Credited{
				CreditID: id, InvoiceID: invoice, StudentID: student, Amount: amount, Currency: currency,
				Reason: reason,
			}
		case 5, 6:
			data = &fee.PaymentReceived{
				PaymentID: id, InvoiceID: invoice, StudentID: student, Amount: amount,
				Currency: currency, Method: fee.Cash,
			}
		case 7:
			data = &fee.PaymentReversed{PaymentID: id, Reason: reason}
		case 8:
			data = &fee.Refunded{
				RefundID: id, InvoiceID: invoice, StudentID: student, Amount: amount, Currency: currency,
				Method: fee.Bank,
			}
		case 9:
			data = &fee.Waived{WaiverID: id, InvoiceID: invoice, Amount: amount, Reason: reason}
		default:
			data = &fee.WaiverReversed{WaiverID: id, Reason: reason}
		}
		events = append(events, &domain.Envelope{
			School: "oak", Time: time.Date(2026, 9, 1, i, 0, 0, 0, time.UTC), Data: data,
		})
	}
	return events
}

// fold folds events, in an order of arrival that is also that of the log.
func fold(t require.TestingT, events []*domain.Envelope) *projections.Batch {
	set, err := projections.NewSet(Projection)
	require.NoError(t, err)
	b := projections.NewBatch(set, true)
	for i, e := range events {
		e.Position.Offset = int64(i)
		outcome, err := b.Fold(e)
		require.NoError(t, err)
		require.Equal(t, projections.Folded, outcome)
	}
	return b
}

// state is all that a school sees of its money, without the positions of the events.
func state(b *projections.Batch) map[string]any {
	all := map[string]any{}
	for _, id := range []string{"i1", "i2"} {
		i := InvoiceOf(b, "oak", id)
		all[id] = []any{i.StudentID, i.Category, i.Currency, i.Amount, i.DueOn, i.At, i.sums(), i.Conflicted}
		var lines []string
		for _, l := range i.Lines {
			lines = append(lines, fmt.Sprint(l.Kind, l.ID, l.Time, l.Amount, l.Counted, l.Reversal.Time))
		}
		all[id+" lines"] = lines
	}
	for _, student := range []string{"ana", "ben"} {
		all[student], _ = accounts.Get(b, accountKey{"oak", student})
		all[student+" due"] = EarliestDue(b, "oak", student)
	}
	for _, currency := range []string{"EUR", "USD"} {
		var sum revenueRow
		for hour := range 25 {
			at := bucket(time.Date(2026, 9, 1, hour, 0, 0, 0, time.UTC))
			row, _ := revenue.Get(b, revenueKey{"oak", currency, at})
			sum = sum.plus(row, +1)
		}
		all["revenue "+currency] = sum
	}
	return all
}

func TestAnyOrderOfArrivalGivesTheSameAccount(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := drawMoney(t)
		want := state(fold(t, events))
		got := state(fold(t, rapid.Permutation(events).Draw(t, "arrival")))
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(accountRow{})); diff != "" {
			t.Fatalf("another order of arrival makes another account (-want +got):\n%s", diff)
		}
	})
}

func TestWaiversAndCreditsMakeNoMoney(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := fold(t, drawMoney(t))
		for _, id := range []string{"i1", "i2"} {
			i := InvoiceOf(b, "oak", id)
			received := int64(0)
			for _, l := range i.Lines {
				if l.Kind == Payment && !l.Reversed() && l.Currency == i.Currency {
					received += l.Amount
				}
			}
			s := i.sums()
			require.Equal(t, s.Invoiced-s.Credited-s.Waived-s.Collected, s.Outstanding-s.Overpaid)
			require.LessOrEqual(t, s.Overpaid, s.Collected, "nobody has more in their favour than came in")
			require.LessOrEqual(t, s.Collected, received)
			require.GreaterOrEqual(t, s.Collected, int64(0))
			require.LessOrEqual(t, s.Credited+s.Waived, s.Invoiced)
			due := s.Invoiced - s.Credited - s.Waived
			require.GreaterOrEqual(t, due-s.Outstanding, int64(0), "the collection rate is not below 0")
			require.GreaterOrEqual(t, s.Outstanding, int64(0), "nor above 1")
		}
	})
}

// The sums of months are the same in every zone whose clock differs by quarters of an hour.
func TestBucketsAreInTheirMonthOnEveryClock(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(1_500_000_000, 1_900_000_000).Draw(t, "at"), 0).UTC()
		zone := time.FixedZone("", 15*60*rapid.IntRange(-12*4, 14*4).Draw(t, "quarters of an hour"))
		want, got := at.In(zone), bucket(at).In(zone)
		require.Equal(t, want.Month(), got.Month())
		require.Equal(t, want.Year(), got.Year())
	})
}
