package pdf

import (
	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
)

// paymentReceipt lays out a receipt: the amount large on top, and below it what was paid, one line
// each.
func (s *sheet) paymentReceipt(r *paper.Receipt) {
	s.heading()
	const height = 74.0
	s.page.Area(s.margin, s.y, s.width, height, 8, accent)
	s.text(s.word("amount"), page.Style{Size: 8.5, Bold: true, Color: bar}, s.margin+18, s.y+24,
		page.Start)
	s.money(r.Amount, r.Currency, page.Style{Size: 26, Bold: true, Color: white}, s.margin+18,
		s.y+55, s.width-36, page.Start)
	s.y += height + 14

	received := ""
	if !r.ReceivedOn.IsZero() {
		received = s.grammar.Day(r.ReceivedOn)
	}
	period := heading(string(r.Year))
	if r.Year != "" && r.Term != "" {
		period += separator
	}
	period += s.termOf(r.Term)
	for _, f := range []fact{
		{name: s.word("number"), value: r.Payment},
		{name: s.word("received_on"), value: received},
		{name: s.word("received_from"), value: r.Payer},
		{name: s.word("student"), value: r.Student},
		{name: s.word("class"), value: s.label(r.Class)},
		{name: s.word("payment_for"), value: heading(r.Category)},
		{name: s.word("period"), value: s.label(period)},
		{name: s.word("invoice"), value: r.Invoice},
		{name: s.word("method"), value: s.named("method_", r.Method)},
	} {
		s.detail(f)
	}
	s.y += 26
	s.text(s.word("thanks"), page.Style{Size: 9, Color: muted}, s.margin+s.width/2, s.y,
		page.Center)
}

// detail is one line of a receipt: a name and its value. Without a value there is no line.
func (s *sheet) detail(f fact) {
	if f.value == "" {
		return
	}
	const names = 0.36
	value := s.doc.Lines(f.value, strong, s.width*(1-names))
	height := 22 + float64(len(value)-1)*strong.Size*leading
	if !s.fits(height) {
		s.newPage()
	}
	s.fitted(f.name, page.Style{Size: 9, Color: muted}, s.margin, s.y+14.5, s.width*names-8,
		page.Start)
	s.lines(value, strong.Size, s.margin+s.width*names, s.y+14.5, page.Start)
	s.y += height
	s.page.Rule(s.margin, s.y, s.width, 0.5, line)
}
