// Package fees holds the money: what was invoiced, changed, credited, received, refunded, waived or
// reversed, by which method and for what, and what is open. Amounts are int64 minor units, always
// next to their currency, and never mixed.
//
// All facts about money have ids of their own. An id that comes again with the same content changes
// nothing; with another content the later one holds, and the versions stay in the row for queries to
// show ([Versions]). Events may be folded in any order, because the subjects of some may be parked
// while others continue: a payment may precede its invoice, a waiver as well, a reversal before its
// payment. Such facts wait in the row that they belong to, and facts that contradict each other are no
// errors, either. So an account is a function of the set of its events.
//
// An entry is all that an invoice may have besides itself; it stands in a row of its own, by which a
// repetition or a reversal finds it, and as a line in the row of its invoice. Everything else, the
// accounts and all totals, is a function of an invoice's row ([Invoice.settle]): when the row changes,
// what it stood for is taken out and what it stands for now is put in.
//
// No fold knows what day it is. The tables sum everything, and what is dated after today is taken out
// when a result is made (ahead.go).
//
// Files: fees.go folds events into entries and invoices, invoice.go says what an invoice comes to,
// totals.go carries its change into all that follows from it, conflicts.go says what contradicts itself,
// finances.go and queries.go are the sums, accounts.go those who owe, account.go one of them, collected.go the money
// by day, revenue.go and forecast.go continue the monthly revenue. The first change for another sum is
// a column of totalRow, filled in Invoice.sums.
package fees

