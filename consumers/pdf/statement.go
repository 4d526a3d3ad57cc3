package pdf

import (
	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain"
)

// feeStatement lays out a fee statement: an account for each currency.
func (s *sheet) feeStatement(f *paper.FeeStatement) {
	period := ""
	if !f.From.IsZero() {
		period = s.grammar.Day(f.From) + " – " + s.grammar.Day(f.IssuedOn)
	}
	s.heading(period)
	s.facts(4,
		fact{s.word("student"), f.Student, true}, fact{s.word("class"), f.Class, false},
		fact{s.word("student_id"), f.StudentID, false},
		fact{s.word("guardian"), f.Payer, true},
	)
	for i := range f.Accounts {
		s.account(&f.Accounts[i], f.From)
	}
	if len(f.Accounts) == 0 {
		s.y += 34
		s.text(s.word("no_entries"), body, s.margin, s.y, page.Start)
	}
}

// account shows the entries in one currency as a table that may run over many pages, and what
// remains to be paid. The columns of amounts are as wide as the widest amount needs, within limits.
func (s *sheet) account(a *paper.Account, from domain.Date) {
	amount := func(v int64) string {
		if v == 0 {
			return ""
		}
		return s.grammar.Amount(v, a.Currency)
	}
	balance := func(v int64) string { return s.grammar.Amount(v, a.Currency) }
	last := a.Opening
	wide := 0.0
	for _, e := range a.Entries {
		for _, v := range []int64{e.Charge, e.Credit, e.Balance} {
			wide = max(wide, s.doc.Text(balance(v), body).Width)
		}
	}
	money := min(max((wide+2*cellInset)/s.width, 0.13), 0.2)
	t := &table{sheet: s, columns: []tableColumn{
		{s.word("date"), 0.155, page.Start, false},
		{s.word("description"), 1 - 0.155 - 3*money, page.Start, true},
		{s.word("charge"), money, page.End, false},
		{s.word("credit"), money, page.End, false},
		{s.word("balance"), money, page.End, false},
	}}
	t.carry = func() []string {
		return []string{
			"", s.word("brought_forward"), "", "",
			balance(last),
		}
	}
	s.y += 10
	if !s.fits(5 * rowHeight) {
		s.newPage()
	}
	s.section(s.word("amounts_in", a.Currency))
	t.draw(func() {
		if a.Opening != 0 {
			t.row(row{cells: []string{
				s.grammar.ShortDay(from), s.word("opening"), "", "",
				balance(a.Opening),
			}})
		}
		for _, e := range a.Entries {
			what, details := s.entry(e)
			t.row(row{
				cells: []string{
					s.grammar.ShortDay(e.On), what, amount(e.Charge), amount(e.Credit),
					balance(e.Balance),
				}, more: details,
			})
			last = e.Balance
		}
		if len(a.Entries) == 0 {
			t.row(row{cells: []string{"", s.word("no_entries")}})
		}
	})
	s.dueBox(a)
}

// entry returns the description of a line of an account, and details below it.
func (s *sheet) entry(e paper.Entry) (what string, details [][]string) {
	what = s.named("entry_", e.Kind) + " " + e.Ref
	details = [][]string{
		{heading(e.Text)},
		{s.named("method_", e.Method)},
		{s.label(string(e.Year))},
		{s.label(s.termOf(e.Term))},
	}
	if !e.DueOn.IsZero() {
		details = append(details, []string{s.word("due_on", s.grammar.ShortDay(e.DueOn))})
	}
	return what, details
}

// dueBox shows what remains to be paid.
func (s *sheet) dueBox(a *paper.Account) {
	name, balance := s.word("balance_due"), a.Balance
	switch {
	case balance < 0:
		name, balance = s.word("overpaid"), -balance
	case balance == 0:
		name = s.word("settled")
	}
	const width = 240.0
	height := 58.0
	if a.Overdue > 0 {
		height += 18
	}
	s.y += 16
	if !s.fits(height) {
		s.newPage()
	}
	x := s.margin + s.width - width
	s.page.Area(x, s.y, width, height, 8, accent)
	s.text(name, page.Style{Size: 8.5, Bold: true, Color: bar}, x+width-16, s.y+20, page.End)
	s.money(balance, a.Currency, page.Style{Size: 19, Bold: true, Color: white}, x+width-16, s.y+44,
		width-32, page.End)
	if a.Overdue > 0 {
		s.fitted(s.word("overdue", s.grammar.Amount(a.Overdue, a.Currency)+"\u00a0"+a.Currency),
			page.Style{Size: 9, Color: warm}, x+width-16, s.y+62, width-32, page.End)
	}
	s.y += height
}
