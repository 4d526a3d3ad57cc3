// Package fees holds the money: what was invoiced, received, waived or reversed, by which method
// and for what, and what is open. Amounts are int64 minor units, always next to their currency, and
// never mixed.
//
// Invoices and payments have ids of their own, so that a repeated event changes nothing. Events of
// different subjects may be folded in any order, because those of one may be parked while others
// continue: a payment may precede its invoice, a waiver as well, a reversal before its payment.
// Such facts wait in the row that they belong to. Facts that contradict each other are no errors,
// either: what was paid in another currency than its invoice stays apart, of a waiver only what the
// invoice has counts, and an id that comes again with other values changes nothing; the invoice's
// row keeps all of it for the query to show (conflicts.go). Everything else, the accounts and all totals, is
// a function of an invoice's row ([entry]): when the row changes, what it stood for is taken out
// and what it stands for now is put in.
//
// Files: fees.go folds events into invoices and payments, totals.go carries the change of an invoice
// into all that follows from it, conflicts.go says what contradicts itself, queries.go reads the sums, revenue.go and forecast.go continue the
// monthly revenue. The first change for another sum is a column of totalRow, filled in entry.
package fees

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("fees", 3,
	invoices, payments, accounts, totals, methods, revenue,
	projections.On(invoiced),
	projections.On(paid),
	projections.On(reversed),
	projections.On(waived),
)

var (
	invoices = projections.NewTable[invoiceKey, Invoice]("fee_invoices")
	payments = projections.NewTable[paymentKey, Payment]("fee_payments")
)

type invoiceKey struct {
	School    string `db:"school"`
	InvoiceID string `db:"invoice_id"`
}

// Invoice is the state of an invoice. Payments and waivers may arrive before the invoice itself;
// until then it has no amount.
type Invoice struct {
	StudentID string       `db:"student_id"`
	Year      domain.Label `db:"year"`
	Term      domain.Label `db:"term"`
	Category  string       `db:"category"`
	Currency  string       `db:"currency"`
	Amount    int64        `db:"amount"`
	Waived    int64        `db:"waived"`      // at most the amount, once there is one
	Open      int64        `db:"open_amount"` // what remains to be paid; negative when too much was
	DueOn     domain.Date  `db:"due_on"`
	Payments  []Received   `db:"payments"` // by method and currency
	Position  int64        `db:"position"` // of the event that it was made by
	Waivers   []Waiver     `db:"waivers"`  // in the order of the log
	At        time.Time    `db:"invoiced_at"`
	Repeats   []Repeat     `db:"repeats"`    // in the order of the log
	Conflict  bool         `db:"conflicted"` // something about it contradicts itself
}

// Received is what was paid for an invoice by one method in one currency.
type Received struct {
	Method   string `json:"method"`
	Currency string `json:"currency"`
	Payments int64  `json:"payments"`
	Amount   int64  `json:"amount"`
	Reversed int64  `json:"reversed,omitzero"` // how much of the amount was reversed
}

// Waiver says that part of an invoice need not be paid.
type Waiver struct {
	Position int64     `json:"position"`
	Time     time.Time `json:"time"`
	Amount   int64     `json:"amount"`
	Excess   int64     `json:"excess,omitzero"` // of the amount, what the invoice did not have
	Reason   string    `json:"reason"`
}

// Exists reports that the invoice itself has arrived, not only a payment or waiver of it.
func (i Invoice) Exists() bool { return i.Amount > 0 }

type paymentKey struct {
	School    string `db:"school"`
	PaymentID string `db:"payment_id"`
}

// Payment is the state of a payment. Its reversal may arrive first; until the payment itself
// arrives it has no amount.
type Payment struct {
	InvoiceID string    `db:"invoice_id"`
	StudentID string    `db:"student_id"`
	Amount    int64     `db:"amount"`
	Currency  string    `db:"currency"`
	Method    string    `db:"method"`
	At        time.Time `db:"received_at"`
	Position  int64     `db:"position"` // of the event that it was made by
	Reversal  Reversal  `db:"reversal"`
}

// Reversal says that a payment was reversed; the zero value, without a reason, is none.
type Reversal struct {
	Position int64     `json:"position,omitzero"`
	Time     time.Time `json:"time,omitzero"`
	Reason   string    `json:"reason,omitzero"`
}

// Exists reports that the payment itself has arrived, not only its reversal.
func (p Payment) Exists() bool { return p.Amount > 0 }

func invoiced(b *projections.Batch, e *domain.Envelope, m *fee.Invoiced) error {
	key := invoiceKey{e.School, m.InvoiceID}
	old, _ := invoices.Get(b, key)
	now := old
	if old.Exists() {
		if old.isAnother(m) {
			now.Repeats = with(old.Repeats,
				Repeat{e.Position.Offset, ConflictInvoice, "", m.Currency, m.Amount})
			putInvoice(b, key, old, now)
		}
		return nil
	}
	now.StudentID, now.Year, now.Term, now.Category = m.StudentID, m.Year, m.Term, m.Category
	now.Currency, now.Amount, now.DueOn, now.Position = m.Currency, m.Amount, m.DueOn,
		e.Position.Offset
	now.At = e.Time.UTC()
	putInvoice(b, key, old, now)
	return nil
}

