package simulate

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// aYear is a whole number of weeks, so that a school day becomes one.
const aYear = 364

// past writes the tuition of the year before, which is all paid by now: so there is a history of how the
// school is paid in the course of a year, and a forecast can be made. It does not change what is
// drawn for this year.
func (s *School) past(today domain.Date) {
	type happened struct {
		when   time.Time
		id, of string
		data   domain.Event
	}
	var all []happened
	r := rand.New(rand.NewPCG(uint64(today), uint64(len(s.students))))
	first, _ := strconv.Atoi(string(s.calendar.year[:4]))
	year := domain.Label(strconv.Itoa(first-1) + "-" + strconv.Itoa(first))
	for i := range s.students {
		p := &s.students[i]
		grade := s.classes[p.class].grade - 1
		if grade == 0 {
			continue // was not at the school
		}
		for n, term := range termLabels {
			charged := s.calendar.days[n*termDays].AddDays(-aYear)
			in := &fee.Invoiced{
				InvoiceID: "inv-" + string(year) + "-" + string(term) + "-tuition-" + p.id,
				StudentID: p.id, Year: year, Term: term, Category: "tuition",
				Amount:   s.country.tuition * int64(100+3*grade) / 100,
				Currency: s.country.currency, DueOn: charged.AddDays(daysToPay),
			}
			days := 1 + r.IntN(27)
			if p.family.pays == late || p.family.pays == never {
				days = daysToPay + 5 + r.IntN(60)
			}
			paid := &fee.PaymentReceived{
				PaymentID: "pay" + in.InvoiceID[len("inv"):], InvoiceID: in.InvoiceID,
				StudentID: p.id, Amount: in.Amount, Currency: in.Currency,
				Method: pick(r, s.country.methods),
			}
			all = append(all,
				happened{at(charged, 7*time.Hour), in.InvoiceID, fee.TypeInvoiced, in},
				happened{at(charged.AddDays(days), 10*time.Hour), paid.PaymentID, fee.TypePaymentReceived, paid})
		}
	}
	slices.SortStableFunc(all, func(a, b happened) int { return a.when.Compare(b.when) })
	for _, e := range all {
		s.emit(e.when, e.id, e.of, e.data)
	}
}
