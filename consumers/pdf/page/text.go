package page

import (
	"cmp"
	"slices"
	"strings"
	"unicode"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/bidi"
)

// Style is the look of text.
type Style struct {
	Size  float64
	Bold  bool
	Color Color
}

// Text is a shaped line of text, ready to be drawn.
type Text struct {
	Width float64
	style Style
	runs  []run // from left to right
}

// Join puts texts of one style next to each other, in the direction of the document. Each keeps its
// own direction, so that names and numbers of different scripts do not run into each other.
func (d *Document) Join(texts ...Text) Text {
	if d.info.RightToLeft {
		texts = slices.Clone(texts)
		slices.Reverse(texts)
	}
	var all Text
	for _, t := range texts {
		all.style, all.Width = t.style, all.Width+t.Width
		all.runs = append(all.runs, t.runs...)
	}
	return all
}

// run is a part of a line with one font and direction.
type run struct {
	face     *face
	clusters []cluster // from left to right
}

// cluster is a group of characters that cannot be separated once drawn, and the glyphs that draw
// them.
type cluster struct {
	text   string
	glyphs []glyph // from left to right
}

// glyph is a positioned glyph, with distances in thousandths of the font size.
type glyph struct {
	id            uint16
	advance, x, y int
}

// face is a typeface within one document: the part of it that is used.
type face struct {
	*typeface
	shape *font.Face
	name  string // of the resource
	codes map[sign]uint16
	signs []sign // by code, from 1
}

// sign is a glyph and the characters that it stands for. Each sign has its own code in a document:
// one glyph may draw different characters, and copied text must be the original.
type sign struct {
	glyph uint16
	text  string
}

// glyph returns the number of a glyph, and that of the space for a blank one that the font lacks.
func (f *face) glyph(id font.GID) uint16 {
	if int(id) < f.glyphs {
		return uint16(id)
	}
	space, _ := f.shape.NominalGlyph(' ')
	return uint16(space)
}

// code returns the code of a sign.
func (f *face) code(s sign) uint16 {
	code, ok := f.codes[s]
	if !ok {
		f.signs = append(f.signs, s)
		code = uint16(len(f.signs))
		f.codes[s] = code
	}
	return code
}

// shaper turns characters into glyphs for one document.
type shaper struct {
	fonts     *Fonts
	faces     []*face // those that are used so far
	language  language.Language
	direction di.Direction
	missing   []rune // letters that no font has, in the order of the document

	segmenter shaping.Segmenter
	harfbuzz  shaping.HarfbuzzShaper
	wrapper   shaping.LineWrapper
}

func newShaper(fonts *Fonts, lang string, rightToLeft bool) *shaper {
	s := &shaper{
		fonts: fonts, language: language.NewLanguage(lang), direction: di.DirectionLTR,
	}
	if rightToLeft {
		s.direction = di.DirectionRTL
	}
	return s
}

// face returns the document's own face of a typeface: which glyphs are used is the document's state,
// while the typefaces are shared.
func (s *shaper) face(t *typeface) *face {
	if i := slices.IndexFunc(s.faces, func(f *face) bool { return f.typeface == t }); i >= 0 {
		return s.faces[i]
	}
	f := &face{
		typeface: t, shape: font.NewFace(t.font), name: t.name, codes: map[sign]uint16{},
	}
	s.faces = append(s.faces, f)
	return f
}

// fontmap chooses the first face of a weight that has a character.
type fontmap struct {
	shaper *shaper
	bold   bool
}

// ResolveFace implements [shaping.Fontmap].
func (m fontmap) ResolveFace(r rune) *font.Face {
	t := m.find(r)
	if t == nil {
		t = latin.weight(m.bold)
	}
	return m.shaper.face(t).shape
}

// find returns the typeface that has a character, or nil.
func (m fontmap) find(r rune) *typeface {
	for _, f := range m.shaper.fonts.families {
		if f.covers != nil && !unicode.Is(f.covers, r) {
			continue
		}
		t := f.weight(m.bold)
		if _, ok := t.font.NominalGlyph(r); ok {
			return t
		}
	}
	return nil
}

