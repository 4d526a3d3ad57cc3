package page

import (
	"fmt"
	"slices"
	"strings"
)

// Roles of structure elements, as a screen reader announces them.
const (
	Heading1  = "H1"
	Heading2  = "H2"
	Paragraph = "P"
	Figure    = "Figure"
	Table     = "Table"
	Row       = "TR"
	Header    = "TH"
	Cell      = "TD"
)

// element is a part of the document's structure.
type element struct {
	role, alt string
	kids      []kid
	object    int
}

// kid is an element, or marked content on a page.
type kid struct {
	element    *element
	page, mark int
}

// holdsElements reports that the element may not hold text itself: text drawn directly in it
// becomes a paragraph.
func (e *element) holdsElements() bool {
	return slices.Contains([]string{"Document", Table, Row}, e.role)
}

func (e *element) add(role, alt string) *element {
	child := &element{role: role, alt: alt}
	e.kids = append(e.kids, kid{element: child})
	return child
}

// Within draws a part of the document that has a role. Alt describes a figure in words.
func (d *Document) Within(role, alt string, draw func()) {
	if d.inArtifact {
		draw()
		return
	}
	d.open = append(d.open, d.open[len(d.open)-1].add(role, alt))
	draw()
	d.open = d.open[:len(d.open)-1]
}

// Artifact draws what is not part of the content, such as page numbers and repeated titles. A
// screen reader skips it.
func (d *Document) Artifact(draw func()) {
	before := d.inArtifact
	d.inArtifact = true
	draw()
	d.inArtifact = before
}

// tagged draws content and adds it to the structure element that is open.
func (p *Page) tagged(draw func()) {
	d := p.document
	if d.inArtifact {
		p.artifact(draw)
		return
	}
	e := d.open[len(d.open)-1]
	if e.holdsElements() {
		e = e.add(Paragraph, "")
	}
	e.kids = append(e.kids, kid{page: p.index, mark: len(p.owners)})
	fmt.Fprintf(&p.content, "/%s <</MCID %d>>BDC\n", e.role, len(p.owners))
	p.owners = append(p.owners, e)
	draw()
	p.content.WriteString("EMC\n")
}

// artifact draws decoration.
func (p *Page) artifact(draw func()) {
	p.content.WriteString("/Artifact BMC\n")
	draw()
	p.content.WriteString("EMC\n")
}

// addStructure writes the elements, and the element that owns each piece of marked content, by
// page. Pages are the object numbers of the pages.
func (d *Document) addStructure(pages []int) (root int) {
	root = d.reserve()
	document := d.open[0]
	d.addElement(document, root, pages)
	var owners strings.Builder
	for i, p := range d.pages {
		fmt.Fprintf(&owners, "%d[", i)
		for _, e := range p.owners {
			fmt.Fprintf(&owners, "%d 0 R ", e.object)
		}
		owners.WriteString("]")
	}
	d.set(root, "<</Type/StructTreeRoot/K %d 0 R/ParentTree %d 0 R/ParentTreeNextKey %d>>",
		document.object, d.add("<</Nums[%s]>>", &owners), len(d.pages))
	return root
}

// addElement writes an element and those below it, depth first: that order is the reading order.
func (d *Document) addElement(e *element, parent int, pages []int) {
	e.object = d.reserve()
	var kids, attributes strings.Builder
	for _, k := range e.kids {
		if k.element != nil {
			d.addElement(k.element, e.object, pages)
			fmt.Fprintf(&kids, "%d 0 R ", k.element.object)
		} else {
			fmt.Fprintf(&kids, "<</Type/MCR/Pg %d 0 R/MCID %d>>", pages[k.page], k.mark)
		}
	}
	if e.role == Header {
		attributes.WriteString("/A<</O/Table/Scope/Column>>")
	}
	if e.alt != "" {
		fmt.Fprintf(&attributes, "/Alt %s", text(e.alt))
	}
	// the short form, as most elements are like this
	if len(e.kids) == 1 && e.kids[0].element == nil {
		d.set(e.object, "<</S/%s/P %d 0 R%s/Pg %d 0 R/K %d>>", e.role, parent, &attributes,
			pages[e.kids[0].page], e.kids[0].mark)
		return
	}
	d.set(e.object, "<</S/%s/P %d 0 R%s/K[%s]>>", e.role, parent, &attributes, &kids)
}
