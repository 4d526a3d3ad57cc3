package plan

import (
	"cmp"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// statement plans a statement of a student's account and a notice with its link to the primary
// guardian: when it is requested, and with the first reminder of a month, so that the family sees
// what the reminder is about.
var statement = &rule{
	name:     "statement",
	types:    []string{fee.TypeStatementRequested, fee.TypeReminderDue},
	channels: noticeChannels,
	maxAge:   7,
	plan: func(d *draft) {
		if d.staleEvent() {
			return
		}
		switch m := d.event.Data.(type) {
		case *fee.StatementRequested:
			d.statement(m.StudentID, m.From, "")
		case *fee.ReminderDue:
			if invoice := d.Invoice(m.InvoiceID); invoice.Amount > 0 && invoice.Owed > 0 {
				d.statement(m.StudentID, 0, "statement "+d.Today().Month().String())
			}
		}
	},
	still: func(w *review) string {
		student := w.delivery.About
		if w.delivery.EventType == fee.TypeReminderDue && !w.owes(student) {
			return "nothing is open any more"
		}
		return w.family(student, true)
	},
}

// owes reports that something is open on a student's account.
func (d *draft) owes(studentID string) bool {
	open := map[string]int64{} // by currency
	for _, m := range d.Account(studentID) {
		if m.Kind.Charges() {
			open[m.Currency] += m.Amount
		} else {
			open[m.Currency] -= m.Amount
		}
	}
	for _, amount := range open {
		if amount > 0 {
			return true
		}
	}
	return false
}

// statement plans the document first and then the notice, which waits for it.
func (d *draft) statement(studentID string, from domain.Date, once string) {
	if from.IsZero() {
		from = d.yearStart(d.Today())
	}
	facts := paper.FeeStatement{Head: d.head(studentID), From: from}
	if guardians := d.Guardians(studentID); len(guardians) > 0 {
		facts.Payer = guardians[0].Name
	}
	movements := map[string][]consumers.Movement{}
	for _, m := range d.Account(studentID) {
		movements[m.Currency] = append(movements[m.Currency], m)
	}
	for currency, of := range movements {
		facts.Accounts = append(facts.Accounts, d.account(currency, of, from))
	}
	slices.SortFunc(facts.Accounts,
		func(a, b paper.Account) int { return cmp.Compare(a.Currency, b.Currency) })
	d.tellFamily(studentID, message{
		template: wording.Statement,
		priority: consumers.Normal,
		about:    studentID,
		student:  studentID,
		once:     once,
		dependsOn: d.document(studentID, studentID, once, paper.KindFeeStatement, consumers.Normal,
			paper.Encode(facts)),
		params: wording.Params{Student: d.studentName(studentID)},
	})
}

// account lists the movements in one currency from a day on; those before are summed in its opening
// balance.
func (d *draft) account(currency string, movements []consumers.Movement,
	from domain.Date,
) paper.Account {
	a := paper.Account{Currency: currency}
	day := func(m consumers.Movement) domain.Date { return domain.DateOf(m.At.In(d.settings.Location())) }
	slices.SortStableFunc(movements,
		func(a, b consumers.Movement) int { return cmp.Compare(day(a), day(b)) })
	type invoice struct {
		open int64
		due  domain.Date
	}
	invoices := map[string]invoice{}
	for _, m := range movements {
		e := paper.Entry{
			On: day(m), Kind: string(m.Kind), Ref: cmp.Or(m.PaymentID, m.InvoiceID),
			Text: m.Reason, Year: m.Year, Term: m.Term,
		}
		i := invoices[m.InvoiceID]
		switch m.Kind {
		case consumers.MovedInvoice:
			e.Text, e.DueOn, i.due = m.Category, m.DueOn, m.DueOn
		case consumers.MovedPayment:
			e.Text, e.Method = m.Category, m.Method
		case consumers.MovedRefund:
			e.Method = m.Method
		}
		if m.Kind.Charges() {
			e.Charge = m.Amount
		} else {
			e.Credit = m.Amount
		}
		i.open += e.Charge - e.Credit
		invoices[m.InvoiceID] = i
		a.Balance += e.Charge - e.Credit
		if e.Balance = a.Balance; e.On < from {
			a.Opening = a.Balance
		} else {
			a.Entries = append(a.Entries, e)
		}
	}
	credit := int64(0) // which pays the invoices that are due first
	for _, i := range invoices {
		credit += max(-i.open, 0)
		if !i.due.IsZero() && i.due < d.Today() {
			a.Overdue += max(i.open, 0)
		}
	}
	a.Overdue = max(a.Overdue-credit, 0)
	return a
}