// dropped reports that a character is a symbol such as an emoji, or one of private use such as a
// word processor's bullet, that no font has. It is left out, as nobody misses it. A missing letter
// is not: a name must not silently lose one.
func (m fontmap) dropped(r rune) bool {
	return unicode.In(r, unicode.So, unicode.Sk, unicode.Co) && m.find(r) == nil
}

const anyWidth = fixed.Int26_6(1 << 30)

// lines breaks text into lines no wider than width, in points; 0 is no limit.
func (s *shaper) lines(text string, style Style, width float64) []Text {
	fonts := fontmap{s, style.Bold}
	runes := slices.DeleteFunc([]rune(strings.Map(visible, text)), fonts.dropped)
	if len(runes) == 0 {
		return []Text{{style: style}}
	}
	input := shaping.Input{
		Text: runes, RunEnd: len(runes), Direction: s.directionOf(runes), Size: fixed.I(unitsPerEm),
		Language: s.language,
	}
	var shaped []shaping.Output
	for _, part := range s.segmenter.Split(input, fonts) {
		shaped = append(shaped, s.harfbuzz.Shape(part))
	}
	widest := anyWidth
	if width > 0 {
		widest = min(anyWidth, fixed.Int26_6(width/style.Size*unitsPerEm*64))
	}
	config := shaping.WrapConfig{Direction: input.Direction}
	wrapped, _ := s.wrapper.WrapParagraphF(config, widest, runes, shaping.NewSliceIterator(shaped))
	all := make([]Text, len(wrapped))
	for i, line := range wrapped {
		all[i] = s.line(line, runes, style)
	}
	return all
}

// visible replaces control characters and line separators by a space: text from outside is a single
// line.
func visible(r rune) rune {
	if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
		return ' '
	}
	return r
}

// directionOf returns the direction of the first letter that has one, so that a name reads right
// wherever it stands.
func (s *shaper) directionOf(runes []rune) di.Direction {
	for _, r := range runes {
		switch properties, _ := bidi.LookupRune(r); properties.Class() {
		case bidi.L:
			return di.DirectionLTR
		case bidi.R, bidi.AL:
			return di.DirectionRTL
		}
	}
	return s.direction
}

// line collects the shaped runs of a line in visual order.
func (s *shaper) line(outputs shaping.Line, runes []rune, style Style) Text {
	outputs = slices.Clone(outputs)
	slices.SortFunc(outputs,
		func(a, b shaping.Output) int { return cmp.Compare(a.VisualIndex, b.VisualIndex) })
	t := Text{style: style}
	for _, o := range outputs {
		i := slices.IndexFunc(s.faces, func(f *face) bool { return f.shape == o.Face })
		r := run{face: s.faces[i]}
		last := -1
		for _, g := range o.Glyphs {
			if g.TextIndex() != last {
				last = g.TextIndex()
				r.clusters = append(r.clusters,
					cluster{text: string(runes[last : last+g.RunesCount()])})
			}
			c := &r.clusters[len(r.clusters)-1]
			if g.GlyphID == 0 {
				s.miss(c.text)
			}
			c.glyphs = append(c.glyphs,
				glyph{
					r.face.glyph(g.GlyphID), g.Advance.Round(), g.XOffset.Round(),
					g.YOffset.Round(),
				})
			t.Width += float64(g.Advance.Round()) * style.Size / unitsPerEm
		}
		t.runs = append(t.runs, r)
	}
	return t
}

// maxMissing bounds how many missing letters are named.
const maxMissing = 20

// miss notes the letters of a cluster that is drawn as a box. Marks that have no form of their own
// come with others and are not what is missing.
func (s *shaper) miss(text string) {
	for _, r := range text {
		if !unicode.In(r, unicode.Cf, unicode.Variation_Selector) &&
			len(s.missing) < maxMissing && !slices.Contains(s.missing, r) {
			s.missing = append(s.missing, r)
		}
	}
}
