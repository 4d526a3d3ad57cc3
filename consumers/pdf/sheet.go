package pdf

import (
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
)

// The colors and styles of all documents.
var (
	ink    = page.Color{R: 0x1d, G: 0x27, B: 0x33}
	muted  = page.Color{R: 0x66, G: 0x72, B: 0x80}
	accent = page.Color{R: 0x1b, G: 0x4f, B: 0x72}
	tint   = page.Color{R: 0xf2, G: 0xf6, B: 0xf9}
	line   = page.Color{R: 0xd3, G: 0xdc, B: 0xe4}
	bar    = page.Color{R: 0x8f, G: 0xb8, B: 0xd3}
	white  = page.Color{R: 0xff, G: 0xff, B: 0xff}
	warm   = page.Color{R: 0xf6, G: 0xc9, B: 0x7a}

	body   = page.Style{Size: 10, Color: ink}
	strong = page.Style{Size: 10, Bold: true, Color: ink}
	small  = page.Style{Size: 8, Color: muted}
	remark = page.Style{Size: 8.5, Color: muted}
	label  = page.Style{Size: 8, Bold: true, Color: muted}
	column = page.Style{Size: 8.5, Bold: true, Color: accent}
)

// leading is the distance between lines as a multiple of the text size.
const leading = 1.4

// sheet is a document being laid out, from the top of its first page downwards.
type sheet struct {
	words   *wording.Words
	grammar *wording.Grammar
	head    paper.Head
	doc     *page.Document
	page    *page.Page
	logo    *page.Image
	title   string

	paperWidth, paperHeight float64
	margin, width           float64 // of the text
	y                       float64 // the position of the next block, from the top of the page
}

// sheet begins a document with its letterhead.
func (r *Renderer) sheet(w *wording.Words, head paper.Head, title string, logo *page.Image,
	paperWidth, paperHeight, margin float64,
) *sheet {
	s := &sheet{
		words: w, grammar: w.Grammar, head: head, title: title, logo: logo,
		paperWidth: paperWidth, paperHeight: paperHeight, margin: margin,
		width: paperWidth - 2*margin,
	}
	called := title + " – " + head.Student
	if !head.IssuedOn.IsZero() {
		called += " – " + head.IssuedOn.String()
	}
	s.doc = r.fonts.New(page.Info{
		Title: called, Author: head.School, Language: w.Language.String(),
		RightToLeft: w.RightToLeft,
		Date:        midday(head.IssuedOn),
	})
	s.newPage()
	s.letterhead()
	return s
}

// midday gives a date a time that falls on the same date in nearly every time zone, as PDF knows no
// plain dates.
func midday(d domain.Date) time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return d.Time().Add(12 * time.Hour)
}

// newPage begins a page.
func (s *sheet) newPage() {
	s.page = s.doc.Add(s.paperWidth, s.paperHeight)
	s.y = s.margin
}

// bottom is the position of the footer.
func (s *sheet) bottom() float64 { return s.paperHeight - s.margin + 4 }

// fits reports whether a block of this height fits on the page.
func (s *sheet) fits(height float64) bool { return s.y+height <= s.bottom()-8 }

// text draws a line with its baseline at y.
func (s *sheet) text(text string, style page.Style, x, y float64, align page.Align) {
	s.page.Text(s.doc.Text(text, style), x, y, align)
}

// fitted draws a line, in a smaller size if it is too wide otherwise.
func (s *sheet) fitted(text string, style page.Style, x, y, width float64, align page.Align) {
	t := s.doc.Text(text, style)
	for t.Width > width && style.Size > 6 {
		style.Size -= 0.5
		t = s.doc.Text(text, style)
	}
	s.page.Text(t, x, y, align)
}

// separator stands between facts that share a line.
const separator = "  ·  "

// joined draws several facts in one line, in a smaller size if it is too wide otherwise. Empty ones
// are left out.
func (s *sheet) joined(parts []string, between string, style page.Style, x, y, width float64,
	align page.Align,
) {
	t := s.join(parts, between, style)
	for t.Width > width && style.Size > 6 {
		style.Size -= 0.5
		t = s.join(parts, between, style)
	}
	s.page.Text(t, x, y, align)
}

