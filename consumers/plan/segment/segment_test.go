package segment_test

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/consumers/plan/segment"
)

// The texts of testdata and their counts come from the calculator published by a large provider
// (npm sms-segments-calculator 1.2.0).
func TestCountsAsProvidersDo(t *testing.T) {
	t.Parallel()
	file, err := os.Open("testdata/segments.ndjson")
	require.NoError(t, err)
	defer file.Close()
	lines := bufio.NewScanner(file)
	n := 0
	for lines.Scan() {
		var want struct {
			Text     string           `json:"text"`
			Encoding segment.Encoding `json:"encoding"`
			Segments int              `json:"segments"`
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &want))
		if want.Text == "" {
			want.Segments = 1 // it is sent nevertheless
		}
		got := segment.Of(want.Text)
		require.Equal(t, want.Encoding, got.Encoding, want.Text)
		require.Equal(t, want.Segments, got.Segments, want.Text)
		n++
	}
	require.NoError(t, lines.Err())
	require.Greater(t, n, 150)
}

func TestAlphabet(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/alphabet.json")
	require.NoError(t, err)
	var alphabet struct{ One, Two string }
	require.NoError(t, json.Unmarshal(content, &alphabet, json.MatchCaseInsensitiveNames(true)))
	require.Equal(t, 127, utf8.RuneCountInString(alphabet.One))
	for r := rune(1); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		want := segment.Count{Encoding: segment.UCS2, Units: 1, Segments: 1}
		switch {
		case strings.ContainsRune(alphabet.One, r):
			want = segment.Count{Encoding: segment.GSM7, Units: 1, Segments: 1}
		case strings.ContainsRune(alphabet.Two, r):
			want = segment.Count{Encoding: segment.GSM7, Units: 2, Segments: 1}
		case r > 0xffff:
			want.Units = 2
		}
		require.Equal(t, want, segment.Of(string(r)), "%U", r)
	}
}

func TestACharacterIsNeverSplit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       segment.Count
	}{
		{
			"160 septets", strings.Repeat("x", 160),
			segment.Count{Encoding: segment.GSM7, Units: 160, Segments: 1},
		},
		{
			"161 septets", strings.Repeat("x", 161),
			segment.Count{Encoding: segment.GSM7, Units: 161, Segments: 2},
		},
		{
			"306 septets", strings.Repeat("x", 306),
			segment.Count{Encoding: segment.GSM7, Units: 306, Segments: 2},
		},
		{
			"306 septets, an escape across the boundary",
			strings.Repeat("x", 152) + "€" + strings.Repeat("x", 152),
			segment.Count{Encoding: segment.GSM7, Units: 306, Segments: 3},
		},
		{
			"70 units", strings.Repeat("م", 70),
			segment.Count{Encoding: segment.UCS2, Units: 70, Segments: 1},
		},
		{
			"71 units", strings.Repeat("م", 71),
			segment.Count{Encoding: segment.UCS2, Units: 71, Segments: 2},
		},
		{
			"134 units, a pair across the boundary",
			strings.Repeat("م", 66) + "🎓" + strings.Repeat("م", 66),
			segment.Count{Encoding: segment.UCS2, Units: 134, Segments: 3},
		},
	} {
		require.Equal(t, c.want, segment.Of(c.text), c.name)
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	require.Equal(t, "The school is closed.", segment.Fit("The school is closed.", 1))
	long := strings.TrimSpace(strings.Repeat("The bus is late. ", 20))
	require.Equal(t, strings.Repeat("The bus is late. ", 9)+"The...", segment.Fit(long, 1))

	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune("abc ABC \n€[]éëم你🎓😀."))).Draw(t, "text")
		limit := rapid.IntRange(1, 4).Draw(t, "segments")
		short := segment.Fit(text, limit)
		if segment.Of(text).Segments <= limit {
			require.Equal(t, text, short)
			return
		}
		require.LessOrEqual(t, segment.Of(short).Segments, limit)
		require.True(t, utf8.ValidString(short))
		require.True(t, strings.HasPrefix(text, strings.TrimSuffix(short, "...")))
	})
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"It’s “closed” – today…": `It's "closed" - today...`,
		"Zoë’s mark":             "Zoë’s mark", // it stays UCS-2 in any case
		"plain":                  "plain",
		"20\u00a0€":              "20 €",
	} {
		require.Equal(t, want, segment.Plain(text))
	}
}
