package page

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/go-text/typesetting/font/opentype"
	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func document(t testing.TB, info Info) *Document {
	t.Helper()
	fonts, err := OpenFonts("")
	require.NoError(t, err)
	return fonts.New(info)
}

func requireValid(t require.TestingT, file []byte) {
	config := model.NewDefaultConfiguration()
	config.ValidationMode = model.ValidationStrict
	require.NoError(t, api.Validate(bytes.NewReader(file), config))
}

func TestMain(m *testing.M) {
	api.DisableConfigDir() // the validator would write its settings to the home directory
	m.Run()
}

// glyphs returns the glyphs of a line from left to right.
func glyphs(t Text) (ids []uint16) {
	for _, r := range t.runs {
		for _, c := range r.clusters {
			for _, g := range c.glyphs {
				ids = append(ids, g.id)
			}
		}
	}
	return ids
}

func TestArabicLettersJoin(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	style := Style{Size: 10}
	whole := glyphs(d.Text("محمد", style))
	require.Len(t, whole, 4)
	var alone []uint16
	for _, letter := range "دمحم" { // from left to right
		alone = append(alone, glyphs(d.Text(string(letter), style))...)
	}
	require.Equal(t, "NotoSansArabic-Regular", d.Text("محمد", style).runs[0].face.name)
	require.NotEqual(t, alone, whole, "letters of a word have other forms than alone")
	require.Less(t, d.Text("لا", style).Width, d.Text("ل", style).Width+d.Text("ا", style).Width,
		"lam and alef are one glyph")
}

func TestDevanagariFormsConjuncts(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	require.Len(t, glyphs(d.Text("क्ष", Style{Size: 10})), 1)
	ka, i := glyphs(d.Text("क", Style{Size: 10})), glyphs(d.Text("कि", Style{Size: 10}))
	require.Equal(t, ka[0], i[1], "the sign for i stands before the letter that it is spoken after")
}

// Teachers end remarks with emoji. No font has them, and a row of boxes looks like a mistake.
func TestEmojiAreLeftOut(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	width := func(text string) float64 { return d.Text(text, Style{Size: 10}).Width }
	require.InDelta(t, width("Well done! "), width("Well done! 🎉👍🏽👨‍👩‍👧❤️🇫🇷"), 0.001)
	require.Zero(t, width("🎉"))
	require.Greater(t, width("© 20 °"), width(" 20 "), "what a font has is drawn")
}

func TestNamesFromRightToLeftStandWithinOtherText(t *testing.T) {
	t.Parallel()
	d := document(t, Info{Language: "en"})
	style := Style{Size: 10}
	line := d.Text("Dear אברהם,", style)
	require.Len(t, line.runs, 3)
	require.Equal(t, []string{"NotoSans-Regular", "NotoSansHebrew-Regular", "NotoSans-Regular"},
		[]string{line.runs[0].face.name, line.runs[1].face.name, line.runs[2].face.name})
	var read strings.Builder
	for _, c := range line.runs[1].clusters {
		read.WriteString(c.text)
	}
	require.Equal(t, "םהרבא", read.String(), "from left to right")
}

func TestLettersAreKerned(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	style := Style{Size: 100}
	require.Less(t, d.Text("AV", style).Width, d.Text("A", style).Width+d.Text("V", style).Width)
}

