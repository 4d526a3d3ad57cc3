package fees

import (
	"context"
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
	DueOn                             domain.Date
}

const invoiceFacts = `i.invoice_id, i.student_id, i.category, i.currency, i.year, i.term,
	i.amount, i.waived, i.open_amount, i.due_on`

func (i *InvoiceFacts) addresses() []any {
	return []any{
		&i.ID, &i.StudentID, &i.Category, &i.Currency, &i.Year, &i.Term, &i.Amount, &i.Waived,
		&i.Open, &i.DueOn,
	}
}

const invoiceFactsSQL read.SQL = `-- fees.facts_of_invoice
SELECT q.n, ` + invoiceFacts + `
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.fee_invoices i ON i.school = q.school AND i.invoice_id = q.id`

// InvoiceFactsByID returns one invoice, or none, for each id.
func InvoiceFactsByID(
	ctx context.Context, tx pgx.Tx, schools, ids []string,
) ([][]InvoiceFacts, error) {
	return read.PerKey(ctx, tx, len(ids), invoiceFactsSQL, (*InvoiceFacts).addresses, schools, ids)
}

const overdueFactsSQL read.SQL = `-- fees.facts_of_overdue
SELECT ` + invoiceFacts + ` FROM schoolbell.fee_invoices i
WHERE i.school = $1 AND i.open_amount > 0 AND i.due_on < $2 AND i.amount > 0
ORDER BY i.invoice_id`

// OverdueFacts returns the invoices of a school that were due before a day and are open, by id.
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
SELECT q.n, p.payment_id, p.invoice_id, p.student_id, p.currency, p.method, p.amount,
	p.reversal <> '{}', p.received_at
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.fee_payments p ON p.school = q.school AND p.payment_id = q.id`

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
	Kind                       string // invoice, payment, reversal or waiver
	Position                   int64  // of its event
	At                         time.Time
	InvoiceID, PaymentID       string // the payment's id where there is one
	Category, Currency, Method string
	Reason                     string // of a reversal or waiver
	Year, Term                 domain.Label
	Amount                     int64
	DueOn                      domain.Date // of an invoice
}

const accountFactsSQL read.SQL = `-- fees.facts_of_account
WITH q AS MATERIALIZED (
	SELECT * FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
),
invoices AS MATERIALIZED (
	SELECT q.n, i.* FROM q
	JOIN schoolbell.fee_invoices i ON i.school = q.school AND i.student_id = q.id
	WHERE i.amount > 0
),
payments AS MATERIALIZED (
	SELECT q.n, p.*, coalesce(i.category, '') AS category, coalesce(i.year, '') AS year,
		coalesce(i.term, '') AS term
	FROM q JOIN schoolbell.fee_payments p ON p.school = q.school AND p.student_id = q.id
	LEFT JOIN schoolbell.fee_invoices i ON i.school = p.school AND i.invoice_id = p.invoice_id
	WHERE p.amount > 0
)
SELECT n, 'invoice', position, invoiced_at AS at, invoice_id, '', category, currency, '', '',
	year, term, amount, due_on
FROM invoices
UNION ALL
SELECT n, 'payment', position, received_at, invoice_id, payment_id, category, currency, method,
	'', year, term, amount, NULL
FROM payments
UNION ALL
SELECT n, 'reversal', coalesce((reversal ->> 'position')::bigint, 0),
	(reversal ->> 'time')::timestamptz, invoice_id, payment_id, category, currency, method,
	reversal ->> 'reason', year, term, amount, NULL
FROM payments WHERE reversal <> '{}'
UNION ALL
SELECT n, 'waiver', (w ->> 'position')::bigint, (w ->> 'time')::timestamptz, invoice_id, '',
	category, currency, '', w ->> 'reason', year, term, (w ->> 'amount')::bigint
	- coalesce((w ->> 'excess')::bigint, 0), NULL
FROM invoices, jsonb_array_elements(waivers) w
ORDER BY n, position`

// AccountFactsOf returns what happened to the fees of each student, in the order of the log.
func AccountFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs []string,
) ([][]MovementFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), accountFactsSQL, func(m *MovementFacts) []any {
		return []any{
			&m.Kind, &m.Position, &m.At, &m.InvoiceID, &m.PaymentID, &m.Category, &m.Currency,
			&m.Method, &m.Reason, &m.Year, &m.Term, &m.Amount, &m.DueOn,
		}
	}, schools, studentIDs)
}
