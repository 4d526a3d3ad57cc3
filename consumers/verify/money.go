package verify

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// money is all that was said about fees. Nothing is added up as it comes: what an invoice comes to is
// found out from everything that names it, whenever it is looked up.
type money struct {
	said     map[thing][]claim          // in the order of the log
	naming   map[string]map[thing]bool  // by invoice: what has ever named it
	invoices map[string]map[string]bool // by student: the invoices that have ever named them
	payments map[string]map[string]bool // by student: the payments
}

func newMoney() money {
	return money{
		map[thing][]claim{},
		map[string]map[thing]bool{},
		map[string]map[string]bool{},
		map[string]map[string]bool{},
	}
}

// thing is what has an id: an invoice, a payment, the reversal of a payment.
type thing struct{ kind, id string }

// claim is one event about a thing.
type claim struct {
	position int64
	at       time.Time
	terms
}

type terms struct {
	invoice, student, category, currency, method, reason string
	year, term                                           domain.Label
	amount                                               int64
	due                                                  domain.Date
}

func (m money) add(e *domain.Envelope) {
	var t thing
	var of terms
	switch d := e.Data.(type) {
	case *fee.Invoiced:
		t = thing{"invoice", d.InvoiceID}
		of = terms{
			invoice: d.InvoiceID, student: d.StudentID, category: d.Category, currency: d.Currency,
			year: d.Year, term: d.Term, amount: d.Amount, due: d.DueOn,
		}
	case *fee.InvoiceChanged:
		t = thing{"change", d.ChangeID}
		of = terms{
			invoice: d.InvoiceID, student: d.StudentID, category: d.Category, currency: d.Currency,
			year: d.Year, term: d.Term, amount: d.Amount, due: d.DueOn, reason: d.Reason,
		}
	case *fee.InvoiceCancelled:
		t = thing{"cancellation", d.InvoiceID}
		of = terms{invoice: d.InvoiceID, student: d.StudentID, reason: d.Reason}
	case *fee.Credited:
		t = thing{"credit", d.CreditID}
		of = terms{
			invoice: d.InvoiceID, student: d.StudentID, currency: d.Currency, amount: d.Amount,
			reason: d.Reason,
		}
	case *fee.PaymentReceived:
		t = thing{"payment", d.PaymentID}
		of = terms{
			invoice: d.InvoiceID, student: d.StudentID, currency: d.Currency, amount: d.Amount,
			method: d.Method,
		}
		entry(m.payments, d.StudentID)[d.PaymentID] = true
	case *fee.Refunded:
		t = thing{"refund", d.RefundID}
		of = terms{
			invoice: d.InvoiceID, student: d.StudentID, currency: d.Currency, amount: d.Amount,
			method: d.Method, reason: d.Reason,
		}
	case *fee.Waived:
		t = thing{"waiver", d.WaiverID}
		of = terms{invoice: d.InvoiceID, amount: d.Amount, reason: d.Reason}
	case *fee.PaymentReversed:
		t, of = thing{"payment reversed", d.PaymentID}, terms{reason: d.Reason}
	case *fee.WaiverReversed:
		t, of = thing{"waiver reversed", d.WaiverID}, terms{reason: d.Reason}
	default:
		return
	}
	m.said[t] = append(m.said[t], claim{e.Position.Offset, instantOf(e), of})
	if of.invoice != "" {
		entry(m.naming, of.invoice)[t] = true
		if t.kind == "invoice" {
			entry(m.invoices, of.student)[t.id] = true
		}
	}
}

// holds returns what holds of a thing: what was said latest, with the first event in the log that said
// it, and the earliest time at which one did.
func (m money) holds(t thing) (now claim, ok bool) {
	all := m.said[t]
	if len(all) == 0 {
		return now, false
	}
	latest := slices.MaxFunc(all, claim.compare)
	for _, s := range slices.Backward(all) {
		if s.terms == latest.terms {
			now.terms, now.position = s.terms, s.position
			if now.at.IsZero() || s.at.Before(now.at) {
				now.at = s.at
			}
		}
	}
	return now, true
}

func (s claim) compare(other claim) int {
	return cmp.Or(s.at.Compare(other.at), cmp.Compare(s.position, other.position))
}

// reversed returns when a thing was reversed first, with the reason that holds.
func (m money) reversed(t thing) (now claim, ok bool) {
	t.kind += " reversed"
	if now, ok = m.holds(t); !ok {
		return now, false
	}
	now.position = m.said[t][0].position
	for _, s := range m.said[t] {
		if s.at.Before(now.at) {
			now.at = s.at
		}
	}
	return now, true
}

// entryOf is what holds of something that names an invoice.
type entryOf struct {
	thing
	claim
	back    claim
	isBack  bool
	counted int64
}

// invoiceState is an invoice with its entries in the order of their time.
type invoiceState struct {
	consumers.Invoice
	charged   claim
	cancelled bool
	entries   []entryOf
}