func TestEveryScriptHasItsFont(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	for _, bold := range []bool{false, true} {
		for script, text := range map[string]string{
			"Latin":    "ÀÉÎõüñçŁżşğ Nguyễn Þórður fi ffi “…” – € ₦ ₹ № 1 234,50 %",
			"Greek":    "Γεωργία Παπαδοπούλου ᾧ",
			"Cyrillic": "Ёлка Щукин Ґалаґан Қазақ",
			"Arabic":   "محمد بن عبد الله آل سعود ٢٠٢٦ ٪ پگچژ ۱۲۳", "Hebrew": "שָׁלוֹם עֲלֵיכֶם",
			"Devanagari": "क्षत्रिय विद्यार्थी श्री १२३", "Armenian": "Հայկ Գրիգորյան և ﬓ",
			"Thaana": "އަލްފާޟިލާ", "N'Ko": "ߒߞߏ ߁߂߃", "Bengali": "তানিয়া রহমান শ্রীক্ষ্ম ১২৩।",
			"Gurmukhi": "ਗੁਰਪ੍ਰੀਤ ਸਿੰਘ", "Gujarati": "શ્રી કૃષ્ણકાંત", "Oriya": "ଶ୍ରୀ ଜଗନ୍ନାଥ",
			"Tamil": "தமிழ் செல்வன் ஸ்ரீ", "Telugu": "శ్రీ లక్ష్మి", "Kannada": "ಶ್ರೀಕೃಷ್ಣ", "Malayalam": "ശ്രീജിത്ത് കൃഷ്ണൻ",
			"Sinhala": "ශ්\u200dරී ලංකා ක්\u200dෂ", "Thai": "สมชาย ใจดี กำลัง ๑๒๓", "Lao": "ສົມຊາຍ ຄໍາ",
			"Myanmar": "မြန်မာ က္က အောင်", "Georgian": "გიორგი ბერიძე Ⴀ", "Ethiopic": "ሰላም ተስፋዬ፡፩",
			"Cherokee": "ᏣᎳᎩ", "Canadian": "ᐃᓄᒃᑎᑐᑦ", "Khmer": "សុភា ច្រើន ស្ត្រី", "Ol Chiki": "ᱥᱟᱱᱛᱟᱲᱤ",
			"Tifinagh": "ⵜⴰⵎⴰⵣⵉⵖⵜ", "Meetei Mayek": "ꯃꯤꯇꯩ", "Adlam": "𞤀𞤣𞤤𞤢𞤥",
			"Mathematics": "≤ ≥ ≠ ≈ ∞ √ − ± ×",
		} {
			require.NotContains(t, glyphs(d.Text(text, Style{Size: 10, Bold: bold})), uint16(0),
				script)
		}
	}
	require.Empty(t, d.Missing())
}

func TestLettersThatNoFontHasAreNamed(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	require.Contains(t, glyphs(d.Text("小明 and 小 王\ufe0f🎉\uf0b7", Style{Size: 10})), uint16(0),
		"what no font has is visibly missing")
	require.Equal(t, "小明王", d.Missing(), "each once; nobody misses a symbol")
}

// A family is embedded for all of the characters that it is asked for.
func TestFontsHaveTheLettersOfTheirBlocks(t *testing.T) {
	t.Parallel()
	for _, f := range scripts {
		for _, bold := range []bool{false, true} {
			letters := 0
			for _, block := range f.covers.R32 {
				for r := rune(block.Lo); r <= rune(block.Hi); r++ {
					if _, ok := f.weight(bold).font.NominalGlyph(r); ok {
						letters++
					}
				}
			}
			require.GreaterOrEqual(t, letters, 27, f.name)
		}
	}
}

func TestLinesKeepToTheirWidth(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	text := strings.Repeat("A long remark, because the teacher had much to say. ", 9) +
		"\nمحمد طالب مجتهد ومتعاون " + strings.Repeat("x", 400)
	lines := d.Lines(text, Style{Size: 10}, 180)
	require.Greater(t, len(lines), 10)
	for _, l := range lines {
		require.LessOrEqual(t, l.Width, 180.5)
	}
	require.Len(t, d.Lines("", Style{Size: 10}, 180), 1)
}

func TestADocumentIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	fonts, err := OpenFonts("")
	require.NoError(t, err)
	want := sample(t, fonts)
	requireValid(t, want)
	done := make(chan []byte)
	for range 4 {
		go func() { done <- sample(t, fonts) }()
	}
	for range 4 {
		require.Equal(t, want, <-done)
	}
}

