package logo_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/logo"
	"github.com/schoolbell/schoolbell/consumers/pdf/page"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// picture is a red disc on a transparent ground.
func picture(width, height int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			if dx, dy := 2*x-width, 2*y-height; dx*dx*height*height+
				dy*dy*width*width < width*width*height*height {
				m.SetNRGBA(x, y, color.NRGBA{R: 0xc0, A: 0xff})
			}
		}
	}
	return m
}

func encoded(t testing.TB, format string, m image.Image) []byte {
	var b bytes.Buffer
	switch format {
	case "png":
		require.NoError(t, png.Encode(&b, m))
	case "jpeg":
		require.NoError(t, jpeg.Encode(&b, m, nil))
	case "gif":
		require.NoError(t, gif.Encode(&b, m, nil))
	}
	return b.Bytes()
}

func TestUploadsAreEncodedAgain(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"png", "jpeg", "gif"} {
		upload := append(encoded(t, format, picture(1500, 700)), "<script>alert(1)</script>"...)
		clean, err := logo.Clean(upload)
		require.NoError(t, err, format)
		require.NotContains(t, string(clean), "script")
		again, err := logo.Clean(upload)
		require.NoError(t, err)
		require.Equal(t, clean, again)

		got, kind, err := image.Decode(bytes.NewReader(clean))
		require.NoError(t, err)
		require.Equal(t, "png", kind)
		require.Equal(t, image.Pt(749, 349), got.Bounds().Size(),
			"the aspect ratio stays")
		r, g, _, a := got.At(374, 174).RGBA()
		require.Greater(t, r, uint32(0xa000))
		require.Less(t, g, uint32(0x2000))
		require.Equal(t, uint32(0xffff), a)
		if format == "png" {
			_, _, _, a = got.At(0, 0).RGBA()
			require.Zero(t, a, "transparency stays")
		}
		_, err = page.ReadImage(clean)
		require.NoError(t, err, "documents can draw it")
	}
	for _, c := range [][4]int{ // from and to: what a strip across the page needs is kept
		{40, 900, 40, 900},
		{2000, 2000, 512, 512},
		{5000, 120, 2048, 49},
		{2000, 500, 1024, 256},
		{8000, 1, 2048, 1},
	} {
		stored, err := logo.Clean(encoded(t, "png", picture(c[0], c[1])))
		require.NoError(t, err)
		config, err := png.DecodeConfig(bytes.NewReader(stored))
		require.NoError(t, err)
		require.Equal(t, []int{c[2], c[3]}, []int{config.Width, config.Height})
	}
}

func TestWhatIsNoImageIsRefused(t *testing.T) {
	t.Parallel()
	whole := encoded(t, "png", picture(64, 64))
	for what, upload := range map[string][]byte{
		"nothing": nil, "a page": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"),
		"half a picture":  whole[:len(whole)/2],
		"only its header": whole[:33],
	} {
		_, err := logo.Clean(upload)
		require.ErrorIs(t, err, logo.ErrUnreadable, what)
	}
	for what, upload := range map[string][]byte{
		"wide":       encoded(t, "png", image.NewGray(image.Rect(0, 0, logo.MaxSide+1, 1))),
		"many bytes": make([]byte, logo.MaxBytes+1),
		"a bomb": encoded(t, "gif",
			image.NewPaletted(image.Rect(0, 0, 4097, 4097), color.Palette{color.White})),
	} {
		_, err := logo.Clean(upload)
		require.ErrorIs(t, err, logo.ErrTooLarge, what)
	}
}

