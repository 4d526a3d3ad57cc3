package fees

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about fees that the rules of messages and documents look up. Each function looks up
// many keys at once, of any schools, and returns what there is for each of them, in their order.

// InvoiceFacts describe an invoice.
type InvoiceFacts struct {
	ID, StudentID, Category, Currency string
	Year, Term                        domain.Label
	Amount, Waived, Open              int64
	// Owed is what remains of Open after the credit of the account was applied to its invoices, the
	// first due first.
	Owed  int64
	DueOn domain.Date
}

// owed is an invoice with the account that it is of: what is open of the invoices up to it, in the order
// in which they are due, and the credit.
const owed = `i.invoice_id, i.student_id, i.category, i.currency, i.year, i.term,
	i.amount, i.waived, i.open_amount,
	greatest(least(i.open_amount, account.so_far - account.credit), 0)::bigint AS owed, i.due_on
FROM schoolbell.fee_invoices i, LATERAL (
	SELECT
		coalesce(sum(o.open_amount) FILTER (WHERE o.open_amount > 0
			AND (o.due_on, o.invoice_id) <= (i.due_on, i.invoice_id)), 0) AS so_far,
		coalesce(-sum(o.open_amount) FILTER (WHERE o.open_amount < 0), 0) AS credit
	FROM schoolbell.fee_invoices o
	WHERE o.school = i.school AND o.student_id = i.student_id AND o.currency = i.currency
		AND o.open_amount <> 0
) account`

func (i *InvoiceFacts) addresses() []any {
	return []any{
		&i.ID, &i.StudentID, &i.Category, &i.Currency, &i.Year, &i.Term, &i.Amount, &i.Waived,
		&i.Open, &i.Owed, &i.DueOn,
	}
}

const invoiceFactsSQL read.SQL = `-- fees.facts_of_invoice
SELECT q.n, f.* FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n),
LATERAL (SELECT ` + owed + ` WHERE i.school = q.school AND i.invoice_id = q.id) f`

// InvoiceFactsByID returns one invoice, or none, for each id.
func InvoiceFactsByID(
	ctx context.Context, tx pgx.Tx, schools, ids []string,
) ([][]InvoiceFacts, error) {
	return read.PerKey(ctx, tx, len(ids), invoiceFactsSQL, (*InvoiceFacts).addresses, schools, ids)
}

const overdueFactsSQL read.SQL = `-- fees.facts_of_overdue
SELECT * FROM (
	SELECT ` + owed + `
	WHERE i.school = $1 AND i.open_amount <> 0 AND i.open_amount > 0 AND i.due_on < $2
) overdue WHERE owed > 0 ORDER BY invoice_id`

// OverdueFacts returns the invoices of a school that were due before a day and that the account still
// owes, by id. A payment that is dated ahead counts: a family that has promised it is not reminded.
func OverdueFacts(
	ctx context.Context, tx pgx.Tx, school string, day domain.Date,
) ([]InvoiceFacts, error) {
	return read.All(ctx, tx, overdueFactsSQL, (*InvoiceFacts).addresses, school, day)
}

// PaymentFacts describe a payment.
type PaymentFacts struct {
	ID, InvoiceID, StudentID, Currency, Method string
	Amount                                     int64
	Reversed                                   bool
	ReceivedAt                                 time.Time
}

const paymentFactsSQL read.SQL = `-- fees.facts_of_payment
SELECT q.n, p.entry_id, p.invoice_id, p.student_id, p.currency, p.method, p.amount,
	p.reversed, p.happened_at
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.fee_entries p ON p.school = q.school AND p.kind = 'payment' AND p.entry_id = q.id`

// PaymentFactsByID returns one payment, or none, for each id.
func PaymentFactsByID(
	ctx context.Context, tx pgx.Tx, schools, ids []string,
) ([][]PaymentFacts, error) {
	return read.PerKey(ctx, tx, len(ids), paymentFactsSQL, func(p *PaymentFacts) []any {
		return []any{
			&p.ID, &p.InvoiceID, &p.StudentID, &p.Currency, &p.Method, &p.Amount, &p.Reversed,
			&p.ReceivedAt,
		}
	}, schools, ids)
}

