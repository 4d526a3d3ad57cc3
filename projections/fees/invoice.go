package fees

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

type invoiceKey struct {
	School    string `db:"school"`
	InvoiceID string `db:"invoice_id"`
}

// Invoice is the state of an invoice. Its entries may arrive before the invoice itself; until then it
// has no amount. All columns but the last two follow from these.
type Invoice struct {
	StudentID  string          `db:"student_id"`
	Year       domain.Label    `db:"year"`
	Term       domain.Label    `db:"term"`
	Category   string          `db:"category"`
	Currency   string          `db:"currency"`
	Amount     int64           `db:"amount"`
	DueOn      domain.Date     `db:"due_on"`
	At         time.Time       `db:"invoiced_at"`
	Position   int64           `db:"position"` // of the event that it was made by
	Cancelled  bool            `db:"cancelled"`
	Credited   int64           `db:"credited"`      // at most the amount
	Waived     int64           `db:"waived"`        // at most what was open
	Excess     int64           `db:"waived_excess"` // waived beyond that
	Collected  int64           `db:"collected"`     // received and not reversed, less what was refunded
	Reversed   int64           `db:"reversed"`
	Refunded   int64           `db:"refunded"`    // at most what was received
	Open       int64           `db:"open_amount"` // what remains to be paid; negative when too much was
	LatestAt   time.Time       `db:"latest_at"`   // of all that is in it
	Conflicted bool            `db:"conflicted"`  // something about it contradicts itself
	Versions   Versions[Terms] `db:"versions"`
	Lines      []Line          `db:"lines"` // in the order of time
}

// Line is an entry of an invoice.
type Line struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
	Stamp
	Terms
	Reversal Reversal `json:"reversal,omitzero"`
	Counted  int64    `json:"counted,omitzero"` // how much of the amount changes the invoice
}

// Reversal says that an entry was taken back; the zero value, without a reason, is none.
type Reversal struct {
	Stamp
	Reason string `json:"reason,omitzero"`
}

// Reversed reports that the entry was taken back.
func (l Line) Reversed() bool { return l.Reversal.Reason != "" }

// Exists reports that the invoice itself has arrived, not only an entry of it.
func (i Invoice) Exists() bool { return i.Amount > 0 }

// Charged is what the invoice charges.
func (i Invoice) Charged() int64 {
	if i.Cancelled {
		return 0
	}
	return i.Amount
}

// Payable is what is to be paid for the invoice, whatever was.
func (i Invoice) Payable() int64 { return i.Charged() - i.Credited - i.Waived }

// change writes an invoice and carries the change into everything that is made of invoices.
func change(b *projections.Batch, key invoiceKey, update func(*Invoice)) {
	old, _ := invoices.Get(b, key)
	now := old
	update(&now)
	now.settle()
	invoices.Put(b, key, now)
	post(b, key, old, now)
}

// settle makes all of an invoice that follows from its versions and lines.
func (i *Invoice) settle() {
	lines := slices.Clone(i.Lines)
	slices.SortFunc(lines, func(a, b Line) int {
		return cmp.Or(a.Stamp.compare(b.Stamp), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
	})
	*i = Invoice{Versions: i.Versions, Lines: lines}
	i.state()
	i.count()
	i.Conflicted = len(i.Versions) > 1 || slices.ContainsFunc(i.Lines, func(l Line) bool {
		kind, _ := i.contradiction(l)
		return kind != ""
	})
}

// state applies the changes of an invoice to the version that holds, one after the other.
func (i *Invoice) state() {
	later := func(t time.Time) {
		if t.After(i.LatestAt) {
			i.LatestAt = t
		}
	}
	now := i.Versions.Current()
	of := now.Content
	for _, l := range i.Lines {
		later(l.Time)
		later(l.Reversal.Time)
		switch l.Kind {
		case Cancellation:
			i.Cancelled = true
		case Change:
			of.Year, of.Term = cmp.Or(l.Year, of.Year), cmp.Or(l.Term, of.Term)
			of.Category, of.DueOn = cmp.Or(l.Category, of.Category), cmp.Or(l.DueOn, of.DueOn)
			of.Amount, of.Currency = cmp.Or(l.Amount, of.Amount), cmp.Or(l.Currency, of.Currency)
		}
	}
	if len(i.Versions) == 0 {
		return // what is said about an invoice that has not arrived waits for it
	}
	for _, v := range i.Versions {
		later(v.Since)
	}
	i.StudentID, i.Year, i.Term, i.Category = of.StudentID, of.Year, of.Term, of.Category
	i.Currency, i.Amount, i.DueOn = of.Currency, of.Amount, of.DueOn
	i.At, i.Position = now.Since, now.Said.Position
}

// count says how much of each entry counts, and what remains open. None makes money: of the credit
// notes at most what was charged counts, of the refunds at most what was received, and of a waiver at
// most what is open at its time, as an accountant enters one after the other, and is still charged.
func (i *Invoice) count() {
	if !i.Exists() {
		return
	}
	var received int64
	for n := range i.Lines {
		l := &i.Lines[n]
		l.Counted = 0
		switch {
		case l.Kind == Payment && l.Currency == i.Currency && l.Reversed():
			i.Reversed += l.Amount
		case l.Kind == Payment && l.Currency == i.Currency:
			l.Counted = l.Amount
			received += l.Amount
		case l.Kind == Credit && l.Currency == i.Currency:
			l.Counted = min(l.Amount, i.Charged()-i.Credited)
			i.Credited += l.Counted
		}
	}
	open := i.Charged() - i.Credited
	for n := range i.Lines {
		l := &i.Lines[n]
		switch {
		case l.Kind == Payment:
			open -= l.Counted
		case l.Kind == Refund && l.Currency == i.Currency:
			l.Counted = min(l.Amount, received-i.Refunded)
			i.Refunded += l.Counted
			open += l.Counted
		case l.Kind == Waiver && !l.Reversed():
			l.Counted = min(l.Amount, max(open, 0), i.Payable())
			i.Waived += l.Counted
			open -= l.Counted
			if !i.Cancelled {
				i.Excess += l.Amount - l.Counted
			}
		}
	}
	i.Collected = received - i.Refunded
	i.Open = open
}

// Before returns the invoice as it is without what is dated at a moment or later.
func (i Invoice) Before(moment time.Time) Invoice {
	if i.LatestAt.Before(moment) {
		return i
	}
	was := Invoice{Versions: i.Versions.before(moment)}
	for _, l := range i.Lines {
		if !l.Time.Before(moment) {
			continue
		}
		if !l.Reversal.Time.Before(moment) {
			l.Reversal = Reversal{}
		}
		was.Lines = append(was.Lines, l)
	}
	was.settle()
	return was
}
