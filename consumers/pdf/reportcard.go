package pdf

import (
	"fmt"

	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
)

func (s *sheet) reportCard(card *paper.ReportCard) {
	s.heading(string(card.Year), string(card.Term))
	born := ""
	if !card.BirthDate.IsZero() {
		born = s.grammar.Day(card.BirthDate)
	}
	s.facts(4,
		fact{s.student, card.Student, true}, fact{s.class, card.Class, false}, fact{s.gradeLevel, card.GradeLevel, false},
		fact{s.studentID, card.StudentID, true}, fact{s.bornOn, born, true},
	)
	s.results(card)
	s.presence(&card.Attendance)
	s.remarksAndSignatures(card.Remarks)
}

// results are the marks as a table, with a bar for each subject.
func (s *sheet) results(card *paper.ReportCard) {
	s.y += 12
	if len(card.Subjects) == 0 {
		s.y += 14
		s.text(s.noMarks, body, s.margin, s.y, page.Start)
		s.y += 4
		return
	}
	t := &table{sheet: s, columns: []tableColumn{
		{s.subject, 0.40, page.Start, true},
		{s.marks, 0.12, page.End, false},
		{"", 0.32, page.Start, false},
		{s.average, 0.16, page.End, false},
	}}
	t.titles()
	for _, subject := range card.Subjects {
		top, height := t.row(body, heading(subject.Name), s.grammar.Number(subject.Scores), "", s.grammar.Percent(subject.Percent))
		s.bar(s.margin+0.56*s.width, top+height/2-3, 0.27*s.width, subject.Percent)
	}
	t.total(s.overall, "", "", s.grammar.Percent(card.Average))
	if card.Place > 0 {
		t.total(s.rank, "", "", fmt.Sprintf(s.rankOf, s.grammar.Number(card.Place), s.grammar.Number(card.Of)))
	}
}

func (s *sheet) bar(x, y, width, percent float64) {
	s.page.Area(x, y, width, 6, 3, tint)
	if part := width * min(max(percent, 0), 100) / 100; part >= 1 {
		s.page.Area(x, y, part, 6, 3, bar)
	}
}

// presence counts the marks of attendance.
func (s *sheet) presence(a *paper.Attendance) {
	all := a.Present + a.Late + a.AbsentExcused + a.AbsentUnexcused
	if all == 0 {
		return
	}
	const height = 50.0
	if !s.fits(33 + height) {
		s.turn()
	}
	s.section(s.attendance)
	tiles := []struct {
		name, value string
	}{
		{s.attended, s.grammar.Percent(float64(a.Present+a.Late) / float64(all) * 100)},
		{s.present, s.grammar.Number(a.Present)},
		{s.late, s.grammar.Number(a.Late)},
		{s.excused, s.grammar.Number(a.AbsentExcused)},
		{s.unexcused, s.grammar.Number(a.AbsentUnexcused)},
	}
	const gap = 8.0
	width := (s.width - gap*float64(len(tiles)-1)) / float64(len(tiles))
	for i, tile := range tiles {
		x := s.margin + float64(i)*(width+gap)
		value, name := page.Style{Size: 15, Bold: true, Color: ink}, page.Style{Size: 8, Color: muted}
		if i == 0 {
			s.page.Area(x, s.y, width, height, 6, accent)
			value.Color, name.Color = white, white
		} else {
			s.page.Frame(x, s.y, width, height, 6, 0.75, line)
		}
		s.text(tile.value, value, x+width/2, s.y+23, page.Center)
		s.fitted(tile.name, name, x+width/2, s.y+39, width-8, page.Center)
	}
	s.y += height
}

// remarksAndSignatures stand together. Without remarks there is room to write some by hand.
func (s *sheet) remarksAndSignatures(remarks string) {
	style := page.Style{Size: 10, Color: ink}
	lines := s.doc.Lines(remarks, style, s.width)
	room := 2 * 20.0
	if remarks != "" {
		room = float64(len(lines)) * style.Size * leading
	}
	const signatures = 52.0
	if !s.fits(33 + room + signatures) {
		s.turn()
	}
	s.section(s.remarks)
	if remarks != "" {
		s.lines(lines, style.Size, s.margin, s.y+11, page.Start)
	} else {
		for i := range 2 {
			s.page.Rule(s.margin, s.y+20*float64(i+1), s.width, 0.5, line)
		}
	}
	s.y = max(s.y+room+signatures-18, s.bottom()-28)
	names := []string{s.classTeacher, s.words.head, s.guardian}
	const gap = 24.0
	width := (s.width - gap*float64(len(names)-1)) / float64(len(names))
	for i, name := range names {
		x := s.margin + float64(i)*(width+gap)
		s.page.Rule(x, s.y, width, 0.75, muted)
		s.fitted(name, small, x, s.y+13, width, page.Start)
	}
}
