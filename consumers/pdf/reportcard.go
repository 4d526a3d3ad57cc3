package pdf

import (
	"slices"

	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// reportCard lays out a report card: the results at a glance with remarks and signatures first, and
// then the single marks that they are computed from, on pages of their own. Where all of it fits on one
// page the marks stand below their subjects.
func (s *sheet) reportCard(card *paper.ReportCard) {
	s.heading(string(card.Year), s.termOf(card.Term))
	born := ""
	if !card.BirthDate.IsZero() {
		born = s.grammar.Day(card.BirthDate)
	}
	s.facts(4,
		fact{s.word("student"), card.Student, true}, fact{s.word("class"), s.label(card.Class), false},
		fact{s.word("grade_level"), s.label(card.GradeLevel), false},
		fact{s.word("student_id"), card.StudentID, true}, fact{s.word("born_on"), born, true},
	)
	short := s.isShort(card)
	s.results(card, short)
	s.presence(card)
	s.remarksAndSignatures(card.Remark)
	if !short && hasMarks(card) {
		s.marksInDetail(card)
	}
}

func hasMarks(card *paper.ReportCard) bool {
	return slices.ContainsFunc(card.Subjects,
		func(subject paper.Subject) bool { return len(subject.Marks) > 0 })
}

// results shows the averages as a table, with a bar for each subject and a stroke at the average of
// the class; and the marks too if they are wanted.
func (s *sheet) results(card *paper.ReportCard, marks bool) {
	s.y += 12
	if len(card.Subjects) == 0 {
		s.y += 14
		s.text(s.word("no_marks"), body, s.margin, s.y, page.Start)
		s.y += 4
		return
	}
	t := s.resultTable()
	t.draw(func() { s.resultRows(t, card, marks) })
	if card.Method != "" { // cards that were planned before do not say
		s.y += methodHeight
		s.fitted(s.named("averaged_", string(card.Method)), small, s.margin, s.y-4, s.width, page.Start)
	}
}

// methodHeight is the height of the line that says what an average is.
const methodHeight = 14.0

func (s *sheet) resultTable() *table {
	return &table{sheet: s, columns: []tableColumn{
		{s.word("subject"), 0.36, page.Start, true},
		{s.word("marks"), 0.10, page.End, false},
		{"", 0.28, page.Start, false},
		{s.word("average"), 0.13, page.End, false},
		{s.word("class_average"), 0.13, page.End, false},
	}}
}

// isShort reports that a report card fits on one page with all of its marks.
func (s *sheet) isShort(card *paper.ReportCard) bool {
	t := s.resultTable()
	height := 12 + rowHeight + float64(len(s.totals(card)))*totalHeight + methodHeight
	for i := range card.Subjects {
		m := t.measure(s.resultRow(&card.Subjects[i], true))
		height += m.height + m.noteHeight
	}
	if card.Attendance.Days > 0 {
		height += sectionHeight + presenceHeight
	}
	return s.fits(height + s.heightOfRemarks(card.Remark))
}

// resultRow is the row of a subject. One without marks has empty cells, not zeros.
func (s *sheet) resultRow(subject *paper.Subject, marks bool) row {
	r := row{cells: []string{heading(subject.Name), "", "", "", ""}, note: subject.Remark}
	if len(subject.Marks) == 0 {
		return r
	}
	r.cells[1] = s.grammar.Number(len(subject.Marks))
	r.cells[3], r.cells[4] = s.average(subject.Average), s.average(subject.Class)
	if !marks {
		return r
	}
	for i := range subject.Marks {
		m := &subject.Marks[i]
		r.more = append(r.more, []string{
			m.Title, s.score(m), "(" + s.grammar.ShortDay(m.On) + ")",
		})
	}
	return r
}

// average writes an average; nothing where there is none.
func (s *sheet) average(percent *float64) string {
	if percent == nil {
		return ""
	}
	return s.grammar.Average(*percent)
}

// score writes a score with its maximum and its scale, unless this is a percentage, or why there is
// none.
func (s *sheet) score(m *paper.Mark) string {
	if m.Status != "" {
		return s.named("mark_", m.Status)
	}
	text := s.grammar.Number(m.Score.Float64()) + "\u00a0/\u00a0" + s.grammar.Number(m.Max.Float64())
	if m.Scale != "" {
		text += "\u00a0" + m.Scale
	}
	return text
}

// resultRows draws a row for each subject and the totals below.
func (s *sheet) resultRows(t *table, card *paper.ReportCard, marks bool) {
	// a legend for the stroke in the bars
	s.page.Area(s.margin+s.width-cellInset-s.doc.Text(s.word("class_average"), column).Width-8,
		s.y-14, 1.2, 10, 0, accent)
	for i := range card.Subjects {
		subject := &card.Subjects[i]
		top := t.row(s.resultRow(subject, marks))
		if subject.Average != nil {
			s.bar(s.margin+0.49*s.width, top+rowHeight/2-3, 0.24*s.width, *subject.Average,
				subject.Class)
		}
	}
	t.totals(s.totals(card)...)
}

// totals are the rows below the subjects.
func (s *sheet) totals(card *paper.ReportCard) [][]string {
	totals := [][]string{
		{s.word("overall"), "", "", s.average(card.Average), s.average(card.ClassMean)},
	}
	if card.Rank > 0 {
		totals = append(totals,
			[]string{
				s.word("rank"), "", "",
				s.word("rank_of", s.grammar.Number(card.Rank), s.grammar.Number(card.RankOf)),
			})
	}
	return totals
}

// bar draws a percentage as a filled part of a bar.
func (s *sheet) bar(x, y, width, percent float64, class *float64) {
	s.page.Area(x, y, width, 6, 3, tint)
	if part := width * min(max(percent, 0), 100) / 100; part >= 1 {
		s.page.Area(x, y, part, 6, 3, bar)
	}
	if class != nil {
		s.page.Area(x+width*min(*class, 100)/100-0.6, y-2, 1.2, 10, 0, accent)
	}
}

// presenceHeight is the height of the tiles of the attendance.
const presenceHeight = 48.0

// presence shows the attendance as tiles, the rate first. Without a day in membership it is left
// out: 0 % would be a false accusation.
func (s *sheet) presence(card *paper.ReportCard) {
	a := card.Attendance
	if a.Days == 0 {
		return
	}
	const height = presenceHeight
	if !s.fits(sectionHeight + height) {
		s.newPage()
	}
	s.section(s.word("attendance"))
	if !card.From.IsZero() && !card.To.IsZero() {
		s.text(s.grammar.Day(card.From)+" – "+s.grammar.Day(card.To), small, s.margin+s.width,
			s.y-9, page.End)
	}
	tiles := []struct {
		name, value string
	}{
		{s.word("attended"), s.grammar.Percent(a.Rate * 100)},
		{s.word("school_days"), s.grammar.Number(a.Days)},
		{s.word("absent_days"), s.grammar.Number(a.Absent)},
		{s.word("unexcused_days"), s.grammar.Number(a.Unexcused)},
		{s.word("late"), s.grammar.Number(a.Late)},
	}
	const gap = 8.0
	width := (s.width - gap*float64(len(tiles)-1)) / float64(len(tiles))
	for i, tile := range tiles {
		x := s.margin + float64(i)*(width+gap)
		value, name := page.Style{Size: 15, Bold: true, Color: ink},
			page.Style{Size: 7.5, Color: muted}
		if i == 0 {
			s.page.Area(x, s.y, width, height, 6, accent)
			value.Color, name.Color = white, white
		} else {
			s.page.Frame(x, s.y, width, height, 6, 0.75, line)
		}
		s.text(tile.value, value, x+width/2, s.y+22, page.Center)
		s.fitted(tile.name, name, x+width/2, s.y+37, width-8, page.Center)
	}
	s.y += height
}

const (
	sectionHeight    = 33.0 // of the heading of a part
	signaturesHeight = 46.0
)

// remarkLines breaks a remark into lines. Without one there is room for two by hand.
func (s *sheet) remarkLines(remark string) (lines []page.Text, room float64) {
	if remark == "" {
		return nil, 2 * 20.0
	}
	lines = s.doc.Lines(remark, body, s.width)
	return lines, float64(len(lines)) * body.Size * leading
}

func (s *sheet) heightOfRemarks(remark string) float64 {
	_, room := s.remarkLines(remark)
	return sectionHeight + room + signaturesHeight
}

// remarksAndSignatures stay together on a page. Without a remark there are lines to write one by
// hand.
func (s *sheet) remarksAndSignatures(remark string) {
	lines, room := s.remarkLines(remark)
	if !s.fits(s.heightOfRemarks(remark)) {
		s.newPage()
	}
	s.section(s.word("remarks"))
	if remark != "" {
		s.lines(lines, body.Size, s.margin, s.y+11, page.Start)
	} else {
		for i := range 2 {
			s.page.Rule(s.margin, s.y+20*float64(i+1), s.width, 0.5, line)
		}
	}
	s.y = max(s.y+room+signaturesHeight-18, s.bottom()-28)
	names := []string{s.word("class_teacher"), s.word("head_of_school"), s.word("guardian")}
	const gap = 24.0
	width := (s.width - gap*float64(len(names)-1)) / float64(len(names))
	for i, name := range names {
		x := s.margin + float64(i)*(width+gap)
		s.page.Rule(x, s.y, width, 0.75, muted)
		s.fitted(name, small, x, s.y+13, width, page.Start)
	}
	s.y += 20
}

// marksInDetail lists each mark, grouped by subject, on pages of its own.
func (s *sheet) marksInDetail(card *paper.ReportCard) {
	t := &table{sheet: s, columns: []tableColumn{
		{s.word("assessment"), 0.52, page.Start, true},
		{s.word("date"), 0.18, page.Start, false},
		{s.word("score"), 0.18, page.End, false},
		{"%", 0.12, page.End, false},
	}}
	s.newPage()
	s.pageHeading(s.word("marks"))
	t.draw(func() {
		for _, subject := range card.Subjects {
			if len(subject.Marks) > 0 {
				t.group(heading(subject.Name), s.average(subject.Average))
			}
			for i := range subject.Marks {
				m := &subject.Marks[i]
				percent := ""
				if m.Status == "" && m.Scale == "" {
					value := marks.Value{Score: int64(m.Score), Max: int64(m.Max)}
					percent = s.grammar.Average(value.Percent())
				}
				t.row(row{cells: []string{m.Title, s.grammar.ShortDay(m.On), s.score(m), percent}})
			}
			t.endGroup()
		}
	})
}
