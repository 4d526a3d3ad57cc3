package fees

import (
	"cmp"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

var (
	accounts = projections.NewTable[accountKey, accountRow]("fee_accounts")
	totals   = projections.NewTable[totalKey, totalRow]("fee_totals")
	methods  = projections.NewTable[methodKey, methodRow]("fee_methods")
	revenue  = projections.NewTable[revenueKey, revenueRow]("fee_revenue")
)

type accountKey struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
}

// accountRow is what a student was charged and has paid, by currency, and the invoices that are not
// settled.
type accountRow struct {
	Balances []Balance     `db:"balances"`      // sorted by currency
	Open     []OpenInvoice `db:"open_invoices"` // sorted by the day they are due
}

// Balance is a student's account in one currency.
type Balance struct {
	Currency  string `json:"currency"`
	Invoiced  int64  `json:"invoiced"`
	Waived    int64  `json:"waived"`
	Collected int64  `json:"collected" doc:"Paid and not reversed"`
	Open      int64  `json:"open" doc:"invoiced - waived - collected; negative when too much was paid"`
}

// OpenInvoice is one that is not settled.
type OpenInvoice struct {
	DueOn     domain.Date `json:"due_on"`
	InvoiceID string      `json:"invoice_id"`
	Category  string      `json:"category"`
	Currency  string      `json:"currency"`
	Amount    int64       `json:"amount" doc:"What remains to be paid"`
}

// totalKey is a category of fees in a term.
type totalKey struct {
	School   string       `db:"school"`
	Year     domain.Label `db:"year"`
	Term     domain.Label `db:"term"`
	Currency string       `db:"currency"`
	Category string       `db:"category"`
}

type totalRow struct {
	Invoices    int64 `db:"invoices"`
	Invoiced    int64 `db:"invoiced"`
	Waived      int64 `db:"waived"`
	Collected   int64 `db:"collected"`
	Reversed    int64 `db:"reversed"`
	Outstanding int64 `db:"outstanding"` // of the invoices that are not settled
	Overpaid    int64 `db:"overpaid"`    // of those that were overpaid
}

type methodKey struct {
	School   string       `db:"school"`
	Year     domain.Label `db:"year"`
	Term     domain.Label `db:"term"`
	Currency string       `db:"currency"`
	Method   string       `db:"method"`
}

type methodRow struct {
	Payments  int64 `db:"payments"`
	Collected int64 `db:"collected"`
	Reversed  int64 `db:"reversed"`
}

// entry is what an invoice contributes to the totals; nothing until the invoice itself arrives.
func (i Invoice) entry() totalRow {
	if !i.Exists() {
		return totalRow{}
	}
	net, reversed := i.collected()
	return totalRow{
		Invoices: 1, Invoiced: i.Amount, Waived: i.Waived, Collected: net, Reversed: reversed,
		Outstanding: max(i.Open, 0), Overpaid: max(-i.Open, 0),
	}
}

// post carries the change of an invoice into its student's account and the totals of its term.
func post(b *projections.Batch, key invoiceKey, old, now Invoice) {
	before, after := old.entry(), now.entry()

	of := totalKey{key.School, now.Year, now.Term, now.Currency, now.Category}
	t, _ := totals.Get(b, of)
	t.Invoices += after.Invoices - before.Invoices
	t.Invoiced += after.Invoiced - before.Invoiced
	t.Waived += after.Waived - before.Waived
	t.Collected += after.Collected - before.Collected
	t.Reversed += after.Reversed - before.Reversed
	t.Outstanding += after.Outstanding - before.Outstanding
	t.Overpaid += after.Overpaid - before.Overpaid
	totals.Put(b, of, t)

	for _, r := range now.Payments {
		if r.Currency != now.Currency {
			continue
		}
		change := r
		if old.Exists() {
			change = r.minus(old.Payments)
		}
		if change.Payments == 0 && change.Reversed == 0 {
			continue
		}
		by := methodKey{key.School, now.Year, now.Term, now.Currency, r.Method}
		m, _ := methods.Get(b, by)
		m.Payments += change.Payments
		m.Collected += change.Amount - change.Reversed
		m.Reversed += change.Reversed
		methods.Put(b, by, m)
	}

	account := accountKey{key.School, now.StudentID}
	a, _ := accounts.Get(b, account)
	a.Balances = a.balance(now.Currency, before, after)
	a.Open = a.settle(key.InvoiceID, now)
	accounts.Put(b, account, a)
}

// minus is what was added since, by the same method in the same currency.
func (r Received) minus(before []Received) Received {
	for _, old := range before {
		if old.Method == r.Method && old.Currency == r.Currency {
			r.Payments -= old.Payments
			r.Amount -= old.Amount
			r.Reversed -= old.Reversed
		}
	}
	return r
}

func (a accountRow) balance(currency string, before, after totalRow) []Balance {
	i, found := slices.BinarySearchFunc(a.Balances, currency, func(b Balance, currency string) int {
		return cmp.Compare(b.Currency, currency)
	})
	list := slices.Clone(a.Balances)
	if !found {
		list = slices.Insert(list, i, Balance{Currency: currency})
	}
	l := &list[i]
	l.Invoiced += after.Invoiced - before.Invoiced
	l.Waived += after.Waived - before.Waived
	l.Collected += after.Collected - before.Collected
	l.Open = l.Invoiced - l.Waived - l.Collected
	return list
}

// settle returns the open invoices with this one as it is now.
func (a accountRow) settle(invoiceID string, i Invoice) []OpenInvoice {
	list := make([]OpenInvoice, 0, len(a.Open)+1)
	for _, o := range a.Open {
		if o.InvoiceID != invoiceID {
			list = append(list, o)
		}
	}
	if i.Open > 0 {
		list = append(list, OpenInvoice{i.DueOn, invoiceID, i.Category, i.Currency, i.Open})
		slices.SortFunc(list, func(a, b OpenInvoice) int {
			return cmp.Or(cmp.Compare(a.DueOn, b.DueOn), cmp.Compare(a.InvoiceID, b.InvoiceID))
		})
	}
	return list
}

// EarliestDue returns the day on which the first of a student's open invoices is due, or none, to
// the fold of a projection that reads this one.
func EarliestDue(b *projections.Batch, school, studentID string) domain.Date {
	a, _ := accounts.Get(b, accountKey{school, studentID})
	if len(a.Open) == 0 {
		return 0
	}
	return a.Open[0].DueOn
}

// revenueKey is a month, by the time of the payments in UTC.
type revenueKey struct {
	School   string      `db:"school"`
	Currency string      `db:"currency"`
	Month    domain.Date `db:"month"` // its first day
}

// revenueRow is the money received in a month, whatever it was for. A later reversal is subtracted
// from the month of the payment.
type revenueRow struct {
	Payments int64 `db:"payments"`
	Received int64 `db:"received"`
	Reversed int64 `db:"reversed"`
}

func addRevenue(b *projections.Batch, key revenueKey, r Received) {
	row, _ := revenue.Get(b, key)
	row.Payments += r.Payments
	row.Received += r.Amount
	row.Reversed += r.Reversed
	revenue.Put(b, key, row)
}
