package fees

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

var accountQuery = query.Query[accountInput, Statement]{
	Name:    "fee-account",
	Path:    "/students/{id}/account",
	Summary: "The account of a student",
	Description: "The balances of a student's account, its invoices with all that happened to each, " +
		"payments that settle nothing, and what contradicts itself.",
	Reads:   []*projections.Projection{Projection, students.Projection},
	TTL:     5 * time.Minute,
	Roles:   []query.Role{query.Admin, query.Office, query.Accountant},
	ByScope: true,
	Own:     func(in *accountInput) string { return in.StudentID },
	Indexes: []query.Index{
		{
			Name: "fee_invoices_by_student", Statement: "fees.account",
			Request: "/students/student-0007/account",
		},
		{
			Name: "fee_entries_by_student", Statement: "fees.unmatched_of_student",
			Request: "/students/student-0007/account",
		},
	},
	Run: statement,
}

// accountInput selects a student.
type accountInput struct {
	StudentID string `path:"id" maxLength:"128"`
}

// Account is what a student was charged and has paid, as of today.
type Account struct {
	Balances []Balance     `json:"balances"`
	Overdue  []Currency    `json:"overdue" doc:"Of what is open after credit was applied, the first due first, what was due before today"`
	Open     []OpenInvoice `json:"open_invoices" doc:"Invoices that are not settled, the first due first"`
}

// Statement is an account with all that is in it.
type Statement struct {
	StudentID string `json:"student_id"`
	Account
	Outstanding []Currency      `json:"outstanding" doc:"What the account owes after its credit was applied"`
	Credit      []Currency      `json:"credit" doc:"What the account has in its favour when nothing is open any more"`
	Family      []FamilyBalance `json:"family,omitzero" doc:"In each currency, what the student's family owes; for those who see all accounts"`
	Invoices    []AccountEntry  `json:"invoices" doc:"The first due first"`
	Unmatched   []UnmatchedLine `json:"unmatched" doc:"Payments for invoices that have not arrived (yet) or are in another currency"`
	Planned     []UnmatchedLine `json:"planned" doc:"Payments that are dated after today"`
	Conflicts   []Conflict      `json:"conflicts" doc:"Of these invoices and payments"`
}

// FamilyBalance is what a family owes in a currency.
type FamilyBalance struct {
	Currency string `json:"currency"`
	Family
}

// AccountEntry is an invoice with what happened to it.
type AccountEntry struct {
	InvoiceID    string        `json:"invoice_id"`
	Year         domain.Label  `json:"year"`
	Term         domain.Label  `json:"term"`
	Category     string        `json:"category"`
	Currency     string        `json:"currency"`
	Amount       int64         `json:"amount" doc:"With its changes"`
	InvoicedAt   time.Time     `json:"invoiced_at"`
	DueOn        domain.Date   `json:"due_on"`
	Cancelled    bool          `json:"cancelled,omitzero"`
	Credited     int64         `json:"credited"`
	Waived       int64         `json:"waived"`
	WaivedExcess int64         `json:"waived_excess" doc:"Waived beyond what was open, which is nobody's money"`
	Collected    int64         `json:"collected" doc:"Paid and not reversed, less what was refunded"`
	Refunded     int64         `json:"refunded"`
	Open         int64         `json:"open" doc:"What remains to be paid; 0 when more was paid"`
	Overpaid     int64         `json:"overpaid" doc:"What was paid beyond that: credit of the account"`
	Lines        []AccountLine `json:"lines"`
}

// AccountLine is one thing that happened to an invoice.
type AccountLine struct {
	Kind       Kind        `json:"kind" enum:"payment,refund,credit,waiver,change,cancellation"`
	ID         string      `json:"id"`
	At         time.Time   `json:"at"`
	Amount     int64       `json:"amount,omitzero" doc:"What it says; absent for what has none"`
	Counted    int64       `json:"counted" doc:"How much of it counts; 0 when it was reversed or is in another currency"`
	Currency   string      `json:"currency,omitzero" doc:"Where it has one of its own"`
	Method     string      `json:"method,omitzero"`
	DueOn      domain.Date `json:"due_on,omitzero" doc:"Of a change"`
	Reason     string      `json:"reason,omitzero"`
	ReversedAt time.Time   `json:"reversed_at,omitzero"`
	Reversal   string      `json:"reversal,omitzero" doc:"Why it was reversed"`
}

// UnmatchedLine is a payment that settles nothing, or not yet.
type UnmatchedLine struct {
	PaymentID       string    `json:"payment_id"`
	InvoiceID       string    `json:"invoice_id"`
	At              time.Time `json:"at"`
	Currency        string    `json:"currency"`
	Amount          int64     `json:"amount" doc:"In minor units of its own currency"`
	InvoiceCurrency string    `json:"invoice_currency,omitzero" doc:"Absent when the invoice has not arrived"`
}

const accountSQL read.SQL = `-- fees.account
SELECT ` + storedInvoices + ` WHERE school = $1 AND student_id = $2`

// invoicesOf returns the invoices of one student as of today, the first due first, and as stored.
func invoicesOf(
	ctx context.Context, tx pgx.Tx, scope query.Scope, studentID string,
) (today, stored []storedInvoice, err error) {
	stored, err = readInvoices(ctx, tx, accountSQL, scope.School, studentID)
	for _, i := range stored {
		if i.Invoice = i.Before(tomorrow(scope)); i.Exists() {
			today = append(today, i)
		}
	}
	slices.SortFunc(today, func(a, b storedInvoice) int {
		return cmp.Or(cmp.Compare(a.DueOn, b.DueOn), cmp.Compare(a.ID, b.ID))
	})
	return today, stored, err
}

