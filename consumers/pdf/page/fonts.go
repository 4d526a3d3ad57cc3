package page

import (
	"bytes"
	"embed"
	"encoding/binary"
	"fmt"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

//go:embed fonts/*.ttf
var fontFiles embed.FS

// families are tried in this order for each character. The first one also draws the box for a
// character that none of them has.
var families = []string{"NotoSans", "NotoSansArabic", "NotoSansHebrew", "NotoSansDevanagari"}

// Fonts are the typefaces of documents. They are read once and shared by all documents.
type Fonts struct {
	regular, bold []*typeface
}

// typeface is a font of one weight.
type typeface struct {
	name   string
	font   *font.Font
	tables map[string][]byte
	box    [4]int16
	ascent, descent,
	capHeight int16
	loca []uint32 // the offset of each glyph in the table glyf, and the end of the last one
}

// OpenFonts reads the fonts that are embedded in the program.
func OpenFonts() (*Fonts, error) {
	f := &Fonts{}
	for _, family := range families {
		for _, weight := range []struct {
			name string
			into *[]*typeface
		}{{"Regular", &f.regular}, {"Bold", &f.bold}} {
			t, err := openTypeface(family + "-" + weight.name)
			if err != nil {
				return nil, fmt.Errorf("read font %s-%s: %w", family, weight.name, err)
			}
			*weight.into = append(*weight.into, t)
		}
	}
	return f, nil
}

// openTypeface reads a font and the tables that subsetting copies from it.
func openTypeface(name string) (*typeface, error) {
	file, err := fontFiles.ReadFile("fonts/" + name + ".ttf")
	if err != nil {
		return nil, err
	}
	loader, err := opentype.NewLoader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	t := &typeface{name: name, tables: map[string][]byte{}}
	if t.font, err = font.NewFont(loader); err != nil {
		return nil, err
	}
	for _, tag := range []string{"head", "hhea", "hmtx", "maxp", "loca", "glyf", "OS/2"} {
		if t.tables[tag], err = loader.RawTable(opentype.MustNewTag(tag)); err != nil {
			return nil, err
		}
	}
	if t.font.Upem() != unitsPerEm {
		return nil, fmt.Errorf("it has %d units to the em, want %d", t.font.Upem(), unitsPerEm)
	}
	head, os2 := t.tables["head"], t.tables["OS/2"]
	for i := range t.box {
		t.box[i] = int16(binary.BigEndian.Uint16(head[36+2*i:]))
	}
	t.ascent = int16(binary.BigEndian.Uint16(t.tables["hhea"][4:]))
	t.descent = int16(binary.BigEndian.Uint16(t.tables["hhea"][6:]))
	t.capHeight = int16(binary.BigEndian.Uint16(os2[88:]))
	t.readLocations()
	return t, nil
}

// unitsPerEm is the resolution of the fonts. It is also the unit of PDF, so that no width needs
// converting.
const unitsPerEm = 1000

// readLocations reads the offsets of glyphs, which a font has in one of two widths.
func (t *typeface) readLocations() {
	table := t.tables["loca"]
	if long := binary.BigEndian.Uint16(t.tables["head"][50:]) == 1; long {
		for i := 0; i+4 <= len(table); i += 4 {
			t.loca = append(t.loca, binary.BigEndian.Uint32(table[i:]))
		}
		return
	}
	for i := 0; i+2 <= len(table); i += 2 {
		t.loca = append(t.loca, 2*uint32(binary.BigEndian.Uint16(table[i:])))
	}
}

// outline returns the description of a glyph, empty for a blank one.
func (t *typeface) outline(glyph uint16) []byte {
	return t.tables["glyf"][t.loca[glyph]:t.loca[glyph+1]]
}

// advance returns the width of a glyph as the font states it.
func (t *typeface) advance(glyph uint16) int {
	count := binary.BigEndian.Uint16(t.tables["hhea"][34:])
	return int(binary.BigEndian.Uint16(t.tables["hmtx"][4*min(glyph, count-1):]))
}

// bearing returns the distance of a glyph's outline from its origin.
func (t *typeface) bearing(glyph uint16) int16 {
	count, table := binary.BigEndian.Uint16(t.tables["hhea"][34:]), t.tables["hmtx"]
	if glyph < count {
		return int16(binary.BigEndian.Uint16(table[4*int(glyph)+2:]))
	}
	return int16(binary.BigEndian.Uint16(table[4*int(count)+2*int(glyph-count):]))
}
