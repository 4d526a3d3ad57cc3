package pdf

import (
	"bytes"
	"compress/zlib"
	"image"
	"image/color"
	"image/png"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// shortReportCard has three subjects with two marks each.
func shortReportCard() paper.ReportCard {
	card := reportCard()
	card.Subjects = nil
	for i, name := range []string{"maths", "french", "history"} {
		card.Subjects = append(card.Subjects, subject(name, i, "Quiz", "Final examination"))
	}
	return card
}

// strip is a logo of this size, with a frame to see where it ends.
func strip(t testing.TB, width, height int) *page.Image {
	t.Helper()
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetNRGBA(x, y, color.NRGBA{R: uint8(255 * x / width), G: 0x60, B: 0x90, A: 0xff})
		}
	}
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, m))
	i, err := page.ReadImage(b.Bytes())
	require.NoError(t, err)
	return i
}

// renderCard renders a report card and returns the file and its number of pages.
func renderCard(
	t *testing.T, language string, card paper.ReportCard, logo *page.Image,
) (file []byte, pages int) {
	t.Helper()
	r, err := NewRenderer("")
	require.NoError(t, err)
	file, err = r.Render(paper.KindReportCard, paper.Encode(card), language, logo)
	require.NoError(t, err)
	pages, err = api.PageCount(bytes.NewReader(file), nil)
	require.NoError(t, err)
	return file, pages
}

func TestAShortReportCardIsOnePage(t *testing.T) {
	t.Parallel()
	card := shortReportCard()
	file, pages := renderCard(t, "en", card, nil)
	require.Equal(t, 1, pages)
	text := read(t, file)
	require.Contains(t, text, "Final examination")
	require.Less(t, strings.Index(text, "Final examination"), strings.Index(text, "Head of school"),
		"the signatures come last")

	card.Remark = strings.Repeat("Zoë reads a great deal and writes with wit. ", 12)
	_, pages = renderCard(t, "en", card, nil)
	require.Equal(t, 1, pages)
	for len(card.Subjects) < 14 {
		card.Subjects = append(card.Subjects, subject("more", 1, "Quiz", "Test"))
	}
	_, pages = renderCard(t, "en", card, nil)
	require.Greater(t, pages, 1, "what does not fit has pages of its own")
}

// The card says what an average is, shows averages as they are rounded on screens, and nothing where
// there is none.
func TestACardSaysWhatItAverages(t *testing.T) {
	t.Parallel()
	card := shortReportCard()
	card.Average, card.ClassMean = new(73.23), new(71.0)
	card.Subjects[2].Class = nil
	file, _ := renderCard(t, "en", card, nil)
	text := read(t, file)
	require.Contains(t, text, "73.23%")
	require.Contains(t, text, "71.0%")
	require.Contains(t, text, "each assessment counts alike")

	card.Method = marks.Points
	card.Subjects[0].Marks[0].Status = assessment.Absent
	card.Subjects[1].Marks[0].Scale = "ACT"
	card.Subjects[1].Average = nil
	file, _ = renderCard(t, "en", card, nil)
	text = read(t, file)
	require.Contains(t, text, "points scored of all that could be scored")
	require.Contains(t, text, "absent")
	require.Contains(t, text, "ACT")
}

func TestALongNameDoesNotRunUnderThePageNumber(t *testing.T) {
	t.Parallel()
	card := shortReportCard()
	card.Student = strings.Repeat("Wolfeschlegelsteinhausenbergerdorff ", 4)
	s := blank(t)
	require.LessOrEqual(t, s.doc.Text(s.cut(card.Student, small, 200), small).Width, 200.0)
	require.True(t, strings.HasSuffix(s.cut(card.Student, small, 200), "…"))
	require.Equal(t, "Zoë", s.cut("Zoë", small, 200))
	require.Equal(t, "…", s.cut("Zoë", small, 1))
	file, _ := renderCard(t, "en", card, nil)
	require.Contains(t, read(t, file), "…")
}

func TestDigitsAreOfOneKind(t *testing.T) {
	t.Parallel()
	card := arabicReportCard()
	card.Year, card.Term, card.GradeLevel, card.Class = "2026", "1", "7", "السابع 2"
	card.StudentID = "٧"
	file, _ := renderCard(t, "ar", card, nil)
	require.NotRegexp(t, `[0-9]`, strings.ReplaceAll(read(t, file), "English", ""))
	english := shortReportCard()
	english.Class = "7A"
	file, _ = renderCard(t, "en", english, nil)
	require.Contains(t, read(t, file), "7A")
}

func TestWideLogosAreWide(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		width, height int
		beside        bool
	}{
		{"square", 100, 100, true},
		{"tall", 50, 400, true},
		{"wide", 400, 100, true},
		{"strip", 2048, 49, false},
	} {
		logo := strip(t, c.width, c.height)
		file, pages := renderCard(t, "en", shortReportCard(), logo)
		require.Equal(t, 1, pages)
		drawn := regexp.MustCompile(`q ([0-9.]+) 0 0 ([0-9.]+) [0-9.]+ [0-9.]+ cm /I1 Do`).
			FindStringSubmatch(contents(t, file))
		require.Len(t, drawn, 3)
		require.InDelta(t, float64(c.width)/float64(c.height), ratio(t, drawn[1], drawn[2]), 0.1,
			"its form stays")
		require.Equal(t, c.beside, drawn[2] == "46", "%s: %v", c.name, drawn)
	}
}

// contents returns what a file's compressed streams hold.
func contents(t *testing.T, file []byte) string {
	t.Helper()
	var all strings.Builder
	for _, stream := range bytes.Split(file, []byte("/FlateDecode/Length "))[1:] {
		_, data, found := bytes.Cut(stream, []byte("stream\n"))
		require.True(t, found)
		r, err := zlib.NewReader(bytes.NewReader(data))
		require.NoError(t, err)
		_, err = io.Copy(&all, r)
		require.NoError(t, err)
	}
	return all.String()
}

func ratio(t *testing.T, width, height string) float64 {
	t.Helper()
	w, err := strconv.ParseFloat(width, 64)
	require.NoError(t, err)
	h, err := strconv.ParseFloat(height, 64)
	require.NoError(t, err)
	return w / h
}

// blank returns a sheet with nothing on it.
func blank(t *testing.T) *sheet {
	t.Helper()
	r, err := NewRenderer("")
	require.NoError(t, err)
	w := r.catalog.Words("en")
	return r.sheet(w, head, "Report card", nil, page.A4Width, page.A4Height, wide)
}
