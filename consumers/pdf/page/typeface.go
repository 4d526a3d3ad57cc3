package page

import (
	"encoding/binary"
	"fmt"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
)

// unitsPerEm is the resolution of glyphs in documents. It is also the unit of PDF, so that no width
// needs converting.
const unitsPerEm = 1000

// typeface is a font of one weight.
type typeface struct {
	name   string
	font   *font.Font
	glyphs int // how many it has
	box    [4]int16
	ascent, descent,
	capHeight int16
	head, hhea, maxp []byte // the tables that subsets begin with
	outliner
}

// outliner describes glyphs as TrueType does, in units of a thousandth of the em.
type outliner interface {
	// outline returns the description of a glyph, empty for a blank one.
	outline(glyph uint16) []byte
	// advance returns the width of a glyph as the font states it.
	advance(glyph uint16) int
	// bearing returns the distance of a glyph's outline from its origin.
	bearing(glyph uint16) int16
}

// newTypeface reads a font. Descriptions of glyphs in the right form are copied from it, and all
// others drawn again.
func newTypeface(name string, loader *opentype.Loader) (*typeface, error) {
	t := &typeface{name: name}
	var err error
	if t.font, err = font.NewFont(loader); err != nil {
		return nil, err
	}
	if err := t.readMetrics(loader); err != nil {
		return nil, err
	}
	if loader.HasTable(opentype.MustNewTag("glyf")) && t.font.Upem() == unitsPerEm {
		t.outliner, err = readTrueType(loader)
		return t, err
	}
	t.outliner = &drawn{face: font.NewFace(t.font), scale: unitsPerEm / float32(t.font.Upem())}
	t.describeDrawn()
	return t, nil
}

// describeDrawn changes the tables of subsets to those of a TrueType font of our resolution.
func (t *typeface) describeDrawn() {
	binary.BigEndian.PutUint16(t.head[18:], unitsPerEm)
	for i, v := range t.box {
		binary.BigEndian.PutUint16(t.head[36+2*i:], uint16(v))
	}
	binary.BigEndian.PutUint16(t.hhea[4:], uint16(t.ascent))
	binary.BigEndian.PutUint16(t.hhea[6:], uint16(t.descent))
	// Version 1.0, in which each limit is one that no glyph reaches; there are no instructions.
	const maxPoints, maxContours = 0x7FFF, 0x3FFF
	t.maxp = make([]byte, 32)
	t.maxp[1] = 1
	binary.BigEndian.PutUint16(t.maxp[6:], maxPoints)
	binary.BigEndian.PutUint16(t.maxp[8:], maxContours)
	binary.BigEndian.PutUint16(t.maxp[14:], 1) // zones
}

// readMetrics reads what a PDF says about a font.
func (t *typeface) readMetrics(loader *opentype.Loader) error {
	table := func(tag string, atLeast int) (b []byte, err error) {
		b, err = loader.RawTable(opentype.MustNewTag(tag))
		if err == nil && len(b) < atLeast {
			err = fmt.Errorf("table %s is too short", tag)
		}
		return b, err
	}
	var err error
	if t.head, err = table("head", 54); err != nil {
		return err
	}
	if t.hhea, err = table("hhea", 36); err != nil {
		return err
	}
	if t.maxp, err = table("maxp", 6); err != nil {
		return err
	}
	scaled := func(b []byte) int16 {
		return int16(int(int16(binary.BigEndian.Uint16(b))) * unitsPerEm / int(t.font.Upem()))
	}
	for i := range t.box {
		t.box[i] = scaled(t.head[36+2*i:])
	}
	t.ascent, t.descent = scaled(t.hhea[4:]), scaled(t.hhea[6:])
	t.capHeight = t.ascent
	if os2, err := table("OS/2", 90); err == nil { // older versions of the table do not have it
		t.capHeight = scaled(os2[88:])
	}
	t.glyphs = int(binary.BigEndian.Uint16(t.maxp[4:]))
	return nil
}

// trueType has glyphs as they are in the font's file.
type trueType struct {
	tables map[string][]byte
	loca   []uint32 // the offset of each glyph in the table glyf, and the end of the last one
}

func readTrueType(loader *opentype.Loader) (*trueType, error) {
	t := &trueType{tables: map[string][]byte{}}
	for _, tag := range []string{"head", "hhea", "hmtx", "loca", "glyf"} {
		var err error
		if t.tables[tag], err = loader.RawTable(opentype.MustNewTag(tag)); err != nil {
			return nil, err
		}
	}
	t.readLocations()
	return t, nil
}

// readLocations reads the offsets of glyphs, which a font has in one of two widths.
func (t *trueType) readLocations() {
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

func (t *trueType) outline(glyph uint16) []byte {
	return t.tables["glyf"][t.loca[glyph]:t.loca[glyph+1]]
}

func (t *trueType) advance(glyph uint16) int {
	count := binary.BigEndian.Uint16(t.tables["hhea"][34:])
	return int(binary.BigEndian.Uint16(t.tables["hmtx"][4*int(min(glyph, count-1)):]))
}

func (t *trueType) bearing(glyph uint16) int16 {
	count, table := binary.BigEndian.Uint16(t.tables["hhea"][34:]), t.tables["hmtx"]
	if glyph < count {
		return int16(binary.BigEndian.Uint16(table[4*int(glyph)+2:]))
	}
	return int16(binary.BigEndian.Uint16(table[4*int(count)+2*int(glyph-count):]))
}
