package pdf

import (
	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
)

func (s *sheet) feeStatement(f *paper.FeeStatement) {
	s.heading()
	s.facts(4,
		fact{s.student, f.Student, true}, fact{s.class, f.Class, false}, fact{s.studentID, f.StudentID, false},
		fact{s.guardian, f.Payer, true},
	)
	s.y += 18
	if len(f.Entries) == 0 {
		s.y += 14
		s.text(s.noEntries, body, s.margin, s.y, page.Start)
		s.y += 14
	} else {
		s.account(f)
	}
	s.dueBox(f)
}

// account is the entries as a table that may run over many pages.
func (s *sheet) account(f *paper.FeeStatement) {
	amount := func(v int64) string {
		if v == 0 {
			return ""
		}
		return s.grammar.Amount(v, f.Currency)
	}
	last := int64(0)
	t := &table{sheet: s, columns: []tableColumn{
		{s.date, 0.21, page.Start, false},
		{s.description, 0.37, page.Start, true},
		{s.charge, 0.14, page.End, false},
		{s.credit, 0.14, page.End, false},
		{s.balance, 0.14, page.End, false},
	}}
	t.carry = func() []string { return []string{"", s.broughtForward, "", "", s.grammar.Amount(last, f.Currency)} }
	t.titles()
	for _, e := range f.Entries {
		description := named(s.entries, e.Kind)
		if e.Text != "" {
			description += " · " + heading(e.Text)
		}
		t.row(body, s.grammar.Day(e.On), description, amount(e.Charge), amount(e.Credit), s.grammar.Amount(e.Balance, f.Currency))
		last = e.Balance
	}
}

// dueBox says what remains to be paid.
func (s *sheet) dueBox(f *paper.FeeStatement) {
	name, balance, color := s.balanceDue, f.Balance, accent
	switch {
	case balance < 0:
		name, balance = s.overpaid, -balance
	case balance == 0:
		name = s.settled
	}
	const height, width = 58.0, 230.0
	s.y += 18
	if !s.fits(height) {
		s.turn()
	}
	x := s.margin + s.width - width
	s.page.Area(x, s.y, width, height, 8, color)
	s.text(name, page.Style{Size: 8.5, Bold: true, Color: bar}, x+width-16, s.y+20, page.End)
	s.fitted(s.grammar.Amount(balance, f.Currency)+"\u00a0"+f.Currency, page.Style{Size: 19, Bold: true, Color: white},
		x+width-16, s.y+44, width-32, page.End)
	s.y += height
}