import (
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("fees", 4,
	invoices, entries, accounts, totals, methods, revenue, cohorts,
	projections.On(invoiced),
	projections.On(changed),
	projections.On(cancelled),
	projections.On(credited),
	projections.On(paid),
	projections.On(refunded),
	projections.On(waived),
	projections.On(paymentReversed),
	projections.On(waiverReversed),
)

var (
	invoices = projections.NewTable[invoiceKey, Invoice]("fee_invoices")
	entries  = projections.NewTable[entryKey, Entry]("fee_entries")
)

// Terms are what an invoice or an entry says. What its kind does not have is empty.
type Terms struct {
	InvoiceID string       `json:"invoice_id,omitzero"`
	StudentID string       `json:"student_id,omitzero"`
	Year      domain.Label `json:"year,omitzero"`
	Term      domain.Label `json:"term,omitzero"`
	Category  string       `json:"category,omitzero"`
	Amount    int64        `json:"amount,omitzero"`
	Currency  string       `json:"currency,omitzero"`
	Method    string       `json:"method,omitzero"`
	DueOn     domain.Date  `json:"due_on,omitzero"`
	Reason    string       `json:"reason,omitzero"`
}

// Kind is what an entry is.
type Kind string

// The kinds of entries.
const (
	Payment      Kind = "payment"
	Refund       Kind = "refund"
	Credit       Kind = "credit"
	Waiver       Kind = "waiver"
	Change       Kind = "change"
	Cancellation Kind = "cancellation" // its id is the invoice's
)

type entryKey struct {
	School string `db:"school"`
	Kind   Kind   `db:"kind"`
	ID     string `db:"entry_id"`
}

// Entry is what changes an invoice. Its reversal may arrive first; until the entry itself arrives it
// has no versions. The columns before them are those of the version that holds.
type Entry struct {
	InvoiceID  string           `db:"invoice_id"`
	StudentID  string           `db:"student_id"` // empty for a waiver
	Amount     int64            `db:"amount"`
	Currency   string           `db:"currency"`
	Method     string           `db:"method"`
	At         time.Time        `db:"happened_at"`
	Position   int64            `db:"position"`
	Reversed   bool             `db:"reversed"`
	Versions   Versions[Terms]  `db:"versions"`
	Reversals  Versions[string] `db:"reversals"` // by their reasons
	Conflicted bool             `db:"conflicted"`
}

// Exists reports that the entry itself has arrived, not only its reversal.
func (e Entry) Exists() bool { return len(e.Versions) > 0 }

// settle makes all of an entry that follows from its versions and reversals.
func (e *Entry) settle() {
	now := e.Versions.Current()
	of := now.Content
	*e = Entry{
		InvoiceID: of.InvoiceID, StudentID: of.StudentID, Amount: of.Amount, Currency: of.Currency,
		Method: of.Method, At: now.Since, Position: now.Said.Position,
		Reversed: len(e.Reversals) > 0, Versions: e.Versions, Reversals: e.Reversals,
		Conflicted: len(e.Versions) > 1 || len(e.Reversals) > 1,
	}
}

// line is the entry as its invoice has it.
func (e Entry) line(k entryKey) Line {
	now := e.Versions.Current()
	l := Line{Kind: k.Kind, ID: k.ID, Stamp: now.stamp(), Terms: now.Content}
	l.InvoiceID = ""
	if e.Reversed {
		l.Reversal = Reversal{earliest(e.Reversals), e.Reversals.Current().Content}
	}
	return l
}

// earliest is when an entry was reversed, whatever was said about it since.
func earliest(reversals Versions[string]) Stamp {
	first := reversals[0].stamp()
	for _, r := range reversals[1:] {
		first.Position = min(first.Position, r.Said.Position)
		if r.Since.Before(first.Time) {
			first.Time = r.Since
		}
	}
	return first
}

func invoiced(b *projections.Batch, e *domain.Envelope, m *fee.Invoiced) error {
	change(b, invoiceKey{e.School, m.InvoiceID}, func(i *Invoice) {
		i.Versions = i.Versions.with(stampOf(e), Terms{
			StudentID: m.StudentID, Year: m.Year, Term: m.Term, Category: m.Category,
			Amount: m.Amount, Currency: m.Currency, DueOn: m.DueOn,
		})
	})
	return nil
}

func changed(b *projections.Batch, e *domain.Envelope, m *fee.InvoiceChanged) error {
	record(b, e, Change, m.ChangeID, Terms{
		InvoiceID: m.InvoiceID, StudentID: m.StudentID, Year: m.Year, Term: m.Term,
		Category: m.Category, Amount: m.Amount, Currency: m.Currency, DueOn: m.DueOn,
		Reason: m.Reason,
	})
	return nil
}

func cancelled(b *projections.Batch, e *domain.Envelope, m *fee.InvoiceCancelled) error {
	record(b, e, Cancellation, m.InvoiceID,
		Terms{InvoiceID: m.InvoiceID, StudentID: m.StudentID, Reason: m.Reason})
	return nil
}

func credited(b *projections.Batch, e *domain.Envelope, m *fee.Credited) error {
	record(b, e, Credit, m.CreditID, Terms{
		InvoiceID: m.InvoiceID, StudentID: m.StudentID, Amount: m.Amount, Currency: m.Currency,
		Reason: m.Reason,
	})
	return nil
}

func paid(b *projections.Batch, e *domain.Envelope, m *fee.PaymentReceived) error {
	record(b, e, Payment, m.PaymentID, Terms{
		InvoiceID: m.InvoiceID, StudentID: m.StudentID, Amount: m.Amount, Currency: m.Currency,
		Method: m.Method,
	})
	return nil
}

func refunded(b *projections.Batch, e *domain.Envelope, m *fee.Refunded) error {
	record(b, e, Refund, m.RefundID, Terms{
		InvoiceID: m.InvoiceID, StudentID: m.StudentID, Amount: m.Amount, Currency: m.Currency,
		Method: m.Method, Reason: m.Reason,
	})
	return nil
}

func waived(b *projections.Batch, e *domain.Envelope, m *fee.Waived) error {
	record(b, e, Waiver, m.WaiverID,
		Terms{InvoiceID: m.InvoiceID, Amount: m.Amount, Reason: m.Reason})
	return nil
}

func paymentReversed(b *projections.Batch, e *domain.Envelope, m *fee.PaymentReversed) error {
	reverse(b, e, Payment, m.PaymentID, m.Reason)
	return nil
}

func waiverReversed(b *projections.Batch, e *domain.Envelope, m *fee.WaiverReversed) error {
	reverse(b, e, Waiver, m.WaiverID, m.Reason)
	return nil
}

// record takes in what an entry says.
func record(b *projections.Batch, e *domain.Envelope, kind Kind, id string, terms Terms) {
	key := entryKey{e.School, kind, id}
	old, _ := entries.Get(b, key)
	now := old
	now.Versions = old.Versions.with(stampOf(e), terms)
	putEntry(b, key, old, now)
}

// reverse takes in that an entry is taken back.
func reverse(b *projections.Batch, e *domain.Envelope, kind Kind, id, reason string) {
	key := entryKey{e.School, kind, id}
	old, _ := entries.Get(b, key)
	now := old
	now.Reversals = old.Reversals.with(stampOf(e), reason)
	putEntry(b, key, old, now)
}

// putEntry writes an entry and carries the change into its invoice, or into both when it moves from
// one to another, and into the revenue.
func putEntry(b *projections.Batch, key entryKey, old, now Entry) {
	now.settle()
	entries.Put(b, key, now)
	if !now.Exists() {
		return
	}
	receive(b, key, old, -1)
	receive(b, key, now, +1)
	if old.Exists() && old.InvoiceID != now.InvoiceID {
		change(b, invoiceKey{key.School, old.InvoiceID},
			func(i *Invoice) { i.Lines = without(i.Lines, key) })
	}
	change(b, invoiceKey{key.School, now.InvoiceID},
		func(i *Invoice) { i.Lines = append(without(i.Lines, key), now.line(key)) })
}

// without returns a new list, as the old one is shared with rows that are being written.
func without(lines []Line, key entryKey) []Line {
	rest := make([]Line, 0, len(lines)+1)
	for _, l := range lines {
		if l.Kind != key.Kind || l.ID != key.ID {
			rest = append(rest, l)
		}
	}
	return rest
}

// InvoiceOf returns an invoice, arrived or not, to the fold of a projection that reads this one.
func InvoiceOf(b *projections.Batch, school, invoiceID string) Invoice {
	i, _ := invoices.Get(b, invoiceKey{school, invoiceID})
	return i
}

// EntryOf returns an entry, arrived or not, to the fold of a projection that reads this one.
func EntryOf(b *projections.Batch, school string, kind Kind, id string) Entry {
	e, _ := entries.Get(b, entryKey{school, kind, id})
	return e
}

// InvoicesOf returns the invoices that an entry is for by any of its versions.
func (e Entry) InvoicesOf() (ids []string) {
	for _, v := range e.Versions {
		if !slices.Contains(ids, v.Content.InvoiceID) {
			ids = append(ids, v.Content.InvoiceID)
		}
	}
	return ids
}

// StudentsOf returns the students who are charged an invoice by any of its versions.
func (i Invoice) StudentsOf() (ids []string) {
	for _, v := range i.Versions {
		if !slices.Contains(ids, v.Content.StudentID) {
			ids = append(ids, v.Content.StudentID)
		}
	}
	return ids
}
