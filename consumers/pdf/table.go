package pdf

import "github.com/schoolbell/schoolbell/consumers/pdf/page"

// tableColumn is one column of a table.
type tableColumn struct {
	title string
	width float64 // as a part of the table's
	align page.Align
	wraps bool // text may take several lines; else it is written smaller where it does not fit
}

// rowHeight is that of a row of one line.
const rowHeight = 22

// cellInset is how far text stands off the side of its cell.
const cellInset = 8

// table draws a table. When the page is full it goes on at the next one, under the same titles.
type table struct {
	*sheet
	columns []tableColumn
	carry   func() []string // the row that ends a page and begins the next one; nil for none
}

func (t *table) titles() {
	x := t.margin
	for _, c := range t.columns {
		w := c.width * t.width
		t.fitted(c.title, column, at(x, w, c.align), t.y+14, w-2*cellInset, c.align)
		x += w
	}
	t.y += rowHeight
	t.page.Rule(t.margin, t.y, t.width, 1, accent)
}

// at is where text is drawn in a cell.
func at(x, width float64, align page.Align) float64 {
	switch align {
	case page.Center:
		return x + width/2
	case page.End:
		return x + width - cellInset
	default:
		return x + cellInset
	}
}

// row draws one row and returns where it stands.
func (t *table) row(style page.Style, cells ...string) (top, height float64) {
	lines, most := make([][]page.Text, len(cells)), 1
	for i, cell := range cells {
		if t.columns[i].wraps {
			lines[i] = t.doc.Lines(cell, style, t.columns[i].width*t.width-2*cellInset)
			most = max(most, len(lines[i]))
		}
	}
	height = rowHeight + float64(most-1)*style.Size*leading
	if !t.fits(height + rowHeight) {
		t.onTheNextPage()
	}
	top = t.y
	x := t.margin
	for i, c := range t.columns[:len(cells)] {
		width := c.width * t.width
		t.lines(lines[i], style.Size, at(x, width, c.align), top+14.5, c.align)
		if !c.wraps {
			t.fitted(cells[i], style, at(x, width, c.align), top+14.5, width-2*cellInset, c.align)
		}
		x += width
	}
	t.y += height
	t.page.Rule(t.margin, t.y, t.width, 0.5, line)
	return top, height
}

func (t *table) onTheNextPage() {
	var carried []string
	if t.carry != nil {
		carried = t.carry()
	}
	bridge := func() {
		x := t.margin
		for i, text := range carried {
			w := t.columns[i].width * t.width
			t.fitted(text, page.Style{Size: 9, Color: muted}, at(x, w, t.columns[i].align), t.y+14.5, w-2*cellInset, t.columns[i].align)
			x += w
		}
	}
	bridge()
	t.turn()
	t.titles()
	if carried != nil {
		bridge()
		t.y += rowHeight
		t.page.Rule(t.margin, t.y, t.width, 0.5, line)
	}
}

// total draws a row that stands out.
func (t *table) total(cells ...string) {
	if !t.fits(rowHeight + 4) {
		t.onTheNextPage()
	}
	t.page.Area(t.margin, t.y, t.width, rowHeight+4, 0, tint)
	x := t.margin
	for i, c := range t.columns[:len(cells)] {
		t.text(cells[i], strong, at(x, c.width*t.width, c.align), t.y+16.5, c.align)
		x += c.width * t.width
	}
	t.y += rowHeight + 4
}
