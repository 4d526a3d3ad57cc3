package wording_test

import (
	"fmt"
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

var facts = wording.Params{
	Sender: "Oak", Student: "Ada King", Class: "7A", Date: domain.NewDate(2026, 8, 31), Session: "day",
	Missed: 3, Marks: 1200, Invoice: "INV-7", Payment: "PAY-9", Category: "tuition", Amount: 123450, Currency: "EUR",
	DueOn: domain.NewDate(2026, 9, 15), Method: "mobile_money", Year: "2026-2027", Term: "autumn",
	Title: "Closed tomorrow", Body: "The school stays closed.", Link: "https://oak.example/d/1",
}

// Each file of testdata is a language, with every message as somebody will read it:
//
//	say <message> [language] [name=value…]
func TestGoldenMessages(t *testing.T) {
	t.Parallel()
	book := open(t)
	golden.Walk(t, "testdata", func(t *testing.T, path string) {
		golden.Run(t, path, func(t *testing.T, d *datadriven.TestData) string {
			f := facts
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
					d.Fatalf(t, "%s is not known", a.Key)
				}
			}
			m, err := book.Render(d.CmdArgs[0].Key, lang, f)
			if err != nil {
				return err.Error() + "\n"
			}
			count := segment.Of(segment.Plain(m.Text))
			return fmt.Sprintf("%s\n---- %d %s, %d units\n%s\n----\n%s\n", m.Title, count.Segments, count.Encoding, count.Units, m.Text, m.Body)
		})
	})
}

func TestEveryLanguageSaysEverything(t *testing.T) {
	t.Parallel()
	book := open(t)
	require.GreaterOrEqual(t, len(book.Languages()), 4)
	for _, tag := range book.Languages() {
		for _, message := range wording.Messages() {
			for n := range int64(250) { // every form of the plural
				f := facts
				f.Missed = n
				m, err := book.Render(message, tag.String(), f)
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
					require.LessOrEqual(t, segment.Of(m.Text).Segments, 3, "%s in %s costs too much: %s", message, tag, m.Text)
				}
			}
		}
	}
}

func TestTheNearestLanguageIsSpoken(t *testing.T) {
	t.Parallel()
	book := open(t)
	for wanted, spoken := range map[string]language.Tag{
		"": language.English, "en-GB": language.English, "es-419": language.Spanish, "fr-CA": language.French,
		"ar-MA": language.Arabic, "pt-BR": language.Portuguese, "tlh": language.English, "zz-99": language.English,
		"not a tag": language.English, "gl": language.Spanish,
	} {
		m, err := book.Render(wording.Absence, wanted, facts)
		require.NoError(t, err)
		require.Equal(t, spoken, m.Language, wanted)
		require.Equal(t, spoken == language.Arabic, m.RightToLeft)
	}
	_, err := book.Render("nonsense", "en", facts)
	require.ErrorIs(t, err, wording.ErrUnknown)
}

func TestFactsSurviveTheLedger(t *testing.T) {
	t.Parallel()
	params := facts.Encode()
	params["something_else"] = []any{1.0, "two"}
	got, err := wording.DecodeParams(params)
	require.NoError(t, err)
	require.Equal(t, facts, got)
	require.Empty(t, wording.Params{}.Encode())
}

func open(t *testing.T) *wording.Catalog {
	t.Helper()
	book, err := wording.Open()
	require.NoError(t, err)
	return book
}
