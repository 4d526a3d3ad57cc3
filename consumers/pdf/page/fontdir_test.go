package page

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/font/opentype"
	"github.com/stretchr/testify/require"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// fontDir is a directory with two weights of a font that has another resolution than ours.
func fontDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range map[string][]byte{
		"Go-Regular.ttf": goregular.TTF, "Go-Bold.ttf": gobold.TTF, "README.txt": []byte("fonts"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), file, 0o600))
	}
	return dir
}

// boxes are the boxes of an outline's points on the curve and of all its points, in units of a
// thousandth of the em.
func boxes(t *testing.T, f *font.Font, glyph font.GID) (curve, all [4]float32) {
	t.Helper()
	outline, ok := font.NewFace(f).GlyphData(glyph).(font.GlyphOutline)
	require.True(t, ok)
	require.NotEmpty(t, outline.Segments)
	scale := unitsPerEm / float32(f.Upem())
	grow := func(b *[4]float32, p opentype.SegmentPoint) {
		x, y := p.X*scale, p.Y*scale
		if *b == [4]float32{} {
			*b = [4]float32{x, y, x, y}
		}
		*b = [4]float32{min(b[0], x), min(b[1], y), max(b[2], x), max(b[3], y)}
	}
	for i := range outline.Segments {
		points := outline.Segments[i].ArgsSlice()
		for _, p := range points {
			grow(&all, p)
		}
		grow(&curve, points[len(points)-1])
	}
	return curve, all
}

// requireRedrawn compares the glyphs of a subset, as another program reads them, with the font's.
func requireRedrawn(t *testing.T, f *typeface, letters string) {
	t.Helper()
	used := map[uint16]bool{}
	for _, r := range letters {
		g, ok := f.font.NominalGlyph(r)
		require.True(t, ok, "%c", r)
		used[uint16(g)] = true
	}
	file := f.subset(f.closure(used))
	loader, err := opentype.NewLoader(bytes.NewReader(file))
	require.NoError(t, err)
	part, err := readTrueType(loader)
	require.NoError(t, err)
	for g := range used {
		outline := part.outline(g)
		require.NotEmpty(t, outline)
		curve, all := boxes(t, f.font, font.GID(g))
		const reach = 15 // how far the handle of a quadratic curve reaches beyond those of a cubic one
		for i := range curve {
			got := float32(int16(binary.BigEndian.Uint16(outline[2+2*i:])))
			low, high := min(curve[i], all[i]-reach), max(curve[i], all[i]+reach)
			require.True(t, got >= low-1 && got <= high+1, "glyph %d: %v in %v, %v", g, got, curve, all)
		}
		require.InDelta(t, f.advance(g), part.advance(g), 1)
	}
}

func TestFontsOfADirectoryAreDrawnAgain(t *testing.T) {
	t.Parallel()
	families, err := openDir(fontDir(t))
	require.NoError(t, err)
	require.Len(t, families, 1, "two weights of one family")
	require.NotEqual(t, families[0].weight(true), families[0].weight(false))
	for _, bold := range []bool{false, true} {
		requireRedrawn(t, families[0].weight(bold), "ABCdeéåß&@§")
	}

	fonts := &Fonts{families: append([]*family{latin}, families...)}
	draw := func() []byte {
		d := fonts.New(Info{Title: "Box", Language: "en"})
		p := d.Add(A5Width, A5Height)
		for i, bold := range []bool{false, true} {
			p.Text(d.Text("Corner ┌ ░", Style{Size: 20, Bold: bold}), 40, 60+40*float64(i), Start)
		}
		require.Empty(t, d.Missing())
		return d.Bytes()
	}
	file := draw()
	requireValid(t, file)
	require.Contains(t, string(file), "+Added1")
	require.Contains(t, string(file), "+Added2")
	require.Equal(t, file, draw())
}

func TestADirectoryWithoutUsableFontsIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := OpenFonts(dir)
	require.ErrorContains(t, err, dir+" has no font")
	_, err = OpenFonts(filepath.Join(dir, "elsewhere"))
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "broken.otf"), []byte("OTTO"), 0o600))
	_, err = OpenFonts(dir)
	require.ErrorContains(t, err, "broken.otf")
}

// debianCJK has the fonts of Debian's package fonts-noto-cjk: collections with cubic outlines.
const debianCJK = "/usr/share/fonts/opentype/noto"

func TestDebiansFontsOfChineseJapaneseAndKorean(t *testing.T) {
	t.Parallel()
	devtest.Real(t)
	dir := t.TempDir()
	for _, name := range []string{"NotoSansCJK-Bold.ttc", "NotoSansCJK-Regular.ttc"} {
		require.NoError(t, os.Symlink(filepath.Join(debianCJK, name), filepath.Join(dir, name)))
	}
	fonts, err := OpenFonts(dir)
	require.NoError(t, err)
	d := fonts.New(Info{Title: "名簿", Language: "ja"})
	p := d.Add(A5Width, A5Height)
	const names = "小明 王 体育 · 김 민준 · さくら 山田 カタカナ 、。「」"
	for i, bold := range []bool{false, true} {
		p.Text(d.Text(names, Style{Size: 20, Bold: bold}), 40, 60+40*float64(i), Start)
	}
	require.Empty(t, d.Missing())
	file := d.Bytes()
	requireValid(t, file)
	require.Less(t, len(file), 100_000, "only the glyphs that it uses")
	for _, f := range d.shaper.faces {
		if f.typeface != latin.weight(false) && f.typeface != latin.weight(true) {
			requireRedrawn(t, f.typeface, "小明王体育김민준さくら山田カタナ")
		}
	}
}
