package fees

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The kinds of contradictions. None of them is an error of a fold: an error would set aside all
// that happens to the student from then on, for a slip in the books that only the school can put
// right.
const (
	ConflictCurrency = "currency" // paid in another currency than the invoice's
	ConflictWaiver   = "waiver"   // waived more than the invoice has
	ConflictInvoice  = "invoice"  // the invoice's id came again with other values
	ConflictPayment  = "payment"  // a payment's id came again with other values
)

// Repeat is an invoice or a payment whose id came again with other values, which changed nothing.
type Repeat struct {
	Position  int64  `json:"position"`
	Kind      string `json:"kind"`
	PaymentID string `json:"payment_id,omitzero"`
	Currency  string `json:"currency"`
	Amount    int64  `json:"amount"`
}

// repeated adds a repeat to an invoice, which may not have arrived.
func repeated(b *projections.Batch, key invoiceKey, r Repeat) {
	old, _ := invoices.Get(b, key)
	now := old
	now.Repeats = with(old.Repeats, r)
	putInvoice(b, key, old, now)
}

// with returns the list with r in its place in the log.
func with(list []Repeat, r Repeat) []Repeat {
	i, _ := slices.BinarySearchFunc(list, r.Position,
		func(a Repeat, position int64) int { return int(a.Position - position) })
	return slices.Insert(slices.Clone(list), i, r)
}

func (i Invoice) isAnother(m *fee.Invoiced) bool {
	return i.StudentID != m.StudentID || i.Year != m.Year || i.Term != m.Term ||
		i.Category != m.Category || i.Amount != m.Amount || i.Currency != m.Currency ||
		i.DueOn != m.DueOn
}

func (p Payment) isAnother(m *fee.PaymentReceived) bool {
	return p.InvoiceID != m.InvoiceID || p.StudentID != m.StudentID || p.Amount != m.Amount ||
		p.Currency != m.Currency || p.Method != m.Method
}

// conflicted reports that something about the invoice contradicts itself. As long as it has not
// arrived, payments of any currency may be for it.
func (i Invoice) conflicted() bool {
	return len(i.Repeats) > 0 ||
		slices.ContainsFunc(i.Waivers, func(w Waiver) bool { return w.Excess > 0 }) ||
		i.Exists() && slices.ContainsFunc(i.Payments, i.unmatched)
}

// unmatched reports that money is in another currency than the invoice, and was not reversed.
func (i Invoice) unmatched(r Received) bool {
	return r.Currency != i.Currency && r.Amount > r.Reversed
}

// Conflict is a fact that contradicts another one. It changes no sum.
type Conflict struct {
	Kind      string `json:"kind" enum:"currency,waiver,invoice,payment" doc:"currency: paid in another currency than the invoice's; waiver: waived more than the invoice has; invoice, payment: its id came again with other values"`
	InvoiceID string `json:"invoice_id"`
	StudentID string `json:"student_id,omitzero" doc:"Of the invoice"`
	PaymentID string `json:"payment_id,omitzero"`
	Currency  string `json:"currency"`
	Amount    int64  `json:"amount" doc:"What does not count"`
}

// maxConflicts is how many invoices with conflicts a result names.
const maxConflicts = 200

const conflictsSQL read.SQL = `-- fees.conflicts
SELECT invoice_id, student_id, currency, amount, payments, waivers, repeats FROM fee_invoices
WHERE school = $1 AND (amount = 0 OR conflicted) AND conflicted ORDER BY invoice_id LIMIT $2`

// conflicts returns what contradicts itself in the books of a school.
func conflicts(ctx context.Context, tx pgx.Tx, school string) ([]Conflict, error) {
	type invoice struct {
		ID string
		Invoice
	}
	found, err := read.All(ctx, tx, conflictsSQL, func(i *invoice) []any {
		return []any{&i.ID, &i.StudentID, &i.Currency, &i.Amount, &i.Payments, &i.Waivers, &i.Repeats}
	}, school, maxConflicts)
	var all []Conflict
	for _, i := range found {
		add := func(kind, payment, currency string, amount int64) {
			all = append(all, Conflict{kind, i.ID, i.StudentID, payment, currency, amount})
		}
		for _, r := range i.Payments {
			if i.Exists() && i.unmatched(r) {
				add(ConflictCurrency, "", r.Currency, r.Amount-r.Reversed)
			}
		}
		for _, w := range i.Waivers {
			if w.Excess > 0 {
				add(ConflictWaiver, "", i.Currency, w.Excess)
			}
		}
		for _, r := range i.Repeats {
			add(r.Kind, r.PaymentID, r.Currency, r.Amount)
		}
	}
	return all, err
}