// A small file with 16 bits for a colour may need twice the memory of another one.
func TestMemoryOfUploadsIsBounded(t *testing.T) {
	t.Parallel()
	upload := encoded(t, "png", image.NewNRGBA64(image.Rect(0, 0, 4, 4)))
	header := upload[12:29] // IHDR, its width and height first
	binary.BigEndian.PutUint32(header[4:], 4000)
	binary.BigEndian.PutUint32(header[8:], 4000)
	binary.BigEndian.PutUint32(upload[29:], crc32.ChecksumIEEE(header))
	_, err := logo.Clean(upload)
	require.ErrorIs(t, err, logo.ErrTooLarge)
	header[12] = 8 // bits: the same picture of usual colours is taken, and found incomplete
	binary.BigEndian.PutUint32(upload[29:], crc32.ChecksumIEEE(header))
	_, err = logo.Clean(upload)
	require.ErrorIs(t, err, logo.ErrUnreadable)
}

func TestCorruptImagesDoNoHarm(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"png", "jpeg", "gif"} {
		whole := encoded(t, format, picture(33, 21))
		rapid.Check(t, func(t *rapid.T) {
			broken := bytes.Clone(whole)
			for range rapid.IntRange(1, 8).Draw(t, "changes") {
				broken[rapid.IntRange(0, len(broken)-1).Draw(t, "at")] = rapid.Byte().Draw(t,
					"byte")
			}
			if clean, err := logo.Clean(broken); err == nil {
				_, err = page.ReadImage(clean)
				require.NoError(t, err)
			}
		})
	}
}

func TestASchoolHasOneLogo(t *testing.T) {
	t.Parallel()
	pool := devtest.Pool(t, devtest.Postgres(t), postgres.Jobs)
	dir, err := document.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	settings := ledger.NewSettings(pool.Conns())
	l := &logo.Service{Store: document.NewStore(dir), Settings: settings}

	_, _, err = l.Get(t.Context(), "north")
	require.ErrorContains(t, err, "not exist")
	require.NoError(t, settings.Set(t.Context(),
		&consumers.Settings{School: "north", Name: "The North"}, "ada"))
	hash, err := l.Put(t.Context(), "north", "ada", encoded(t, "png", picture(10, 10)))
	require.NoError(t, err)
	got, gotHash, err := l.Get(t.Context(), "north")
	require.NoError(t, err)
	require.Equal(t, hash, gotHash)
	_, err = png.Decode(bytes.NewReader(got))
	require.NoError(t, err)
	now, err := settings.Current(t.Context(), "north")
	require.NoError(t, err)
	require.Equal(t, "The North", now.Name, "nothing else changes")
	require.Equal(t, int64(2), now.Version)
	_, _, err = l.Get(t.Context(), "south")
	require.ErrorContains(t, err, "not exist")

	planners, err := consumers.NewPlanners()
	require.NoError(t, err)
	for written, want := range map[string]string{
		`{"name":"New","time_zone":"UTC"}`:     hash, // the example of the documentation
		`{"name":"New","logo":"` + hash + `"}`: hash,
	} {
		s, err := planners.ReadSettings("north", []byte(written))
		require.NoError(t, err)
		require.NoError(t, settings.Set(t.Context(), s, "ada"))
		require.Equal(t, want, s.Logo, "what was written is what is returned")
		_, got, err := l.Get(t.Context(), "north")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	s, err := planners.ReadSettings("north", []byte(`{"name":"New","logo":null}`))
	require.NoError(t, err)
	require.NoError(t, settings.Set(t.Context(), s, "ada"))
	_, _, err = l.Get(t.Context(), "north")
	require.ErrorContains(t, err, "not exist")
	_, err = l.Put(t.Context(), "north", "ada", encoded(t, "png", picture(10, 10)))
	require.NoError(t, err)

	done := make(chan error)
	for range 8 { // concurrent changes are all applied
		go func() {
			done <- settings.Change(t.Context(), "north", "ada",
				func(s *consumers.Settings) { s.Budget++ })
		}()
	}
	for range 8 {
		require.NoError(t, <-done)
	}
	require.NoError(t, l.Remove(t.Context(), "north", "ada"))
	_, _, err = l.Get(t.Context(), "north")
	require.ErrorContains(t, err, "not exist")
	now, err = settings.Current(t.Context(), "north")
	require.NoError(t, err)
	require.Equal(t, int64(8), now.Budget)
}
