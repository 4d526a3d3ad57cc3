package simulate

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// family is how a student's invoices are paid.
type family struct {
	pays             payer
	hardship         bool
	transport, meals bool
}

type payer uint8

const (
	promptly payer = iota
	inParts
	late
	never
)

func newFamily(r *rand.Rand) family {
	f := family{
		transport: r.Float64() < 0.25, meals: r.Float64() < 0.5, hardship: r.Float64() < 0.03,
	}
	switch u := r.Float64(); {
	case u < 0.58:
		f.pays = promptly
	case u < 0.76:
		f.pays = inParts
	case u < 0.95:
		f.pays = late
	default:
		f.pays = never
	}
	return f
}

// daysToPay is how long after an invoice it is due.
const daysToPay = 30

// invoice is an invoice that is not settled yet.
type invoice struct {
	fee.Invoiced
	open     int64
	payments int
}

// charge writes the invoices of a term.
func (s *School) charge(today domain.Date, when time.Time) {
	term, _ := term(s.index)
	for i := range s.students {
		p := &s.students[i]
		if p.gone {
			continue
		}
		tuition := s.country.tuition * int64(100+3*s.classes[p.class].grade) / 100
		s.invoice(p, "tuition", tuition, term, today, when)
		if p.family.transport {
			s.invoice(p, "transport", s.country.tuition/5, term, today, when)
		}
		if p.family.meals {
			s.invoice(p, "meals", s.country.tuition/4, term, today, when)
		}
	}
}

// invoice charges a fee and plans how it is paid.
func (s *School) invoice(
	p *pupil, category string, amount int64, term int, today domain.Date, when time.Time,
) {
	inv := &invoice{
		Invoiced: fee.Invoiced{
			InvoiceID: fmt.Sprintf("inv-%s-%d-%s-%s", s.calendar.year, term+1, category, p.id),
			StudentID: p.id,
			Year:      s.calendar.year,
			Term:      termLabels[term],
			Category:  category,
			Amount:    amount,
			Currency:  s.country.currency,
			DueOn:     today.AddDays(daysToPay),
		},
		open: amount,
	}
	s.emit(when, inv.InvoiceID, fee.TypeInvoiced, &inv.Invoiced)
	if category == "tuition" && !p.eldest(s) {
		s.credit(inv, when)
	}
	in := func(days int, do func(time.Time)) {
		s.later.at(when.AddDate(0, 0, days).Add(-time.Duration(s.r.IntN(6*3600))*time.Second), do)
	}
	pay := func(days int, amount int64) {
		in(days, func(when time.Time) { s.pay(inv, amount, when) })
	}
	if p.family.hardship && category == "tuition" {
		in(3+s.r.IntN(20), func(when time.Time) { s.waive(inv, when) })
	}
	switch p.family.pays {
	case promptly:
		pay(1+s.r.IntN(27), amount)
	case inParts:
		parts := 2 + s.r.IntN(2)
		for n := range parts {
			share := amount / int64(parts)
			if n == parts-1 { // pay bounds it by what is open, with what the division left over
				share = amount
			}
			pay(3+11*n+s.r.IntN(8), share)
		}
	case late:
		if s.r.Float64() < 0.4 {
			pay(20+s.r.IntN(25), amount/4)
		}
		pay(daysToPay+5+s.r.IntN(60), amount)
	case never:
	}
	// Planned for every invoice, as a payment may bounce: remind looks at what is open then.
	for n, days := range []int{7, 28} {
		in(daysToPay+days, func(when time.Time) { s.remind(inv, n, when) })
	}
}

// pay pays an amount of an invoice, at most what is open. Some payments bounce later.
func (s *School) pay(inv *invoice, amount int64, when time.Time) {
	amount = min(amount, inv.open)
	if amount == 0 {
		return
	}
	inv.open -= amount
	inv.payments++
	received := &fee.PaymentReceived{
		PaymentID: "pay" + inv.InvoiceID[len("inv"):] + "-" + strconv.Itoa(inv.payments),
		InvoiceID: inv.InvoiceID,
		StudentID: inv.StudentID,
		Amount:    amount,
		Currency:  inv.Currency,
		Method:    pick(s.r, s.country.methods),
	}
	s.emit(when, received.PaymentID, fee.TypePaymentReceived, received)
	if (received.Method == fee.Bank || received.Method == fee.Card) && s.r.Float64() < 0.015 {
		s.later.at(when.AddDate(0, 0, 3+s.r.IntN(6)), func(when time.Time) {
			inv.open += amount
			s.emit(when, "reversed-"+received.PaymentID, fee.TypePaymentReversed, &fee.PaymentReversed{
				PaymentID: received.PaymentID, Reason: "returned by the bank",
			})
			if s.r.Float64() < 0.7 {
				s.later.at(when.AddDate(0, 0, 10), func(when time.Time) { s.pay(inv, amount, when) })
			}
		})
	}
}

// credit takes a tenth off for a child whose elder brother or sister is at the school.
func (s *School) credit(inv *invoice, when time.Time) {
	amount := inv.Amount / 10
	inv.open -= amount
	s.emit(when, "credited-"+inv.InvoiceID, fee.TypeCredited, &fee.Credited{
		CreditID: "cn-" + inv.InvoiceID, InvoiceID: inv.InvoiceID, StudentID: inv.StudentID,
		Amount: amount, Currency: inv.Currency, Reason: "brothers and sisters",
	})
}

func (s *School) waive(inv *invoice, when time.Time) {
	amount := inv.Amount * int64(25*(1+s.r.IntN(4))) / 100
	if amount = min(amount, inv.open); amount == 0 {
		return
	}
	inv.open -= amount
	s.emit(when, "waived-"+inv.InvoiceID, fee.TypeWaived, &fee.Waived{
		WaiverID: "w-" + inv.InvoiceID, InvoiceID: inv.InvoiceID, Amount: amount, Reason: "hardship fund",
	})
}

func (s *School) remind(inv *invoice, n int, when time.Time) {
	if inv.open == 0 {
		return
	}
	s.emit(when, "reminder-"+strconv.Itoa(n+1)+"-"+inv.InvoiceID, fee.TypeReminderDue, &fee.ReminderDue{
		InvoiceID: inv.InvoiceID, StudentID: inv.StudentID, Amount: inv.open, DueOn: inv.DueOn,
	})
}