// join shapes each part by itself, so that a name from right to left does not reorder its
// neighbours.
func (s *sheet) join(parts []string, between string, style page.Style) page.Text {
	var texts []page.Text
	for _, p := range parts {
		if p != "" {
			texts = append(texts, s.doc.Text(p, style))
		}
	}
	return s.joinTexts(texts, between, style)
}

func (s *sheet) joinTexts(texts []page.Text, between string, style page.Style) page.Text {
	var all []page.Text
	for i, t := range texts {
		if i > 0 {
			all = append(all, s.doc.Text(between, style))
		}
		all = append(all, t)
	}
	return s.doc.Join(all...)
}

// flow breaks several facts into lines, and a single fact only if it does not fit into one line. The
// parts of a fact are shaped by themselves.
func (s *sheet) flow(facts [][]string, style page.Style, width float64) []page.Text {
	var lines, line []page.Text
	end := func() {
		if len(line) > 0 {
			lines = append(lines, s.joinTexts(line, separator, style))
		}
		line = nil
	}
	for _, f := range facts {
		t := s.join(f, " ", style)
		if t.Width == 0 {
			continue
		}
		if s.joinTexts(append(slices.Clip(line), t), separator, style).Width > width {
			end()
		}
		if t.Width > width {
			lines = append(lines, s.doc.Lines(strings.Join(f, " "), style, width)...)
			continue
		}
		line = append(line, t)
	}
	end()
	return lines
}

// money draws an amount and its currency.
func (s *sheet) money(amount int64, currency string, style page.Style, x, y, width float64,
	align page.Align,
) {
	s.joined([]string{s.grammar.Amount(amount, currency), currency}, "\u00a0", style, x, y,
		width, align)
}

// lines draws lines one below the other, with the first baseline at y.
func (s *sheet) lines(lines []page.Text, size, x, y float64, align page.Align) {
	for i, l := range lines {
		s.page.Text(l, x, y+float64(i)*size*leading, align)
	}
}

// The logo stands next to the school's name, at most this high and in this share of the width; a wider
// one, as the heads of letters are, above it.
const (
	logoHeight = 46
	logoShare  = 0.4
)

// letterhead draws the school's name and logo, and the date of issue.
func (s *sheet) letterhead() {
	x, logo := s.margin, 0.0
	if s.logo != nil {
		width, height := s.logo.Fit(s.width, logoHeight)
		s.doc.Within(page.Figure, s.head.School,
			func() { s.page.Image(s.logo, x, s.y, width, height) })
		if width <= logoShare*s.width {
			x += width + 14
			logo = height
		} else {
			s.y += height + 10
		}
	}
	name := page.Style{Size: 15, Bold: true, Color: accent}
	issued := 0.0
	if !s.head.IssuedOn.IsZero() {
		day := s.doc.Text(s.grammar.Day(s.head.IssuedOn), body)
		issued = max(day.Width, s.doc.Text(s.word("issued_on"), label).Width) + 20
		s.text(s.word("issued_on"), label, s.margin+s.width, s.y+12, page.End)
		s.page.Text(day, s.margin+s.width, s.y+26, page.End)
	}
	lines := s.doc.Lines(s.head.School, name, s.margin+s.width-x-issued)
	height := max(logo, float64(len(lines))*name.Size*leading, 34)
	first := s.y + (height-float64(len(lines)-1)*name.Size*leading)/2 + name.Size*0.36
	s.lines(lines, name.Size, x, first, page.Start)
	s.y += height + 12
	s.page.Area(s.margin, s.y, s.width, 2, 0, accent)
	s.y += 2
}

// heading draws the title of the document, and a subtitle if there is any.
func (s *sheet) heading(sub ...string) {
	big := page.Style{Size: 23, Bold: true, Color: ink}
	s.y += 36
	s.doc.Within(page.Heading1, "",
		func() { s.fitted(s.title, big, s.margin, s.y, s.width, page.Start) })
	for i := range sub {
		sub[i] = s.label(heading(sub[i]))
	}
	if strings.Join(sub, "") != "" {
		s.y += 20
		s.joined(sub, separator, page.Style{Size: 12, Color: muted}, s.margin, s.y, s.width,
			page.Start)
	}
	s.y += 16
}

