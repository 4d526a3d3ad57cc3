package fees

import (
	"cmp"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

var (
	accounts = projections.NewTable[accountKey, accountRow]("fee_accounts")
	totals   = projections.NewTable[totalKey, totalRow]("fee_totals")
	methods  = projections.NewTable[methodKey, methodRow]("fee_methods")
	revenue  = projections.NewTable[revenueKey, revenueRow]("fee_revenue")
	cohorts  = projections.NewTable[cohortKey, cohortRow]("fee_cohorts")
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
	Invoiced  int64  `json:"invoiced" doc:"Charged by invoices that are not cancelled"`
	Credited  int64  `json:"credited" doc:"Taken back by credit notes"`
	Waived    int64  `json:"waived"`
	Collected int64  `json:"collected" doc:"Paid and not reversed, less what was refunded"`
	Open      int64  `json:"open" doc:"The balance: invoiced - credited - waived - collected; negative when the account has credit"`
}

// OpenInvoice is one that is not settled.
type OpenInvoice struct {
	DueOn     domain.Date `json:"due_on"`
	InvoiceID string      `json:"invoice_id"`
	Category  string      `json:"category"`
	Currency  string      `json:"currency"`
	Amount    int64       `json:"amount" doc:"What remains to be paid"`
}

// totalKey is a category of fees of a term that are due on a day.
type totalKey struct {
	School   string       `db:"school"`
	Year     domain.Label `db:"year"`
	Term     domain.Label `db:"term"`
	Currency string       `db:"currency"`
	Category string       `db:"category"`
	DueOn    domain.Date  `db:"due_on"`
}

type totalRow struct {
	Invoices    int64 `db:"invoices"`
	Invoiced    int64 `db:"invoiced"`
	Credited    int64 `db:"credited"`
	Waived      int64 `db:"waived"`
	Excess      int64 `db:"waived_excess"`
	Collected   int64 `db:"collected"`
	Reversed    int64 `db:"reversed"`
	Refunded    int64 `db:"refunded"`
	Outstanding int64 `db:"outstanding"` // of the invoices that are not settled
	Overpaid    int64 `db:"overpaid"`    // of those that were overpaid
}

func (t totalRow) plus(other totalRow, sign int64) totalRow {
	return totalRow{
		t.Invoices + sign*other.Invoices, t.Invoiced + sign*other.Invoiced,
		t.Credited + sign*other.Credited, t.Waived + sign*other.Waived,
		t.Excess + sign*other.Excess, t.Collected + sign*other.Collected,
		t.Reversed + sign*other.Reversed, t.Refunded + sign*other.Refunded,
		t.Outstanding + sign*other.Outstanding, t.Overpaid + sign*other.Overpaid,
	}
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
	Refunded  int64 `db:"refunded"`
}

// sums are what an invoice contributes to the totals; nothing until the invoice itself arrives.
func (i Invoice) sums() totalRow {
	if !i.Exists() {
		return totalRow{}
	}
	t := totalRow{
		Invoiced: i.Charged(), Credited: i.Credited, Waived: i.Waived, Excess: i.Excess,
		Collected: i.Collected, Reversed: i.Reversed, Refunded: i.Refunded,
		Outstanding: max(i.Open, 0), Overpaid: max(-i.Open, 0),
	}
	if !i.Cancelled {
		t.Invoices = 1
	}
	return t
}

func (i Invoice) totalKey(school string) totalKey {
	return totalKey{school, i.Year, i.Term, i.Currency, i.Category, i.DueOn}
}

// byMethod calls add with what each line of an invoice contributes to the sums by method of payment.
func (i Invoice) byMethod(school string, add func(methodKey, methodRow)) {
	if !i.Exists() {
		return
	}
	for _, l := range i.Lines {
		if l.Currency != i.Currency || l.Kind != Payment && l.Kind != Refund {
			continue
		}
		m := methodRow{Payments: 1, Collected: l.Amount}
		switch {
		case l.Kind == Refund:
			m = methodRow{Refunded: l.Counted, Collected: -l.Counted}
		case l.Reversed():
			m = methodRow{Payments: 1, Reversed: l.Amount}
		}
		add(methodKey{school, i.Year, i.Term, i.Currency, l.Method}, m)
	}
}

// post takes what an invoice stood for out of its student's account and all sums, and puts in what it
// stands for now.
func post(b *projections.Batch, key invoiceKey, old, now Invoice) {
	if before, after := old.sums(), now.sums(); before != after ||
		old.totalKey(key.School) != now.totalKey(key.School) {
		sum(b, totals, old.totalKey(key.School), before, -1)
		sum(b, totals, now.totalKey(key.School), after, +1)
	}
	old.byMethod(key.School, func(k methodKey, r methodRow) { sum(b, methods, k, r, -1) })
	now.byMethod(key.School, func(k methodKey, r methodRow) { sum(b, methods, k, r, +1) })
	old.cohort(key.School, func(k cohortKey, r cohortRow) { sum(b, cohorts, k, r, -1) })
	now.cohort(key.School, func(k cohortKey, r cohortRow) { sum(b, cohorts, k, r, +1) })
	if old.Exists() && old.StudentID != now.StudentID {
		putAccount(b, key, old.StudentID, old, Invoice{})
		old = Invoice{}
	}
	if now.Exists() {
		putAccount(b, key, now.StudentID, old, now)
	}
}

// summand is a row of sums.
type summand[R any] interface {
	comparable
	plus(other R, sign int64) R
}

// sum adds a row to another or takes it away. A row of zeros is none, so that the tables do not
// depend on what was put in and taken out again.
func sum[K comparable, R summand[R]](
	b *projections.Batch, table *projections.Table[K, R], key K, row R, sign int64,
) {
	var zero R
	if row == zero {
		return
	}
	was, _ := table.Get(b, key)
	if now := was.plus(row, sign); now != zero {
		table.Put(b, key, now)
		return
	}
	table.Delete(b, key)
}

func (m methodRow) plus(other methodRow, sign int64) methodRow {
	return methodRow{
		m.Payments + sign*other.Payments, m.Collected + sign*other.Collected,
		m.Reversed + sign*other.Reversed, m.Refunded + sign*other.Refunded,
	}
}

func putAccount(b *projections.Batch, key invoiceKey, studentID string, old, now Invoice) {
	of := accountKey{key.School, studentID}
	a, _ := accounts.Get(b, of)
	a.Balances = a.balances(old.Currency, old.sums(), -1)
	a.Balances = a.balances(now.Currency, now.sums(), +1)
	a.Open = a.settle(key.InvoiceID, now)
	if len(a.Balances) == 0 && len(a.Open) == 0 {
		accounts.Delete(b, of)
		return
	}
	accounts.Put(b, of, a)
}

func (a accountRow) balances(currency string, sums totalRow, sign int64) []Balance {
	if sums == (totalRow{}) {
		return a.Balances
	}
	i, found := slices.BinarySearchFunc(a.Balances, currency, func(b Balance, currency string) int {
		return cmp.Compare(b.Currency, currency)
	})
	list := slices.Clone(a.Balances)
	if !found {
		list = slices.Insert(list, i, Balance{Currency: currency})
	}
	l := &list[i]
	l.Invoiced += sign * sums.Invoiced
	l.Credited += sign * sums.Credited
	l.Waived += sign * sums.Waived
	l.Collected += sign * sums.Collected
	l.Open = l.Invoiced - l.Credited - l.Waived - l.Collected
	if *l == (Balance{Currency: currency}) {
		return slices.Delete(list, i, i+1)
	}
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

// Net applies the credit of an account to its open invoices, the first due first, and returns what
// then remains of them. Credit is what was overpaid for other invoices in the same currency.
func Net(balances []Balance, open []OpenInvoice) []OpenInvoice {
	inAll := int64(0)
	for _, o := range open {
		inAll += o.Amount
	}
	for _, b := range balances {
		inAll -= b.Open
	}
	if inAll == 0 {
		return open // there is no credit in any currency
	}
	credit := map[string]int64{}
	for _, o := range open {
		credit[o.Currency] += o.Amount
	}
	for _, b := range balances {
		credit[b.Currency] -= b.Open
	}
	var rest []OpenInvoice
	for _, o := range open {
		used := min(o.Amount, credit[o.Currency])
		credit[o.Currency] -= used
		if o.Amount -= used; o.Amount > 0 {
			rest = append(rest, o)
		}
	}
	return rest
}

// EarliestDue returns the day on which the first of a student's open invoices is due that the credit
// of the account does not pay, or none, to the fold of a projection that reads this one.
func EarliestDue(b *projections.Batch, school, studentID string) domain.Date {
	a, _ := accounts.Get(b, accountKey{school, studentID})
	if rest := Net(a.Balances, a.Open); len(rest) > 0 {
		return rest[0].DueOn
	}
	return 0
}

// revenueKey is a time within a month, see [bucket].
type revenueKey struct {
	School   string    `db:"school"`
	Currency string    `db:"currency"`
	At       time.Time `db:"received_at"`
}

// revenueRow is the money received at a time, whatever it was for. A later reversal is subtracted
// where the payment was received, and a refund where the money was given back.
type revenueRow struct {
	Payments int64 `db:"payments"`
	Received int64 `db:"received"`
	Reversed int64 `db:"reversed"`
	Refunded int64 `db:"refunded"`
}

func (r revenueRow) plus(other revenueRow, sign int64) revenueRow {
	return revenueRow{
		r.Payments + sign*other.Payments, r.Received + sign*other.Received,
		r.Reversed + sign*other.Reversed, r.Refunded + sign*other.Refunded,
	}
}

// receive adds an entry's money to the revenue, or takes it away.
func receive(b *projections.Batch, key entryKey, e Entry, sign int64) {
	var row revenueRow
	switch {
	case !e.Exists():
	case key.Kind == Payment:
		row.Payments, row.Received = 1, e.Amount
		if e.Reversed {
			row.Reversed = e.Amount
		}
	case key.Kind == Refund:
		row.Refunded = e.Amount
	}
	sum(b, revenue, revenueKey{key.School, e.Currency, bucket(e.At)}, row, sign)
}

// bucket is the time that stands for another one in sums by month. No fold knows the school's clock,
// and in some zone the same moment is in the month before or after: so the first and the last day of
// a month in UTC stay apart by quarters of an hour, which all clocks differ by, and all days in
// between are in the same month everywhere.
func bucket(t time.Time) time.Time {
	t = t.UTC()
	year, month, day := t.Date()
	if day == 1 || t.AddDate(0, 0, 1).Day() == 1 {
		return t.Truncate(15 * time.Minute)
	}
	return time.Date(year, month, 15, 0, 0, 0, 0, time.UTC)
}

// cohortKey is what happened at a time, see [bucket], to the invoices that are due in a month.
type cohortKey struct {
	School   string      `db:"school"`
	Currency string      `db:"currency"`
	DueMonth domain.Date `db:"due_month"` // its first day
	At       time.Time   `db:"happened_at"`
}

// cohortRow is what was charged and paid then: from it follows how a school is paid before and after
// the day that fees are due.
type cohortRow struct {
	Invoiced int64 `db:"invoiced"`
	Paid     int64 `db:"paid"`
}

func (c cohortRow) plus(other cohortRow, sign int64) cohortRow {
	return cohortRow{c.Invoiced + sign*other.Invoiced, c.Paid + sign*other.Paid}
}

// cohort calls add with what an invoice and each of its payments contributes to the invoices that are
// due in the same month.
func (i Invoice) cohort(school string, add func(cohortKey, cohortRow)) {
	if !i.Exists() {
		return
	}
	key := cohortKey{School: school, Currency: i.Currency, DueMonth: i.DueOn.Month(), At: bucket(i.At)}
	add(key, cohortRow{Invoiced: i.Charged()})
	for _, l := range i.Lines {
		if l.Kind == Payment && l.Counted > 0 {
			key.At = bucket(l.Time)
			add(key, cohortRow{Paid: l.Counted})
		}
	}
}
