package wording_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/language"

	"github.com/schoolbell/schoolbell/consumers/plan/segment"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/golden"
)

var params = wording.Params{
	Sender: "Oak", Student: "Ada King", Class: "7A", Date: domain.NewDate(2026, 8, 31),
	Session: "day",
	Missed:  3, Days: 1200, Invoice: "INV-7", Payment: "PAY-9", Category: "tuition",
	Amount:   123450,
	Currency: "EUR",
	DueOn:    domain.NewDate(2026, 9, 15), Method: "mobile_money", Year: "2026-2027",
	Term:  "autumn",
	Title: "Closed tomorrow", Body: "The school stays closed.", Link: "https://oak.example/d/1",
}

// Each file of testdata is a language, with every message as a recipient reads it:
//
//	say <message> [language] [name=value…]
func TestGoldenMessages(t *testing.T) {
	t.Parallel()
	catalog := open(t)
	golden.Walk(t, "testdata", func(t *testing.T, path string) {
		golden.Run(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f := params
			lang := path[strings.LastIndexByte(path, '/')+1:]
			for _, a := range d.CmdArgs[1:] {
				switch a.Key {
				case "in":
					lang = a.Vals[0]
				case "session":
					f.Session = a.Vals[0]
				case "method":
					f.Method = a.Vals[0]
				case "missed":
					a.Scan(t, 0, &f.Missed)
				case "amount":
					a.Scan(t, 0, &f.Amount)
				case "currency":
					f.Currency = a.Vals[0]
				case "student":
					f.Student = strings.Join(a.Vals, " ")
				case "term":
					f.Term = domain.Label(a.Vals[0])
				case "title":
					f.Title = strings.Join(a.Vals, " ")
				case "nolink":
					f.Link = ""
				default:
					d.Fatalf(t, "unknown argument %s", a.Key)
				}
			}
			m, err := catalog.Render(d.CmdArgs[0].Key, lang, f)
			if err != nil {
				return err.Error() + "\n"
			}
			count := segment.Of(segment.Plain(m.Text))
			return fmt.Sprintf("%s\n---- %d %s, %d units\n%s\n----\n%s\n", m.Title, count.Segments,
				count.Encoding, count.Units, m.Text, m.Body)
		})
	})
}

// A message speaks with the school's voice, so that a name must not lead its readers anywhere.
func TestLinksInNamesDoNotReachMessages(t *testing.T) {
	t.Parallel()
	catalog := open(t)
	f := params
	f.Student = "Pay now at https://evil.example/pay or www.evil.example"
	f.Sender, f.Class = "Oak evil.example", "7A http://evil.example"
	for _, kind := range wording.Messages() {
		m, err := catalog.Render(kind, "en", f)
		require.NoError(t, err)
		for _, text := range []string{m.Title, m.Text, m.Body} {
			require.NotContains(t, text, "evil.example", kind)
			require.NotContains(t, text, "http://", kind)
		}
	}
	f.Student = "J.R. St. Clair-O'Neil Jr."
	m, err := catalog.Render(wording.Absence, "en", f)
	require.NoError(t, err)
	require.Contains(t, m.Text, f.Student, "names stay as they are")
}

func TestEveryLanguageHasAllMessages(t *testing.T) {
	t.Parallel()
	catalog := open(t)
	require.GreaterOrEqual(t, len(catalog.Languages()), 4)
	for _, tag := range catalog.Languages() {
		for _, message := range wording.Messages() {
			for n := range 250 { // every form of the plural, also of halves and hundredths
				f := params
				f.Missed = []float64{float64(n), float64(n) + 0.5, float64(n) / 100}[n%3]
				m, err := catalog.Render(message, tag.String(), f)
				require.NoError(t, err)
				require.Equal(t, tag, m.Language)
				for _, part := range []string{m.Title, m.Text, m.Body} {
					require.NotEmpty(t, part)
					require.NotContains(t, part, "<no value>")
					require.NotContains(t, part, "%!")
				}
				require.NotContains(t, m.Title, "\n")
				require.NotContains(t, m.Text, "\n")
				if message != wording.Announcement {
					require.LessOrEqual(t, segment.Of(m.Text).Segments, 3,
						"%s in %s costs too much: %s", message, tag, m.Text)
				}
			}
		}
	}
}

// A translator sees here which words of a language file are missing, left over or have lost a %s.
func TestEveryLanguageHasAllWords(t *testing.T) {
	t.Parallel()
	catalog := open(t)
	english := keys(t, "en")
	require.Greater(t, len(english), 60)
	for _, tag := range catalog.Languages() {
		words := catalog.Words(tag.String())
		require.Equal(t, tag, words.Language)
		require.Equal(t, english, keys(t, tag.String()), tag)
		for _, key := range english {
			want, _ := catalog.Words("en").Lookup(key)
			got, ok := words.Lookup(key)
			require.True(t, ok)
			require.Equal(t, strings.Count(want, "%s"), strings.Count(got, "%s"), "%s: %s",
				tag, key)
		}
	}
	require.Panics(t, func() { catalog.Words("en").Text("nonsense") })
}

// keys lists the keys of the words in a language file, in its order.
func keys(t *testing.T, lang string) (keys []string) {
	content, err := os.ReadFile("languages/" + lang + ".tmpl")
	require.NoError(t, err)
	_, block, ok := strings.Cut(string(content), `{{define "words"}}`)
	require.True(t, ok)
	block, _, _ = strings.Cut(block, "{{end}}")
	for line := range strings.Lines(block) {
		if key, _, ok := strings.Cut(line, ": "); ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestTheNearestLanguageIsUsed(t *testing.T) {
	t.Parallel()
	catalog := open(t)
	for wanted, want := range map[string]language.Tag{
		"": language.English, "en-GB": language.English, "es-419": language.Spanish,
		"fr-CA": language.French,
		"ar-MA": language.Arabic, "pt-BR": language.Portuguese, "tlh": language.English,
		"zz-99":     language.English,
		"not a tag": language.English, "gl": language.Spanish,
	} {
		m, err := catalog.Render(wording.Absence, wanted, params)
		require.NoError(t, err)
		require.Equal(t, want, m.Language, wanted)
		require.Equal(t, want == language.Arabic, m.RightToLeft)
	}
	_, err := catalog.Render("nonsense", "en", params)
	require.ErrorIs(t, err, wording.ErrUnknown)
}

func TestParamsSurviveTheLedger(t *testing.T) {
	t.Parallel()
	encoded := append([]byte(`{"something_else":[1,"two"],`), params.Encode()[1:]...)
	got, err := wording.DecodeParams(encoded)
	require.NoError(t, err)
	require.Equal(t, params, got)
	require.Equal(t, "{}", wording.Params{}.Encode().String())
}

func open(t *testing.T) *wording.Catalog {
	t.Helper()
	catalog, err := wording.Open()
	require.NoError(t, err)
	return catalog
}