func paid(b *projections.Batch, e *domain.Envelope, m *fee.PaymentReceived) error {
	key := paymentKey{e.School, m.PaymentID}
	p, _ := payments.Get(b, key)
	if p.Exists() {
		if p.isAnother(m) {
			repeated(b, invoiceKey{e.School, p.InvoiceID},
				Repeat{e.Position.Offset, ConflictPayment, m.PaymentID, m.Currency, m.Amount})
		}
		return nil
	}
	p.InvoiceID, p.StudentID, p.Amount, p.Currency, p.Method = m.InvoiceID, m.StudentID, m.Amount,
		m.Currency, m.Method
	p.At, p.Position = e.Time.UTC(), e.Position.Offset
	payments.Put(b, key, p)

	r := Received{Method: m.Method, Currency: m.Currency, Payments: 1, Amount: m.Amount}
	if p.Reversal.Reason != "" {
		r.Reversed = m.Amount
	}
	receive(b, e.School, p, r)
	return nil
}

func reversed(b *projections.Batch, e *domain.Envelope, m *fee.PaymentReversed) error {
	key := paymentKey{e.School, m.PaymentID}
	p, _ := payments.Get(b, key)
	if p.Reversal.Reason != "" {
		return nil
	}
	p.Reversal = Reversal{e.Position.Offset, e.Time.UTC(), m.Reason}
	payments.Put(b, key, p)
	if p.Exists() {
		receive(b, e.School, p,
			Received{Method: p.Method, Currency: p.Currency, Reversed: p.Amount})
	}
	return nil
}

// receive adds money to the month in which it was received and to its invoice. What is in another
// currency than the invoice stays apart there.
func receive(b *projections.Batch, school string, p Payment, r Received) {
	key := invoiceKey{school, p.InvoiceID}
	addRevenue(b, revenueKey{school, p.Currency, domain.DateOf(p.At).Month()}, r)
	old, _ := invoices.Get(b, key)
	now := old
	now.Payments = plus(old.Payments, r)
	putInvoice(b, key, old, now)
}

// plus returns the list with r added to the entry of its method and currency.
func plus(list []Received, r Received) []Received {
	i, found := slices.BinarySearchFunc(list, r, func(a, b Received) int {
		return cmp.Or(cmp.Compare(a.Method, b.Method), cmp.Compare(a.Currency, b.Currency))
	})
	if !found {
		return slices.Insert(slices.Clone(list), i, r)
	}
	list = slices.Clone(list)
	list[i].Payments += r.Payments
	list[i].Amount += r.Amount
	list[i].Reversed += r.Reversed
	return list
}

func waived(b *projections.Batch, e *domain.Envelope, m *fee.Waived) error {
	key := invoiceKey{e.School, m.InvoiceID}
	old, _ := invoices.Get(b, key)
	w := Waiver{Position: e.Position.Offset, Time: e.Time.UTC(), Amount: m.Amount, Reason: m.Reason}
	i, _ := slices.BinarySearchFunc(old.Waivers, w.Position, func(a Waiver, position int64) int {
		return cmp.Compare(a.Position, position)
	})
	now := old
	now.Waivers = slices.Insert(slices.Clone(old.Waivers), i, w)
	putInvoice(b, key, old, now)
	return nil
}

// putInvoice writes an invoice and carries the change into everything that is made of invoices.
func putInvoice(b *projections.Batch, key invoiceKey, old, now Invoice) {
	now.Waivers, now.Waived = now.waive()
	now.Conflict = now.conflicted()
	now.Open = 0
	if now.Exists() {
		collected, _ := now.collected()
		now.Open = now.Amount - now.Waived - collected
	}
	invoices.Put(b, key, now)
	if now.Exists() {
		post(b, key, old, now)
	}
}

// waive returns how much of an invoice is waived: never more than it has, so that a waiver makes no
// money.
func (i Invoice) waive() (waivers []Waiver, waived int64) {
	waivers = slices.Clone(i.Waivers)
	for n := range waivers {
		w := &waivers[n]
		w.Excess = 0
		if i.Exists() {
			w.Excess = max(0, w.Amount-(i.Amount-waived))
		}
		waived += w.Amount - w.Excess
	}
	return waivers, waived
}

// collected is what was paid in the invoice's currency and not reversed, and what was reversed.
func (i Invoice) collected() (net, reversed int64) {
	for _, r := range i.Payments {
		if r.Currency != i.Currency {
			continue
		}
		net += r.Amount - r.Reversed
		reversed += r.Reversed
	}
	return net, reversed
}

// InvoiceOf returns an invoice, arrived or not, to the fold of a projection that reads this one.
func InvoiceOf(b *projections.Batch, school, invoiceID string) Invoice {
	i, _ := invoices.Get(b, invoiceKey{school, invoiceID})
	return i
}

// PaymentOf returns a payment, arrived or not, to the fold of a projection that reads this one.
func PaymentOf(b *projections.Batch, school, paymentID string) Payment {
	p, _ := payments.Get(b, paymentKey{school, paymentID})
	return p
}