func sample(t testing.TB, fonts *Fonts) []byte {
	d := fonts.New(Info{
		Title: `Sample (1) \ "é" <&>`, Author: "مدرسة", Language: "ar",
		RightToLeft: true,
	})
	m := image.NewNRGBA(image.Rect(0, 0, 8, 4))
	m.SetNRGBA(1, 1, color.NRGBA{R: 200, A: 100})
	var picture, photo bytes.Buffer
	if err := png.Encode(&picture, m); err != nil {
		t.Error(err)
	}
	if err := jpeg.Encode(&photo, m, nil); err != nil {
		t.Error(err)
	}
	for _, data := range [][]byte{picture.Bytes(), photo.Bytes()} {
		i, err := ReadImage(data)
		if err != nil {
			t.Error(err)
			return nil
		}
		p := d.Add(A5Width, A5Height)
		p.Image(i, 10, 10, 50, 50)
		p.Area(10, 80, 100, 20, 4, Color{R: 240})
		p.Frame(10, 110, 100, 20, 4, 1, Color{B: 240})
		p.Rule(10, 150, 100, 0.5, Color{})
		p.Text(d.Text("مدرسة النور AV क्षि ש", Style{Size: 12, Bold: true}), 10, 200, Start)
		p.Text(d.Text("2026", Style{Size: 12}), 10, 220, Center)
		p.Text(d.Text("2026", Style{Size: 12}), 10, 240, End)
	}
	return d.Bytes()
}

// Producers may send any text as a name.
func TestAnyTextMakesAValidDocument(t *testing.T) {
	t.Parallel()
	fonts, err := OpenFonts("")
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		d := fonts.New(Info{Title: rapid.StringOf(rapid.RuneFrom(nil, unicode.L, unicode.M,
			unicode.P)).Draw(t, "title"), Language: "en"})
		p := d.Add(A4Width, A4Height)
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(),
			rapid.SampledFrom([]rune("()\\<>[]\u202e\u200d\u0651مكشीक्")))).Draw(t, "text")
		for _, l := range d.Lines(text, Style{Size: 10}, 200) {
			p.Text(l, 10, 10, Start)
		}
		requireValid(t, d.Bytes())
	})
}

func TestUnreadableImagesAreRefused(t *testing.T) {
	t.Parallel()
	_, err := ReadImage([]byte("GIF89a, or so it says"))
	require.ErrorContains(t, err, "read image")
	var large bytes.Buffer
	require.NoError(t, png.Encode(&large, image.NewGray(image.Rect(0, 0, MaxImageSide+1, 1))))
	_, err = ReadImage(large.Bytes())
	require.ErrorContains(t, err, "at most 4096")
	_, err = ReadImage(large.Bytes()[:60])
	require.Error(t, err)
}

func TestRunsAreInVisualOrder(t *testing.T) {
	t.Parallel()
	d := document(t, Info{RightToLeft: true})
	line := d.Text("מחיר EUR שלום", Style{Size: 10})
	var left strings.Builder
	for _, c := range line.runs[0].clusters {
		left.WriteString(c.text)
	}
	require.Contains(t, left.String(), "םולש", "the end of the text is on the left")
}