// MovementFacts are one line of a student's account.
type MovementFacts struct {
	// invoice, cancellation, credit, payment, reversal, refund or waiver
	Kind                       string
	Position                   int64 // of its event
	At                         time.Time
	InvoiceID, PaymentID       string // the id of the payment, refund or credit note, where there is one
	Category, Currency, Method string
	Reason                     string
	Year, Term                 domain.Label
	Amount                     int64       // as far as it counts
	DueOn                      domain.Date // of an invoice
}

const invoicesOfSQL read.SQL = `-- fees.facts_of_account
SELECT q.n, i.invoice_id, i.versions, i.lines
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.fee_invoices i ON i.school = q.school AND i.student_id = q.id WHERE i.amount > 0`

// Payments for invoices that have not arrived.
const earlyPaymentsSQL read.SQL = `-- fees.facts_of_early_payments
SELECT q.n, p.entry_id, p.versions, p.reversals
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.fee_entries p ON p.school = q.school AND p.student_id = q.id AND p.kind = 'payment'
WHERE NOT EXISTS (
	SELECT FROM schoolbell.fee_invoices i
	WHERE i.school = p.school AND i.invoice_id = p.invoice_id AND i.amount > 0)`

// AccountFactsOf returns what happened to the fees of each student, in the order of the log.
func AccountFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs []string,
) ([][]MovementFacts, error) {
	found, err := read.PerKey(ctx, tx, len(studentIDs), invoicesOfSQL, func(i *storedInvoice) []any {
		return []any{&i.ID, &i.Versions, &i.Lines}
	}, schools, studentIDs)
	if err != nil {
		return nil, err
	}
	type payment struct {
		id string
		Entry
	}
	early, err := read.PerKey(ctx, tx, len(studentIDs), earlyPaymentsSQL, func(p *payment) []any {
		return []any{&p.id, &p.Versions, &p.Reversals}
	}, schools, studentIDs)
	if err != nil {
		return nil, err
	}
	all := make([][]MovementFacts, len(studentIDs))
	for n := range all {
		for _, i := range found[n] {
			i.settle()
			all[n] = append(all[n], i.movements()...)
		}
		for _, p := range early[n] {
			p.settle()
			l := p.line(entryKey{Kind: Payment, ID: p.id})
			all[n] = append(all[n], l.movements(storedInvoice{ID: p.InvoiceID})...)
		}
		slices.SortFunc(all[n], func(a, b MovementFacts) int {
			return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Kind, b.Kind))
		})
	}
	return all, nil
}

// movements are what an invoice and its entries change in an account.
func (i storedInvoice) movements() []MovementFacts {
	all := []MovementFacts{i.movement("invoice", Stamp{i.Position, i.At}, i.Amount)}
	all[0].DueOn = i.DueOn
	for _, l := range i.Lines {
		all = append(all, l.movements(i)...)
	}
	return all
}

func (i storedInvoice) movement(kind string, at Stamp, amount int64) MovementFacts {
	return MovementFacts{
		Kind: kind, Position: at.Position, At: at.Time, InvoiceID: i.ID, Category: i.Category,
		Currency: i.Currency, Year: i.Year, Term: i.Term, Amount: amount,
	}
}

// movements are what an entry changes. A payment that was reversed came and went; of other entries what
// does not count is left out.
func (l Line) movements(i storedInvoice) (all []MovementFacts) {
	m := i.movement(string(l.Kind), l.Stamp, l.Counted)
	m.PaymentID, m.Method, m.Reason = l.ID, l.Method, l.Reason
	switch l.Kind {
	case Payment:
		m.Currency, m.Amount = l.Currency, l.Amount
		all = append(all, m)
		if l.Reversed() {
			m.Kind, m.Position, m.At = "reversal", l.Reversal.Position, l.Reversal.Time
			m.Reason = l.Reversal.Reason
			all = append(all, m)
		}
	case Cancellation:
		m.PaymentID, m.Amount = "", i.Amount
		all = append(all, m)
	case Credit, Refund, Waiver:
		if l.Kind == Waiver {
			m.PaymentID = "" // families know the invoice, and not the waiver
		}
		if m.Amount > 0 {
			all = append(all, m)
		}
	case Change: // the invoice shows what it is after its changes
	}
	return all
}
