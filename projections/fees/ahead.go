package fees

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The tables sum all that has arrived. What is dated after today counts from its day on: each result
// is made of the tables, and of the few invoices with something dated ahead as they are today.

// storedInvoices are the columns from which all of an invoice follows.
const storedInvoices = `invoice_id, versions, lines FROM fee_invoices`

type storedInvoice struct {
	ID string
	Invoice
}

func readInvoices(
	ctx context.Context, tx pgx.Tx, s read.SQL, args ...any,
) (all []storedInvoice, err error) {
	err = read.Each(ctx, tx, s, func(i *storedInvoice) []any {
		return []any{&i.ID, &i.Versions, &i.Lines}
	}, func(i storedInvoice) {
		i.settle()
		all = append(all, i)
	}, args...)
	return all, err
}

const aheadSQL read.SQL = `-- fees.ahead
SELECT ` + storedInvoices + ` WHERE school = $1 AND latest_at >= $2`

// ahead are the invoices of a school that have something dated after today, and how they are today.
type ahead struct {
	tomorrow time.Time // the moment at which it begins by the school's clock
	stored   []storedInvoice
	today    []storedInvoice
}

// tomorrow is when the next day begins by the school's clock.
func tomorrow(scope query.Scope) time.Time {
	y, m, d := scope.Today.Time().Date()
	return time.Date(y, m, d+1, 0, 0, 0, 0, scope.Settings.Location())
}

func readAhead(ctx context.Context, tx pgx.Tx, scope query.Scope) (*ahead, error) {
	a := &ahead{tomorrow: tomorrow(scope)}
	var err error
	a.stored, err = readInvoices(ctx, tx, aheadSQL, scope.School, a.tomorrow)
	for _, i := range a.stored {
		a.today = append(a.today, storedInvoice{i.ID, i.Before(a.tomorrow)})
	}
	return a, err
}

// unsettled are the invoices of which something is open, or more was paid than is to be, as of today.
// The parameters are the school, tomorrow and [ahead.open].
const unsettled = `unsettled AS MATERIALIZED (
	SELECT invoice_id, student_id, year, term, currency, due_on, open_amount FROM fee_invoices
	WHERE school = $1 AND open_amount <> 0 AND latest_at < $2
	UNION ALL
	SELECT * FROM jsonb_to_recordset($3::jsonb) AS a (
		invoice_id text COLLATE "C", student_id text COLLATE "C", year text COLLATE "C",
		term text COLLATE "C", currency text COLLATE "C", due_on date, open_amount bigint)
)`

// open are the unsettled among the invoices as they are today, for a statement.
func (a *ahead) open() string {
	type row struct {
		InvoiceID string       `json:"invoice_id"`
		StudentID string       `json:"student_id"`
		Year      domain.Label `json:"year"`
		Term      domain.Label `json:"term"`
		Currency  string       `json:"currency"`
		DueOn     domain.Date  `json:"due_on"`
		Open      int64        `json:"open_amount"`
	}
	rows := []row{}
	for _, i := range a.today {
		if i.Open != 0 {
			rows = append(rows,
				row{i.ID, i.StudentID, i.Year, i.Term, i.Currency, i.DueOn, i.Open})
		}
	}
	return encoded(rows)
}

// totals are what has to be added to the totals, for a statement.
func (a *ahead) totals() string {
	type row struct {
		Year        domain.Label `json:"year"`
		Term        domain.Label `json:"term"`
		Currency    string       `json:"currency"`
		Category    string       `json:"category"`
		DueOn       domain.Date  `json:"due_on"`
		Invoices    int64        `json:"invoices"`
		Invoiced    int64        `json:"invoiced"`
		Credited    int64        `json:"credited"`
		Waived      int64        `json:"waived"`
		Excess      int64        `json:"waived_excess"`
		Collected   int64        `json:"collected"`
		Reversed    int64        `json:"reversed"`
		Refunded    int64        `json:"refunded"`
		Outstanding int64        `json:"outstanding"`
		Overpaid    int64        `json:"overpaid"`
	}
	rows := []row{}
	add := func(i Invoice, sign int64) {
		if s := (totalRow{}).plus(i.sums(), sign); i.Exists() {
			rows = append(rows, row{
				i.Year, i.Term, i.Currency, i.Category, i.DueOn, s.Invoices, s.Invoiced, s.Credited,
				s.Waived, s.Excess, s.Collected, s.Reversed, s.Refunded, s.Outstanding, s.Overpaid,
			})
		}
	}
	for n := range a.stored {
		add(a.stored[n].Invoice, -1)
		add(a.today[n].Invoice, +1)
	}
	return encoded(rows)
}

// methods are what has to be added to the sums by method, for a statement.
func (a *ahead) methods() string {
	type row struct {
		Year      domain.Label `json:"year"`
		Term      domain.Label `json:"term"`
		Currency  string       `json:"currency"`
		Method    string       `json:"method"`
		Payments  int64        `json:"payments"`
		Collected int64        `json:"collected"`
		Reversed  int64        `json:"reversed"`
		Refunded  int64        `json:"refunded"`
	}
	rows := []row{}
	add := func(i Invoice, sign int64) {
		i.byMethod("", func(k methodKey, m methodRow) {
			m = methodRow{}.plus(m, sign)
			rows = append(rows, row{
				k.Year, k.Term, k.Currency, k.Method, m.Payments, m.Collected, m.Reversed, m.Refunded,
			})
		})
	}
	for n := range a.stored {
		add(a.stored[n].Invoice, -1)
		add(a.today[n].Invoice, +1)
	}
	return encoded(rows)
}

// encoded writes rows as the parameter of a statement.
func encoded(rows any) string {
	text, err := json.Marshal(rows)
	if err != nil {
		panic(fmt.Sprintf("encode rows of invoices: %v", err)) // numbers and valid texts
	}
	return string(text)
}
