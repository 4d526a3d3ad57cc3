package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// addFont embeds the glyphs that a document uses of a font. Text is written in the codes of the
// font's signs; two maps translate a code into the glyph to draw and into the characters to copy.
func (d *Document) addFont(f *face) int {
	used := map[uint16]bool{}
	glyphOf := make([]byte, 2, 2+2*len(f.signs))
	var widths strings.Builder
	for _, s := range f.signs {
		used[s.glyph] = true
		glyphOf = binary.BigEndian.AppendUint16(glyphOf, s.glyph)
		fmt.Fprintf(&widths, "%d ", f.advance(s.glyph))
	}
	file := f.subset(f.closure(used))
	name := tag(file) + "+" + f.typeface.name
	descriptor := d.add("<</Type/FontDescriptor/FontName/%s/Flags 4/FontBBox[%d %d %d %d]/ItalicAngle 0/Ascent %d/Descent %d"+
		"/CapHeight %d/StemV 80/FontFile2 %d 0 R>>", name, f.box[0], f.box[1], f.box[2], f.box[3],
		f.ascent, f.descent, f.capHeight,
		d.stream(fmt.Sprintf("/Length1 %d", len(file)), file))
	descendant := d.add("<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"+
		"/FontDescriptor %d 0 R/W[1[%s]]/CIDToGIDMap %d 0 R>>", name, descriptor, &widths,
		d.stream("", glyphOf))
	return d.add("<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[%d 0 R]/ToUnicode %d 0 R>>",
		name, descendant, d.addToUnicode(f))
}

// addToUnicode writes the characters that the codes stand for, so that text can be searched and
// copied.
func (d *Document) addToUnicode(f *face) int {
	var lines []string
	for i, s := range f.signs {
		if s.text != "" {
			lines = append(lines, fmt.Sprintf("<%04X> <%s>\n", i+1, hexUTF16(s.text)))
		}
	}
	var b bytes.Buffer
	b.WriteString(`/CIDInit /ProcSet findresource begin
12 dict begin
begincmap
/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def
/CMapName /Adobe-Identity-UCS def
/CMapType 2 def
1 begincodespacerange
<0000> <FFFF>
endcodespacerange
`)
	for part := range slices.Chunk(lines, 100) {
		fmt.Fprintf(&b, "%d beginbfchar\n%sendbfchar\n", len(part), strings.Join(part, ""))
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return d.stream("", b.Bytes())
}

// tag names a subset by six capital letters, as PDF requires. They are taken from the subset's
// hash, to be the same each time.
func tag(file []byte) string {
	sum := sha256.Sum256(file)
	letters := make([]byte, 6)
	for i := range letters {
		letters[i] = 'A' + sum[i]%26
	}
	return string(letters)
}
