package numbers_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/numbers"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/query"
)

func TestMain(m *testing.M) { devtest.Main(m) }

var today = domain.NewDate(2026, 11, 20)

// schools are in a time zone where the day is another one than UTC's for most of it.
func schools(t *testing.T) (*projtest.Schools, numbers.Scope) {
	t.Helper()
	zone, err := time.LoadLocation("Pacific/Kiritimati")
	require.NoError(t, err)
	scope := query.Scope{
		School: "oak", Today: today, Access: access.Everything(),
		Settings: query.Settings{Zone: zone},
	}
	return projtest.NewSchools(t, scope, catalog.Queries(), catalog.All()...),
		numbers.Scope{Today: today, Zone: zone}
}

// money draws the facts about money of a school: ids that meet, contents that contradict each other,
// reversals before what they reverse, other currencies, dates of the past and ahead, in any order.
func money(r *rand.Rand, count int) []*domain.Envelope {
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	id := func(kind string, n int) string { return fmt.Sprintf("%s%d", kind, r.IntN(n)) }
	amount := func() int64 { return 1 + int64(r.IntN(9))*1250 + int64(r.IntN(3)) }
	currency := func() string { return one("EUR", "EUR", "EUR", "USD") }
	label := func(of ...string) domain.Label { return domain.Label(one(of...)) }
	due := func() domain.Date { return today.AddDays(40 - r.IntN(160)) }
	var events []*domain.Envelope
	for n := range count {
		invoice, student := id("i", 7), id("s", 4)
		var data domain.Event
		switch r.IntN(12) {
		case 0, 1, 2:
			data = &fee.Invoiced{
				InvoiceID: invoice, StudentID: student, Year: label("2025-2026", "2026-2027"),
				Term: label("1", "2"), Category: one("tuition", "bus"), Amount: amount(),
				Currency: currency(), DueOn: due(),
			}
		case 3, 4, 5:
			data = &fee.PaymentReceived{
				PaymentID: id("p", 12), InvoiceID: invoice, StudentID: student, Amount: amount(),
				Currency: currency(), Method: one(fee.Cash, fee.Bank),
			}
		case 6:
			data = &fee.PaymentReversed{PaymentID: id("p", 12), Reason: one("bounced", "slip")}
		case 7:
			data = &fee.Refunded{
				RefundID: id("r", 4), InvoiceID: invoice, StudentID: student, Amount: amount(),
				Currency: currency(), Method: one(fee.Cash, fee.Bank),
			}
		case 8:
			data = &fee.Waived{WaiverID: id("w", 6), InvoiceID: invoice, Amount: amount(), Reason: "x"}
		case 9:
			data = &fee.WaiverReversed{WaiverID: id("w", 6), Reason: one("slip", "other")}
		case 10:
			data = &fee.Credited{
				CreditID: id("c", 4), InvoiceID: invoice, StudentID: student, Amount: amount(),
				Currency: currency(), Reason: "x",
			}
		case 11:
			if r.IntN(3) == 0 {
				data = &fee.InvoiceCancelled{InvoiceID: invoice, StudentID: student, Reason: "x"}
				break
			}
			data = &fee.InvoiceChanged{
				ChangeID: id("x", 5), InvoiceID: invoice, StudentID: student, Amount: amount(),
				Term: label("", "1", "2"),
			}
		}
		at := today.Time().Add(-time.Duration(r.IntN(115*24)) * time.Hour)
		switch m := data.(type) { // an id that comes once may be dated ahead
		case *fee.PaymentReceived:
			if r.IntN(8) == 0 {
				m.PaymentID, at = fmt.Sprint("ahead", n), today.AddDays(3).Time()
			}
		case *fee.Waived:
			if r.IntN(4) == 0 {
				m.WaiverID, at = fmt.Sprint("ahead", n), today.AddDays(2).Time()
			}
		}
		events = append(events, &domain.Envelope{
			ID: fmt.Sprint(n), Source: "/sis", School: "oak", Subject: data.Subject(), Time: at,
			Position: domain.Position{Offset: int64(n)}, Data: data,
		})
	}
	return events
}

// notCalculated are the members of the fees that need the directory, or are lists of facts.
var notCalculated = []string{"by_class", "conflicts", "net"}

func TestFeesEqualTheCalculation(t *testing.T) {
	t.Parallel()
	school, scope := schools(t)
	values := 0
	for seed := range uint64(histories()) {
		r := rand.New(rand.NewPCG(seed, 1))
		events := money(r, 1+r.IntN(60))
		path, year := "/analytics/fees", domain.Label("")
		if seed%3 == 0 {
			path, year = "/analytics/fees?year=2026-2027", "2026-2027"
		}
		found := numbers.Compare(numbers.Fees(events, scope, year, ""),
			school.Get(t, events, path))
		require.Empty(t, found.Differences, "seed %d", seed)
		require.Equal(t, notCalculated, found.Unknown)
		values += found.Values
	}
	t.Logf("%d values are equal", values)
	require.Greater(t, values, 100*histories())
}
