package fees

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/projections/read"
)

// The kinds of contradictions. None of them is an error of a fold: an error would park all that happens
// to the student from then on, for a slip in the books that only the school can put right.
const (
	ConflictCurrency = "currency" // in another currency than the invoice's
	ConflictCredit   = "credit"   // credited more than the invoice charges
	ConflictRefund   = "refund"   // refunded more than was received
	ConflictWaiver   = "waiver"   // waived more than was open
	ConflictInvoice  = "invoice"  // the invoice's id came again with another content
	ConflictReversal = "reversal" // a reversal came again with another reason
)

// repeated names the conflict of an entry whose id came again with another content.
var repeated = map[Kind]string{
	Payment: "payment", Refund: "refund_id", Credit: "credit_id", Waiver: "waiver_id",
	Change: "change_id", Cancellation: "cancellation",
}

// contradiction says how a line contradicts its invoice, if it does, and what of it does not count.
func (i Invoice) contradiction(l Line) (kind string, amount int64) {
	if !i.Exists() || l.Reversed() {
		return "", 0
	}
	excess := l.Amount - l.Counted
	switch l.Kind {
	case Payment, Refund, Credit:
		switch {
		case l.Currency != i.Currency:
			return ConflictCurrency, l.Amount
		case l.Kind == Refund && excess > 0:
			return ConflictRefund, excess
		case l.Kind == Credit && excess > 0 && !i.Cancelled:
			return ConflictCredit, excess
		}
	case Waiver:
		if excess > 0 && !i.Cancelled {
			return ConflictWaiver, excess
		}
	}
	return "", 0
}

// Conflict is a fact that contradicts another one. It changes no sum.
type Conflict struct {
	Kind            string `json:"kind" enum:"currency,credit,refund,waiver,invoice,payment,refund_id,credit_id,waiver_id,change_id,cancellation,reversal" doc:"currency: in another currency than the invoice's; credit: credited more than the invoice charges; refund: refunded more than was received; waiver: waived more than was open at its time; the others: the id came with several contents, of which the later holds, and this one does not"`
	InvoiceID       string `json:"invoice_id"`
	StudentID       string `json:"student_id,omitzero" doc:"Of the invoice, or of the content that does not hold"`
	PaymentID       string `json:"payment_id,omitzero" doc:"Of a payment"`
	ID              string `json:"id,omitzero" doc:"Of a refund, credit note, waiver or change"`
	Currency        string `json:"currency"`
	InvoiceCurrency string `json:"invoice_currency,omitzero" doc:"Of the invoice, where it is another one"`
	Amount          int64  `json:"amount" doc:"What does not count"`
}

// name puts the id of an entry where it belongs.
func (c Conflict) name(kind Kind, id string) Conflict {
	switch kind {
	case Payment:
		c.PaymentID = id
	case Cancellation: // its id is the invoice's
	default:
		c.ID = id
	}
	return c
}

// conflicts returns what contradicts itself in an invoice.
func (i Invoice) conflicts(id string) (all []Conflict) {
	for _, l := range i.Lines {
		kind, amount := i.contradiction(l)
		if kind == "" {
			continue
		}
		c := Conflict{
			Kind: kind, InvoiceID: id, StudentID: i.StudentID, Currency: i.Currency, Amount: amount,
		}
		if kind == ConflictCurrency {
			c.Currency, c.InvoiceCurrency = l.Currency, i.Currency
		}
		all = append(all, c.name(l.Kind, l.ID))
	}
	for _, v := range i.Versions.superseded() {
		all = append(all, Conflict{
			Kind: ConflictInvoice, InvoiceID: id, StudentID: v.Content.StudentID,
			Currency: v.Content.Currency, Amount: v.Content.Amount,
		})
	}
	return all
}

// conflicts returns what contradicts itself in an entry.
func (e Entry) conflicts(kind Kind, id string) (all []Conflict) {
	for _, v := range e.Versions.superseded() {
		all = append(all, Conflict{
			Kind: repeated[kind], InvoiceID: v.Content.InvoiceID, StudentID: v.Content.StudentID,
			Currency: v.Content.Currency, Amount: v.Content.Amount,
		}.name(kind, id))
	}
	if len(e.Reversals) > 1 {
		all = append(all, Conflict{
			Kind: ConflictReversal, InvoiceID: e.InvoiceID, StudentID: e.StudentID, Currency: e.Currency,
		}.name(kind, id))
	}
	return all
}

// maxConflicts is how many invoices, and how many entries, with conflicts a result names.
const maxConflicts = 200

const conflictsSQL read.SQL = `-- fees.conflicts
SELECT ` + storedInvoices + `
WHERE school = $1 AND (amount = 0 OR conflicted) AND conflicted ORDER BY invoice_id LIMIT $2`

const conflictedEntriesSQL read.SQL = `-- fees.conflicted_entries
SELECT kind, entry_id, versions, reversals FROM fee_entries
WHERE school = $1 AND conflicted ORDER BY kind, entry_id LIMIT $2`

// conflicts returns what contradicts itself in the books of a school.
func conflicts(ctx context.Context, tx pgx.Tx, school string) ([]Conflict, error) {
	all := []Conflict{}
	found, err := readInvoices(ctx, tx, conflictsSQL, school, maxConflicts)
	if err != nil {
		return nil, err
	}
	for _, i := range found {
		all = append(all, i.conflicts(i.ID)...)
	}
	type stored struct {
		Kind Kind
		ID   string
		Entry
	}
	err = read.Each(ctx, tx, conflictedEntriesSQL, func(e *stored) []any {
		return []any{&e.Kind, &e.ID, &e.Versions, &e.Reversals}
	}, func(e stored) {
		e.settle()
		all = append(all, e.conflicts(e.Kind, e.ID)...)
	}, school, maxConflicts)
	return all, err
}

const contradictedSQL read.SQL = `-- fees.contradicted
SELECT (v -> 'said' ->> 'position')::bigint FROM fee_invoices, jsonb_array_elements(versions) v
WHERE school = $1 AND (amount = 0 OR conflicted) AND conflicted AND jsonb_array_length(versions) > 1
UNION ALL
SELECT (v -> 'said' ->> 'position')::bigint FROM fee_entries,
	jsonb_array_elements(CASE WHEN jsonb_array_length(versions) > 1 THEN versions ELSE '[]' END
		|| CASE WHEN jsonb_array_length(reversals) > 1 THEN reversals ELSE '[]' END) v
WHERE school = $1 AND conflicted`

// Contradicted returns the positions of the events of a school whose ids came with several contents.
func Contradicted(ctx context.Context, tx pgx.Tx, school string) (map[int64]bool, error) {
	positions := map[int64]bool{}
	err := read.Each(ctx, tx, contradictedSQL, func(p *int64) []any { return []any{p} },
		func(p int64) { positions[p] = true }, school)
	return positions, err
}
