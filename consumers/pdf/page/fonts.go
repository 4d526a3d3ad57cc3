package page

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"unicode"

	"github.com/go-text/typesetting/font/opentype"
)

//go:embed fonts/*.ttf.gz
var fontFiles embed.FS

// latin is the family of most documents: Latin, Greek and Cyrillic letters, digits, punctuation. It
// also draws the box for a character that no font has.
var latin = embedded("NotoSans", nil)

// scripts are the families of single scripts, with the blocks of Unicode that fonts/cut.sh takes.
// They are read when a document first needs them.
var scripts = []*family{
	embedded("NotoSansArabic",
		blocks(0x0600, 0x06FF, 0x0750, 0x077F, 0xFDF2, 0xFDF2, 0xFDFC, 0xFDFC)),
	embedded("NotoSansHebrew", blocks(0x0590, 0x05FF, 0xFB1D, 0xFB4F)),
	embedded("NotoSansDevanagari", blocks(0x0900, 0x097F, 0x1CD0, 0x1CF9, 0xA8E0, 0xA8FD)),
	embedded("NotoSansArmenian", blocks(0x0530, 0x058F, 0xFB13, 0xFB17)),
	embedded("NotoSansThaana", blocks(0x0780, 0x07BF)),
	embedded("NotoSansNKo", blocks(0x07C0, 0x07FF)),
	embedded("NotoSansBengali", blocks(0x0980, 0x09FF)),
	embedded("NotoSansGurmukhi", blocks(0x0A00, 0x0A7F)),
	embedded("NotoSansGujarati", blocks(0x0A80, 0x0AFF)),
	embedded("NotoSansOriya", blocks(0x0B00, 0x0B7F)),
	embedded("NotoSansTamil", blocks(0x0B80, 0x0BFF)),
	embedded("NotoSansTelugu", blocks(0x0C00, 0x0C7F)),
	embedded("NotoSansKannada", blocks(0x0C80, 0x0CFF)),
	embedded("NotoSansMalayalam", blocks(0x0D00, 0x0D7F)),
	embedded("NotoSansSinhala", blocks(0x0D80, 0x0DFF)),
	embedded("NotoSansThai", blocks(0x0E00, 0x0E7F)),
	embedded("NotoSansLao", blocks(0x0E80, 0x0EFF)),
	embedded("NotoSansMyanmar", blocks(0x1000, 0x109F, 0xA9E0, 0xA9FF, 0xAA60, 0xAA7F)),
	embedded("NotoSansGeorgian", blocks(0x10A0, 0x10FF, 0x1C90, 0x1CBF, 0x2D00, 0x2D2F)),
	embedded("NotoSansEthiopic", blocks(0x1200, 0x139F, 0x2D80, 0x2DDF, 0xAB00, 0xAB2F)),
	embedded("NotoSansCherokee", blocks(0x13A0, 0x13FF, 0xAB70, 0xABBF)),
	embedded("NotoSansCanadianAboriginal", blocks(0x1400, 0x167F, 0x18B0, 0x18FF)),
	embedded("NotoSansKhmer", blocks(0x1780, 0x17FF, 0x19E0, 0x19FF)),
	embedded("NotoSansMath", blocks(0x2200, 0x22FF)),
	embedded("NotoSansOlChiki", blocks(0x1C50, 0x1C7F)),
	embedded("NotoSansTifinagh", blocks(0x2D30, 0x2D7F)),
	embedded("NotoSansMeeteiMayek", blocks(0xAAE0, 0xAAFF, 0xABC0, 0xABFF)),
	embedded("NotoSansAdlam", blocks(0x1E900, 0x1E95F)),
}

// Fonts are the typefaces of documents. They are read once and shared by all documents.
type Fonts struct {
	families []*family // tried in this order for each character
}

// family is a typeface in two weights.
type family struct {
	name    string
	covers  *unicode.RangeTable // the characters that it may have; nil: any
	regular func() (*typeface, error)
	bold    func() (*typeface, error)
}

// OpenFonts returns the fonts that are embedded in the program, and after them those of the files in
// a directory, if it is not empty: for scripts whose fonts are too large to embed.
func OpenFonts(dir string) (*Fonts, error) {
	if _, err := latin.regular(); err != nil {
		return nil, err
	}
	f := &Fonts{families: append([]*family{latin}, scripts...)}
	if dir == "" {
		return f, nil
	}
	added, err := openDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read fonts: %w", err)
	}
	f.families = append(f.families, added...)
	return f, nil
}

// embedded is a family that is read when it is first used.
func embedded(name string, covers *unicode.RangeTable) *family {
	f := &family{name: name, covers: covers}
	f.regular = sync.OnceValues(func() (*typeface, error) { return openEmbedded(name + "-Regular") })
	f.bold = f.regular
	if _, err := fs.Stat(fontFiles, "fonts/"+name+"-Bold.ttf.gz"); err == nil {
		f.bold = sync.OnceValues(func() (*typeface, error) { return openEmbedded(name + "-Bold") })
	}
	return f
}

// blocks makes a table of ranges from their first and last characters, in order.
func blocks(ends ...rune) *unicode.RangeTable {
	t := &unicode.RangeTable{}
	for i := 0; i < len(ends); i += 2 {
		t.R32 = append(t.R32, unicode.Range32{Lo: uint32(ends[i]), Hi: uint32(ends[i+1]), Stride: 1})
	}
	return t
}

// weight returns the typeface of a weight. Embedded fonts that cannot be read are a fault of the
// program, which a test finds.
func (f *family) weight(bold bool) *typeface {
	open := f.regular
	if bold {
		open = f.bold
	}
	t, err := open()
	if err != nil {
		panic(err)
	}
	return t
}

func openEmbedded(name string) (*typeface, error) {
	packed, err := fontFiles.Open("fonts/" + name + ".ttf.gz")
	if err != nil {
		return nil, err
	}
	defer packed.Close()
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("read font %s: %w", name, err)
	}
	file, err := io.ReadAll(unpacked)
	if err != nil {
		return nil, fmt.Errorf("read font %s: %w", name, err)
	}
	loader, err := opentype.NewLoader(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("read font %s: %w", name, err)
	}
	t, err := newTypeface(name, loader)
	if err != nil {
		return nil, fmt.Errorf("read font %s: %w", name, err)
	}
	return t, nil
}
