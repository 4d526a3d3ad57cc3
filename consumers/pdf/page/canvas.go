package page

import (
	"bytes"
	"fmt"
	"strconv"
)

// Sizes of paper.
const (
	A4Width  = 595.28
	A4Height = 841.89
	A5Width  = 419.53
	A5Height = 595.28
)

// Color is red, green and blue, from 0 to 255.
type Color struct{ R, G, B uint8 }

// Align says which side of a text is at the given position.
type Align int

// The sides, in the direction of the document.
const (
	Start Align = iota
	Center
	End
)

// Page is a page to draw on.
type Page struct {
	Width, Height float64
	document      *Document
	index         int
	content       bytes.Buffer
	owners        []*element // the structure elements of the marked content, by its number
}

// Add begins the next page.
func (d *Document) Add(width, height float64) *Page {
	p := &Page{Width: width, Height: height, document: d, index: len(d.pages)}
	d.pages = append(d.pages, p)
	return p
}

// Pages returns the number of pages so far.
func (d *Document) Pages() int { return len(d.pages) }

// Page returns a page that was added, counted from 0.
func (d *Document) Page(i int) *Page { return d.pages[i] }

// Area fills a rectangle. Corners are rounded by radius, or sharp with 0.
func (p *Page) Area(x, y, width, height, radius float64, c Color) {
	p.artifact(func() {
		fmt.Fprintf(&p.content, "%s rg ", c)
		p.outline(x, y, width, height, radius)
		p.content.WriteString("f\n")
	})
}

// Frame draws the outline of a rectangle.
func (p *Page) Frame(x, y, width, height, radius, thickness float64, c Color) {
	p.artifact(func() {
		fmt.Fprintf(&p.content, "%s RG %s w ", c, number(thickness))
		p.outline(x, y, width, height, radius)
		p.content.WriteString("S\n")
	})
}

// round is the distance of a Bézier curve's handles from the corner, as a share of the radius, at
// which the curve looks like a quarter of a circle.
const round = 0.4477

// outline appends the path of a rectangle. PDF counts from the bottom of the page.
func (p *Page) outline(x, y, width, height, radius float64) {
	left, bottom := p.leftEdge(x, width), p.Height-y-height
	right, top := left+width, bottom+height
	if radius == 0 {
		fmt.Fprintf(&p.content, "%s %s %s %s re ", number(left), number(bottom), number(width),
			number(height))
		return
	}
	r, h := min(radius, width/2, height/2), round*min(radius, width/2, height/2)
	write := func(operator string, values ...float64) {
		for _, v := range values {
			p.content.WriteString(number(v) + " ")
		}
		p.content.WriteString(operator + " ")
	}
	write("m", left+r, bottom)
	write("l", right-r, bottom)
	write("c", right-h, bottom, right, bottom+h, right, bottom+r)
	write("l", right, top-r)
	write("c", right, top-h, right-h, top, right-r, top)
	write("l", left+r, top)
	write("c", left+h, top, left, top-h, left, top-r)
	write("l", left, bottom+r)
	write("c", left, bottom+h, left+h, bottom, left+r, bottom)
	write("h")
}

// Rule draws a horizontal line.
func (p *Page) Rule(x, y, width, thickness float64, c Color) {
	p.Area(x, y-thickness/2, width, thickness, 0, c)
}

// Text draws a line of text with its baseline at y.
func (p *Page) Text(t Text, x, y float64, align Align) {
	switch align {
	case Start:
		x = p.leftEdge(x, t.Width)
	case Center:
		x = p.leftEdge(x-t.Width/2, t.Width)
	case End:
		x = p.leftEdge(x-t.Width, t.Width)
	}
	if len(t.runs) == 0 {
		return
	}
	p.tagged(func() {
		for _, r := range t.runs {
			x += p.run(r, t.style, x, p.Height-y)
		}
	})
}

// leftEdge mirrors the position of something of this width in right-to-left documents.
func (p *Page) leftEdge(x, width float64) float64 {
	if p.document.info.RightToLeft {
		return p.Width - x - width
	}
	return x
}

// run draws the glyphs of a run and returns its width. Where a cluster has several glyphs, their
// text is given as ActualText: no single glyph stands for it.
func (p *Page) run(r run, style Style, x, y float64) (width float64) {
	fmt.Fprintf(&p.content, "BT /%s %s Tf %s rg %s %s Td ", r.face.name, number(style.Size),
		style.Color, number(x), number(y))
	pen := pen{content: &p.content, face: r.face, size: style.Size}
	for _, c := range r.clusters {
		several := len(c.glyphs) > 1
		if several {
			pen.lift()
			fmt.Fprintf(&p.content, "/Span<</ActualText %s>>BDC ", text(c.text))
		}
		for i, g := range c.glyphs {
			s := sign{glyph: g.id}
			if i == c.widest() {
				s.text = c.text
			}
			pen.draw(g, r.face.code(s))
			width += float64(g.advance) * style.Size / unitsPerEm
		}
		if several {
			pen.lift()
			p.content.WriteString("EMC ")
		}
	}
	pen.lift()
	p.content.WriteString("ET\n")
	return width
}

// widest returns the index of the glyph that carries a cluster's text: the letter, not its marks.
func (c *cluster) widest() int {
	widest := 0
	for i, g := range c.glyphs {
		if g.advance > c.glyphs[widest].advance {
			widest = i
		}
	}
	return widest
}

// pen shows glyphs one after the other, those at the same height in one operation.
type pen struct {
	content *bytes.Buffer
	face    *face
	size    float64
	down    bool
	right   int // how far the pen is to the right of the next glyph's origin
	rise    int // above the baseline
}

// draw shows a glyph. PDF advances by the font's width, so the difference to the shaped position is
// written as an adjustment before the next glyph.
func (p *pen) draw(g glyph, code uint16) {
	if g.y != p.rise {
		p.lift()
		fmt.Fprintf(p.content, "%s Ts ", number(float64(g.y)*p.size/unitsPerEm))
		p.rise = g.y
	}
	if !p.down {
		p.content.WriteByte('[')
		p.down = true
	}
	if move := p.right - g.x; move != 0 {
		fmt.Fprintf(p.content, "%d", move)
	}
	fmt.Fprintf(p.content, "<%04X>", code)
	p.right = g.x + p.face.advance(g.id) - g.advance
}

// lift ends the operation that shows glyphs.
func (p *pen) lift() {
	if p.down {
		p.content.WriteString("]TJ ")
		p.down = false
	}
}

// Image draws an image as large as it fits into a rectangle, centered.
func (p *Page) Image(i *Image, x, y, width, height float64) {
	name := p.document.nameOf(i)
	w, h := i.Fit(width, height)
	x, y = p.leftEdge(x+(width-w)/2, w), y+(height-h)/2
	p.tagged(func() {
		fmt.Fprintf(&p.content, "q %s 0 0 %s %s %s cm /%s Do Q\n", number(w), number(h), number(x),
			number(p.Height-y-h), name)
	})
}

// String returns the color as PDF operands.
func (c Color) String() string {
	return number(float64(c.R)/255) + " " + number(float64(c.G)/255) + " " +
		number(float64(c.B)/255)
}

// number formats a number with up to three decimals: a thousandth of a point is below what any
// printer shows.
func number(v float64) string {
	s := strconv.FormatFloat(v, 'f', 3, 64)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	if s == "-0" {
		return "0"
	}
	return s
}