// AccountOf returns the account of one student.
func AccountOf(
	ctx context.Context, tx pgx.Tx, scope query.Scope, studentID string,
) (Account, error) {
	invoices, _, err := invoicesOf(ctx, tx, scope, studentID)
	return accountOf(invoices, scope.Today), err
}

func accountOf(invoices []storedInvoice, today domain.Date) Account {
	var row accountRow
	for _, i := range invoices {
		row.Balances = row.balances(i.Currency, i.sums(), +1)
		row.Open = row.settle(i.ID, i.Invoice)
	}
	return Account{
		Balances: row.Balances, Open: row.Open,
		Overdue: Overdue(Net(row.Balances, row.Open), today),
	}
}

// Overdue sums open amounts that were due before today.
func Overdue(open []OpenInvoice, today domain.Date) []Currency {
	var sums []Currency
	for _, o := range open {
		if o.DueOn < today {
			sums = add(sums, o.Currency, o.Amount)
		}
	}
	return sums
}

// add adds an amount to those of other currencies.
func add(sums []Currency, currency string, amount int64) []Currency {
	for i := range sums {
		if sums[i].Currency == currency {
			sums[i].Amount += amount
			return sums
		}
	}
	return append(sums, Currency{currency, amount})
}

const unmatchedOfSQL read.SQL = `-- fees.unmatched_of_student
SELECT e.entry_id, e.invoice_id, e.happened_at, e.currency, e.amount,
	coalesce(i.currency, ''), e.happened_at >= $3
FROM fee_entries e LEFT JOIN fee_invoices i
	ON i.school = e.school AND i.invoice_id = e.invoice_id AND i.amount > 0
WHERE e.school = $1 AND e.student_id = $2 AND e.kind = 'payment' AND NOT e.reversed
	AND (e.happened_at >= $3 OR i.currency IS DISTINCT FROM e.currency)
ORDER BY e.happened_at, e.entry_id`

func statement(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *accountInput,
) (*Statement, error) {
	invoices, stored, err := invoicesOf(ctx, tx, scope, in.StudentID)
	if err != nil {
		return nil, err
	}
	a := &Statement{StudentID: in.StudentID, Account: accountOf(invoices, scope.Today)}
	for _, b := range a.Balances {
		switch {
		case b.Open > 0:
			a.Outstanding = append(a.Outstanding, Currency{b.Currency, b.Open})
		case b.Open < 0:
			a.Credit = append(a.Credit, Currency{b.Currency, -b.Open})
		}
	}
	if scope.Access.All.Has(access.Fees) {
		if err := a.readFamily(ctx, tx, scope); err != nil {
			return nil, err
		}
	}
	for _, i := range invoices {
		a.Invoices = append(a.Invoices, i.entry())
	}
	for _, i := range stored {
		a.Conflicts = append(a.Conflicts, i.conflicts(i.ID)...)
	}
	type payment struct {
		UnmatchedLine
		planned bool
	}
	err = read.Each(ctx, tx, unmatchedOfSQL, func(p *payment) []any {
		return []any{
			&p.PaymentID, &p.InvoiceID, &p.At, &p.Currency, &p.Amount, &p.InvoiceCurrency, &p.planned,
		}
	}, func(p payment) {
		p.At = p.At.UTC()
		if p.planned {
			a.Planned = append(a.Planned, p.UnmatchedLine)
			return
		}
		a.Unmatched = append(a.Unmatched, p.UnmatchedLine)
	}, scope.School, in.StudentID, tomorrow(scope))
	if err != nil {
		return nil, err
	}
	if len(stored)+len(a.Unmatched)+len(a.Planned) == 0 {
		if _, err := students.One(ctx, tx, scope.School, in.StudentID, scope.Today); err != nil {
			return nil, err // most likely, that there is no such student
		}
	}
	return a, nil
}

func (a *Statement) readFamily(ctx context.Context, tx pgx.Tx, scope query.Scope) error {
	later, err := readAhead(ctx, tx, scope)
	if err != nil {
		return err
	}
	families, err := readFamilies(ctx, tx, scope, later)
	if err != nil {
		return err
	}
	for _, b := range a.Balances {
		a.Family = append(a.Family,
			FamilyBalance{b.Currency, families.of(a.StudentID, b.Currency, scope.Access.Of(a.StudentID))})
	}
	return nil
}

// entry is the invoice as an account shows it.
func (i storedInvoice) entry() AccountEntry {
	e := AccountEntry{
		InvoiceID: i.ID, Year: i.Year, Term: i.Term, Category: i.Category, Currency: i.Currency,
		Amount: i.Amount, InvoicedAt: i.At, DueOn: i.DueOn, Cancelled: i.Cancelled,
		Credited: i.Credited, Waived: i.Waived, WaivedExcess: i.Excess, Collected: i.Collected,
		Refunded: i.Refunded, Open: max(i.Open, 0), Overpaid: max(-i.Open, 0),
	}
	for _, l := range i.Lines {
		e.Lines = append(e.Lines, AccountLine{
			Kind: l.Kind, ID: l.ID, At: l.Time, Amount: l.Amount, Counted: l.Counted,
			Currency: l.Currency, Method: l.Method, DueOn: l.DueOn, Reason: l.Reason,
			ReversedAt: l.Reversal.Time, Reversal: l.Reversal.Reason,
		})
	}
	return e
}
