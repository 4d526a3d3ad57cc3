package page

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
	"unicode"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func document(t testing.TB, info Info) *Document {
	t.Helper()
	fonts, err := OpenFonts()
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
	require.Less(t, d.Text("لا", style).Width, d.Text("ل", style).Width+d.Text("ا", style).Width, "lam and alef are one glyph")
}

func TestDevanagariFormsConjuncts(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	require.Len(t, glyphs(d.Text("क्ष", Style{Size: 10})), 1)
	ka, i := glyphs(d.Text("क", Style{Size: 10})), glyphs(d.Text("कि", Style{Size: 10}))
	require.Equal(t, ka[0], i[1], "the sign for i stands before the letter that it is spoken after")
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
			"Latin": "ÀÉÎõüñçŁżşğ Nguyễn Þórður fi ffi “…” – € ₦ ₹ № 1 234,50 %", "Greek": "Γεωργία Παπαδοπούλου ᾧ",
			"Cyrillic": "Ёлка Щукин Ґалаґан Қазақ", "Arabic": "محمد بن عبد الله آل سعود ٢٠٢٦ ٪ پگچژ ۱۲۳", "Hebrew": "שָׁלוֹם עֲלֵיכֶם",
			"Devanagari": "क्षत्रिय विद्यार्थी श्री १२३",
		} {
			require.NotContains(t, glyphs(d.Text(text, Style{Size: 10, Bold: bold})), uint16(0), script)
		}
	}
	require.Contains(t, glyphs(d.Text("漢", Style{Size: 10})), uint16(0), "what no font has is seen to be missing")
}

func TestLinesAreNoWiderThanAskedFor(t *testing.T) {
	t.Parallel()
	d := document(t, Info{})
	text := strings.Repeat("A long remark, because the teacher had much to say. ", 9) + "\nمحمد طالب مجتهد ومتعاون " + strings.Repeat("x", 400)
	lines := d.Lines(text, Style{Size: 10}, 180)
	require.Greater(t, len(lines), 10)
	for _, l := range lines {
		require.LessOrEqual(t, l.Width, 180.5)
	}
	require.Len(t, d.Lines("", Style{Size: 10}, 180), 1)
}

func TestADocumentIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	fonts, err := OpenFonts()
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
	d := fonts.New(Info{Title: `Sample (1) \ "é" <&>`, Author: "مدرسة", Language: "ar", RightToLeft: true})
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

// Names are whatever producers send.
func TestAnyTextMakesAValidDocument(t *testing.T) {
	t.Parallel()
	fonts, err := OpenFonts()
	require.NoError(t, err)
	rapid.Check(t, func(t *rapid.T) {
		d := fonts.New(Info{Title: rapid.StringOf(rapid.RuneFrom(nil, unicode.L, unicode.M, unicode.P)).Draw(t, "title"), Language: "en"})
		p := d.Add(A4Width, A4Height)
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("()\\<>[]\u202e\u200d\u0651مكشीक्")))).Draw(t, "text")
		for _, l := range d.Lines(text, Style{Size: 10}, 200) {
			p.Text(l, 10, 10, Start)
		}
		requireValid(t, d.Bytes())
	})
}

func TestPicturesThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	_, err := ReadImage([]byte("GIF89a, or so it says"))
	require.ErrorContains(t, err, "read picture")
	var large bytes.Buffer
	require.NoError(t, png.Encode(&large, image.NewGray(image.Rect(0, 0, MaxImageSide+1, 1))))
	_, err = ReadImage(large.Bytes())
	require.ErrorContains(t, err, "at most 4096")
	_, err = ReadImage(large.Bytes()[:60])
	require.Error(t, err)
}
