// Package page writes PDF: pages with text, lines, areas and images, the same bytes for the same
// calls.
//
// Text is shaped before it is written, so that Arabic letters join, Devanagari forms its conjuncts,
// right-to-left names stand in the right order within other text, and Latin letters are kerned. The
// fonts are embedded, reduced to the glyphs that a document uses, and the text can be searched and
// copied. PDF libraries for Go place one glyph for each character and can do none of this, and the
// part of PDF that documents need is small.
//
// What is drawn is part of the document's structure: headings, tables with their cells, paragraphs
// ([Document.Within]); all else is an artifact ([Document.Artifact]). So a screen reader reads a
// document in order.
//
// Lengths are points, a 72nd of an inch; x grows to the right and y down from the upper left
// corner. In a right-to-left document x grows to the left from the upper right corner, so that the
// same calls draw it mirrored.
//
// Data runs from [Fonts.New] through [Document.Text], which shapes, and [Page.Text], which draws,
// to [Document.Bytes], which writes the objects. The first change: a new drawing operation is a
// method of [Page] in canvas.go.
package page
