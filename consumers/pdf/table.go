package pdf

import "github.com/schoolbell/schoolbell/consumers/pdf/page"

// tableColumn is a column of a table.
type tableColumn struct {
	title string
	width float64 // as a share of the table's
	align page.Align
	wraps bool // text may take several lines; otherwise it shrinks to fit
}

// rowHeight is the height of a row with a single line.
const rowHeight = 21

// cellInset is the distance between text and the side of its cell.
const cellInset = 8

// table draws a table. When the page is full it continues on the next one under the same titles.
type table struct {
	*sheet
	columns []tableColumn
	carry   func() []string // the row that ends a page and begins the next one; nil for none
	within  []string        // the group being drawn: its name and the text at the end of its line
}

// row is a row, with a note below it that begins at the column that wraps.
type row struct {
	cells []string
	more  [][]string // several facts, each of one part or more
	note  string     // and a text below them
}

// draw draws the titles and then the rows.
func (t *table) draw(rows func()) {
	t.doc.Within(page.Table, "", func() {
		t.titles()
		rows()
	})
}

func (t *table) titles() {
	t.doc.Within(page.Row, "", func() {
		x := t.margin
		for _, c := range t.columns {
			w := c.width * t.width
			t.doc.Within(page.Header, "", func() {
				t.fitted(c.title, column, textX(x, w, c.align), t.y+14, w-2*cellInset, c.align)
			})
			x += w
		}
	})
	t.y += rowHeight
	t.page.Rule(t.margin, t.y, t.width, 1, accent)
}

// textX is the position of text in a cell.
func textX(x, width float64, align page.Align) float64 {
	switch align {
	case page.Center:
		return x + width/2
	case page.End:
		return x + width - cellInset
	default:
		return x + cellInset
	}
}

// measured is a row that has been broken into lines.
type measured struct {
	lines              [][]page.Text // of the cells that wrap
	note               []page.Text
	indent             float64 // of the note
	height, noteHeight float64
}

// measure breaks the texts of a row into lines.
func (t *table) measure(r row) measured {
	m := measured{lines: make([][]page.Text, len(r.cells))}
	maxLines, left := 1, 0.0
	for i, cell := range r.cells {
		if t.columns[i].wraps {
			m.indent = left
			m.lines[i] = t.doc.Lines(cell, body, t.columns[i].width*t.width-2*cellInset)
			maxLines = max(maxLines, len(m.lines[i]))
		}
		left += t.columns[i].width * t.width
	}
	room := t.width - m.indent - 2*cellInset
	m.note = t.flow(r.more, remark, room)
	if r.note != "" {
		m.note = append(m.note, t.doc.Lines(r.note, remark, room)...)
	}
	m.height = rowHeight + float64(maxLines-1)*body.Size*leading
	m.noteHeight = float64(len(m.note)) * remark.Size * leading
	return m
}

// row draws a row and returns its top. There is always space for one more row below it, for the
// totals or the balance to carry over.
func (t *table) row(r row) (top float64) {
	m := t.measure(r)
	height, noteHeight := m.height, m.noteHeight
	if !t.fits(height + noteHeight + rowHeight) {
		t.breakPage()
	}
	top = t.y
	t.doc.Within(page.Row, "", func() {
		x := t.margin
		for i, c := range t.columns[:len(r.cells)] {
			width := c.width * t.width
			t.doc.Within(page.Cell, "", func() {
				if !c.wraps {
					t.fitted(r.cells[i], body, textX(x, width, c.align), top+14, width-2*cellInset,
						c.align)
					return
				}
				t.lines(m.lines[i], body.Size, textX(x, width, c.align), top+14, c.align)
				t.lines(m.note, remark.Size, t.margin+m.indent+cellInset, top+height+5, page.Start)
			})
			x += width
		}
	})
	t.y += height + noteHeight
	t.page.Rule(t.margin, t.y, t.width, 0.5, line)
	return top
}

// group begins rows that belong together under a name. The name is repeated when they continue on
// the next page.
func (t *table) group(name, end string) {
	t.within = nil
	if !t.fits(3 * rowHeight) {
		t.breakPage()
	}
	t.within = []string{name, end}
	t.groupLine()
}

func (t *table) groupLine() {
	t.page.Area(t.margin, t.y, t.width, rowHeight, 0, tint)
	t.doc.Within(page.Row, "", func() {
		end := t.doc.Text(t.within[1], strong)
		t.doc.Within(page.Cell, "", func() {
			t.fitted(t.within[0], strong, t.margin+cellInset, t.y+14, t.width-3*cellInset-end.Width,
				page.Start)
		})
		t.doc.Within(page.Cell, "",
			func() { t.page.Text(end, t.margin+t.width-cellInset, t.y+14, page.End) })
	})
	t.y += rowHeight
}

func (t *table) endGroup() { t.within = nil }

// breakPage continues the table on the next page. What it repeats is an artifact: a screen reader
// has read it before.
func (t *table) breakPage() {
	var carried []string
	if t.carry != nil {
		carried = t.carry()
	}
	bridge := func() {
		x := t.margin
		for i, text := range carried {
			w := t.columns[i].width * t.width
			t.fitted(text, page.Style{Size: 9, Color: muted}, textX(x, w, t.columns[i].align),
				t.y+14, w-2*cellInset, t.columns[i].align)
			x += w
		}
	}
	t.doc.Artifact(func() { // a screen reader has read this before
		bridge()
		t.newPage()
		t.titles()
		if carried != nil {
			bridge()
			t.y += rowHeight
			t.page.Rule(t.margin, t.y, t.width, 0.5, line)
		}
		if t.within != nil {
			t.groupLine()
		}
	})
}

// totalHeight is the height of a highlighted row.
const totalHeight = rowHeight + 4

// totals draws highlighted rows, all of them on one page.
func (t *table) totals(rows ...[]string) {
	const height = totalHeight
	if !t.fits(height * float64(len(rows))) {
		t.breakPage()
	}
	for _, cells := range rows {
		t.page.Area(t.margin, t.y, t.width, height, 0, tint)
		t.doc.Within(page.Row, "", func() {
			x := t.margin
			for i, c := range t.columns[:len(cells)] {
				t.doc.Within(page.Cell, "",
					func() {
						t.text(cells[i], strong, textX(x, c.width*t.width, c.align), t.y+16,
							c.align)
					})
				x += c.width * t.width
			}
		})
		t.y += height
	}
}