// state finds out what an invoice comes to.
func (m money) state(id string) (i invoiceState) {
	if len(m.naming[id]) == 0 {
		return i
	}
	i.ID = id
	for t := range m.naming[id] {
		if now, ok := m.holds(t); ok && now.invoice == id && t.kind != "invoice" {
			e := entryOf{thing: t, claim: now}
			e.back, e.isBack = m.reversed(t)
			i.entries = append(i.entries, e)
		}
	}
	slices.SortFunc(i.entries, func(a, b entryOf) int {
		return cmp.Or(a.claim.compare(b.claim), cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.id, b.id))
	})
	of, ok := m.holds(thing{"invoice", id})
	if !ok {
		return i
	}
	i.charged = of
	for _, e := range i.entries {
		i.cancelled = i.cancelled || e.kind == "cancellation"
		if e.kind == "change" {
			of.category, of.currency = cmp.Or(e.category, of.category), cmp.Or(e.currency, of.currency)
			of.year, of.term = cmp.Or(e.year, of.year), cmp.Or(e.term, of.term)
			of.amount, of.due = cmp.Or(e.amount, of.amount), cmp.Or(e.due, of.due)
		}
	}
	i.StudentID, i.Category, i.Currency = of.student, of.category, of.currency
	i.Year, i.Term, i.Amount, i.DueOn = of.year, of.term, of.amount, of.due
	i.count()
	return i
}

// count goes through the books twice: what was charged, credited and received says how much can be
// refunded, and then everything is entered in its order, so that a waiver finds what is open.
func (i *invoiceState) count() {
	charge, received := i.Amount, int64(0)
	if i.cancelled {
		charge = 0
	}
	for n := range i.entries {
		e := &i.entries[n]
		if e.isBack || e.currency != i.Currency {
			continue
		}
		switch e.kind {
		case "payment":
			e.counted = e.amount
			received += e.amount
		case "credit":
			e.counted = min(e.amount, charge)
			charge -= e.counted
		}
	}
	i.Open = charge
	for n := range i.entries {
		e := &i.entries[n]
		switch {
		case e.kind == "payment":
			i.Open -= e.counted
		case e.kind == "refund" && e.currency == i.Currency:
			e.counted = min(e.amount, received)
			received -= e.counted
			i.Open += e.counted
		case e.kind == "waiver" && !e.isBack:
			e.counted = min(e.amount, max(i.Open, 0), charge-i.Waived)
			i.Waived += e.counted
			i.Open -= e.counted
		}
	}
}

// invoice returns an invoice with what the account owes of it.
func (m money) invoice(id string) consumers.Invoice {
	i := m.state(id).Invoice
	credit, before := int64(0), int64(0)
	for other := range m.invoices[i.StudentID] {
		o := m.state(other)
		if o.StudentID != i.StudentID || o.Currency != i.Currency {
			continue
		}
		credit += max(-o.Open, 0)
		if cmp.Or(cmp.Compare(o.DueOn, i.DueOn), cmp.Compare(o.ID, i.ID)) < 0 {
			before += max(o.Open, 0)
		}
	}
	i.Owed = min(max(i.Open, 0), max(i.Open-max(credit-before, 0), 0))
	return i
}

func (m money) payment(id string) (p consumers.Payment) {
	t := thing{"payment", id}
	now, came := m.holds(t)
	_, p.Reversed = m.reversed(t)
	if came || p.Reversed {
		p.ID, p.InvoiceID, p.StudentID = id, now.invoice, now.student
		p.Currency, p.Method, p.Amount, p.ReceivedAt = now.currency, now.method, now.amount, now.at
	}
	return p
}

// account puts the movements of a student's fees together.
func (m money) account(studentID string) (all []consumers.Movement) {
	for id := range m.invoices[studentID] {
		i := m.state(id)
		if i.StudentID != studentID {
			continue
		}
		all = append(all, i.movement(consumers.MovedInvoice, i.charged, i.Amount))
		all[len(all)-1].DueOn = i.DueOn
		for _, e := range i.entries {
			all = append(all, i.moved(e)...)
		}
	}
	for id := range m.payments[studentID] {
		now, ok := m.holds(thing{"payment", id})
		if !ok || now.student != studentID || m.state(now.invoice).Amount > 0 {
			continue // it is among those of its invoice
		}
		e := entryOf{thing: thing{"payment", id}, claim: now}
		e.back, e.isBack = m.reversed(e.thing)
		all = append(all, (&invoiceState{Invoice: consumers.Invoice{ID: now.invoice}}).moved(e)...)
	}
	slices.SortFunc(all, func(a, b consumers.Movement) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

func (i *invoiceState) movement(
	kind consumers.MovementKind, s claim, amount int64,
) consumers.Movement {
	return consumers.Movement{
		Kind: kind, Position: s.position, At: s.at, InvoiceID: i.ID, Category: i.Category,
		Currency: i.Currency, Year: i.Year, Term: i.Term, Amount: amount,
	}
}

// moved returns what an entry moves.
func (i *invoiceState) moved(e entryOf) []consumers.Movement {
	now := i.movement(consumers.MovementKind(e.kind), e.claim, e.counted)
	now.Method, now.Reason = e.method, e.reason
	switch e.kind {
	case "payment":
		now.PaymentID, now.Currency, now.Amount = e.id, e.currency, e.amount
		if !e.isBack {
			return []consumers.Movement{now}
		}
		back := now
		back.Kind, back.Position, back.At = consumers.MovedReversal, e.back.position, e.back.at
		back.Reason = e.back.reason
		return []consumers.Movement{now, back}
	case "cancellation":
		now.Amount = i.Amount
	case "credit", "refund":
		now.PaymentID = e.id
	case "change":
		return nil
	}
	if now.Amount == 0 {
		return nil
	}
	return []consumers.Movement{now}
}