// A screen reader announces headings and table cells in order, and no page numbers.
func TestDocumentsAreTagged(t *testing.T) {
	t.Parallel()
	d := document(t, Info{Language: "en", Title: "t"})
	p := d.Add(A5Width, A5Height)
	text := func(s string) { p.Text(d.Text(s, Style{Size: 10}), 10, 10, Start) }
	d.Within(Heading1, "", func() { text("a heading") })
	text("a line")
	d.Within(Table, "", func() {
		d.Within(Row, "", func() {
			d.Within(Header, "", func() { text("a title") })
			d.Within(Header, "", func() { text("") })
		})
		d.Artifact(func() { d.Within(Row, "", func() { text("a title again") }) })
		d.Within(Row, "",
			func() {
				d.Within(Cell, "",
					func() { text("a cell"); p = d.Add(A5Width, A5Height); text("its end") })
			})
	})
	p.Area(1, 1, 1, 1, 0, Color{})
	d.Artifact(func() { text("page 2") })

	var roles [][]string
	for _, p := range d.pages {
		var on []string
		for _, e := range p.owners {
			on = append(on, e.role)
		}
		roles = append(roles, on)
	}
	require.Equal(t, [][]string{{Heading1, Paragraph, Header, Cell}, {Cell}}, roles)
	require.Same(t, d.pages[0].owners[3], d.pages[1].owners[0],
		"a cell that continues on the next page is one element")
	for i, artifacts := range []int{1, 2} {
		require.Equal(t, artifacts, strings.Count(d.pages[i].content.String(), "/Artifact BMC"))
		require.Equal(t, len(roles[i])+artifacts,
			strings.Count(d.pages[i].content.String(), "EMC\n"))
	}
	file := d.Bytes()
	requireValid(t, file)
	require.Contains(t, string(file), "/MarkInfo<</Marked true>>")
	require.Equal(t, 2, bytes.Count(file, []byte("/S/TH")), "an empty cell counts")
	require.Equal(t, 2, bytes.Count(file, []byte("/S/TR")))
}

func TestSubsetsHoldWhatGlyphsAreMadeOf(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	face := d.shaper.face(latin.weight(false))
	whole, _ := face.shape.NominalGlyph('é')
	letter, _ := face.shape.NominalGlyph('e')
	glyphs := face.closure(map[uint16]bool{uint16(whole): true})
	require.Subset(t, glyphs, []uint16{0, uint16(whole), uint16(letter)})

	// A subset is a font whose glyphs are those of the whole one, under the same numbers.
	file := face.subset(glyphs)
	loader, err := opentype.NewLoader(bytes.NewReader(file))
	require.NoError(t, err)
	part, err := readTrueType(loader)
	require.NoError(t, err)
	for id := range uint16(len(part.loca) - 1) {
		if !slices.Contains(glyphs, id) {
			require.Empty(t, part.outline(id))
			continue
		}
		require.True(t, bytes.HasPrefix(part.outline(id), face.outline(id)), id)
		require.Equal(t, face.advance(id), part.advance(id))
		require.Equal(t, face.bearing(id), part.bearing(id))
	}
	require.Equal(t, uint32(0xB1B0AFBA), checksum(file))
}

// The pen moves as far as the text is wide, although PDF advances by the font's widths and the
// shaper by its own.
func TestThePenMovesAsTheTextWasShaped(t *testing.T) {
	t.Parallel()
	operand := regexp.MustCompile(`<(\w{4})>|(-?\d+)`)
	for _, text := range []string{
		"AVATAR To.", "محمد بن عبد الله", "क्षत्रिय विद्यार्थी",
		"שָׁלוֹם",
	} {
		d := document(t, Info{})
		p := d.Add(A4Width, A4Height)
		line := d.Text(text, Style{Size: 1000})
		p.Text(line, 0, 0, Start)
		moved := 0
		for _, shown := range regexp.MustCompile(`\[([^\]]*)\]TJ`).FindAllStringSubmatch(p.content.String(), -1) {
			for _, o := range operand.FindAllStringSubmatch(shown[1], -1) {
				if o[2] != "" {
					n, err := strconv.Atoi(o[2])
					require.NoError(t, err)
					moved -= n
					continue
				}
				code, err := strconv.ParseUint(o[1], 16, 16)
				require.NoError(t, err)
				face := line.runs[0].face
				moved += face.advance(face.signs[code-1].glyph)
			}
		}
		last := line.runs[0].clusters[len(line.runs[0].clusters)-1]
		g := last.glyphs[len(last.glyphs)-1]
		require.InDelta(t, line.Width, float64(moved-g.x-line.runs[0].face.advance(g.id)+g.advance),
			1, text)
	}
}