// pageHeading draws the heading of a part that begins a page.
func (s *sheet) pageHeading(title string) {
	s.y += 16
	s.doc.Within(page.Heading2, "",
		func() {
			s.text(title, page.Style{Size: 16, Bold: true, Color: ink}, s.margin, s.y,
				page.Start)
		})
	s.y += 12
}

// section draws the heading of a part.
func (s *sheet) section(title string) {
	s.y += 23
	s.doc.Within(page.Heading2, "",
		func() {
			s.text(title, page.Style{Size: 11.5, Bold: true, Color: accent}, s.margin, s.y,
				page.Start)
		})
	s.y += 9
}

// fact is a name with its value.
type fact struct {
	name, value string
	wide        bool // takes two columns
}

// facts draws a panel of facts, perRow in a row. Those without a value are left out.
func (s *sheet) facts(perRow int, facts ...fact) {
	type cell struct {
		name    string
		value   []page.Text
		x       float64
		newLine bool
	}
	const inset, gap = 14.0, 10.0
	cellWidth := (s.width - 2*inset + gap) / float64(perRow)
	var cells []cell
	used := 0
	for _, f := range facts {
		if f.value == "" {
			continue
		}
		takes := 1
		if f.wide {
			takes = 2
		}
		begins := used+takes > perRow
		if begins {
			used = 0
		}
		lines := s.doc.Lines(f.value, strong, cellWidth*float64(takes)-gap)
		cells = append(cells,
			cell{f.name, lines, s.margin + inset + float64(used)*cellWidth, begins})
		used += takes
	}
	var rows []float64 // heights
	for i, c := range cells {
		if i == 0 || c.newLine {
			rows = append(rows, 0)
		}
		rows[len(rows)-1] = max(rows[len(rows)-1], 20+float64(len(c.value))*strong.Size*leading)
	}
	height := inset
	for _, h := range rows {
		height += h
	}
	s.page.Area(s.margin, s.y, s.width, height, 6, tint)
	y, row := s.y+inset-6, 0
	for _, c := range cells {
		if c.newLine {
			y += rows[row]
			row++
		}
		s.text(c.name, label, c.x, y+11, page.Start)
		s.lines(c.value, strong.Size, c.x, y+25, page.Start)
	}
	s.y += height
}

// finish writes the footers, now that the number of pages is known, and returns the document. The
// error is a [*MissingLettersError].
func (s *sheet) finish() ([]byte, error) {
	for i := range s.doc.Pages() {
		s.page = s.doc.Page(i)
		s.doc.Artifact(func() { s.foot(i + 1) })
	}
	if letters := s.doc.Missing(); letters != "" {
		return nil, &MissingLettersError{letters}
	}
	return s.doc.Bytes(), nil
}

// foot draws a page's footer: what the document is, for whom, and the page number, so that printed
// sheets can be sorted again.
func (s *sheet) foot(number int) {
	y := s.bottom()
	s.page.Rule(s.margin, y, s.width, 0.5, line)
	of := s.doc.Text(s.word("page_of", s.grammar.Number(number),
		s.grammar.Number(s.doc.Pages())), small)
	s.page.Text(of, s.margin+s.width, y+13, page.End)
	room := s.width - of.Width - 20
	title := s.doc.Text(s.title+separator, small).Width
	s.joined([]string{s.title, s.cut(s.head.Student, small, room-title)}, separator, small,
		s.margin, y+13, room, page.Start)
}

// cut returns a text, with its end left out if it would be wider.
func (s *sheet) cut(text string, style page.Style, width float64) string {
	fits := func(t string) bool { return s.doc.Text(t, style).Width <= width }
	if fits(text) {
		return text
	}
	letters := []rune(text)
	const end = "…"
	n := sort.Search(len(letters), func(n int) bool { return !fits(string(letters[:n]) + end) })
	return strings.TrimSpace(string(letters[:max(n-1, 0)])) + end
}

// label writes the digits of a name such as that of a year as the language does, unless it has Latin
// letters, which go with Latin digits.
func (s *sheet) label(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return unicode.Is(unicode.Latin, r) }) {
		return name
	}
	return s.grammar.Digits(name)
}
