// Package page writes PDF: pages with text, lines, areas and pictures, the same bytes for the same calls.
//
// Text is shaped before it is written, so that Arabic letters join, Devanagari forms its conjuncts, right-to-left names
// stand in the right order within other text, and Latin letters are kerned. The fonts are embedded, cut to the glyphs
// that a document uses; what is read can be searched and copied. Libraries for PDF in Go place one glyph for each
// character and can do none of this, and the part of PDF that documents need is small.
//
// What is drawn is part of the document's structure: headings, tables with their cells, paragraphs ([Document.Within]); all
// else is decoration ([Document.Artifact]). So a document can be read aloud in order.
//
// Lengths are points, a 72nd of an inch; x grows to the right and y down from the upper left corner. In a document that
// is written from right to left x grows to the left from the upper right corner, so that the same calls draw it mirrored.
package page
