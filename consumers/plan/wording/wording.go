// Package wording holds all text that families read, in every language: one file for each language
// with the templates of the messages and the words of documents, with plurals by the rules of CLDR,
// and dates, amounts of money and numbers as the language writes them.
//
// A message has a title, a short text for channels where each character costs or space is scarce,
// and a body for those with room. [Catalog.Render] writes it for a delivery; [Catalog.Words] gives
// the labels that package pdf lays out.
//
// The first change: to add a language, add its file and its calendar; to add a message, add it to
// [Messages] and to every file. Tests name what is missing.
package wording

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"text/template"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/text/language"

	"github.com/schoolbell/schoolbell/domain"
)

// The messages.
const (
	Absence          = "absence"
	AbsenceCorrected = "absence_corrected"
	ChronicAbsence   = "chronic_absence"
	Invoice          = "invoice"
	FeeReminder      = "fee_reminder"
	Receipt          = "receipt"
	Reversal         = "reversal"
	Statement        = "statement"
	Results          = "results"
	ResultsCorrected = "results_corrected"
	Announcement     = "announcement"
)

// Messages lists all messages.
func Messages() []string {
	return []string{
		Absence, AbsenceCorrected, ChronicAbsence, Invoice, FeeReminder, Receipt, Reversal,
		Statement, Results, ResultsCorrected, Announcement,
	}
}

// Params are the parameters of messages. Each message uses a few of them.
type Params struct {
	Sender   string       `json:"sender,omitzero"` // the school, by the name that it gives itself
	Student  string       `json:"student,omitzero"`
	Class    string       `json:"class,omitzero"`
	Date     domain.Date  `json:"date,omitzero"`
	Session  string       `json:"session,omitzero"`
	Missed   float64      `json:"missed,omitzero"` // days
	Days     float64      `json:"days,omitzero"`   // of school
	Invoice  string       `json:"invoice,omitzero"`
	Payment  string       `json:"payment,omitzero"`
	Category string       `json:"category,omitzero"`
	Amount   int64        `json:"amount,omitzero"`
	Currency string       `json:"currency,omitzero"`
	DueOn    domain.Date  `json:"due_on,omitzero"`
	Method   string       `json:"method,omitzero"`
	Year     domain.Label `json:"year,omitzero"`
	Term     domain.Label `json:"term,omitzero"`
	Title    string       `json:"title,omitzero"`
	Body     string       `json:"body,omitzero"`
	// Of are the students through whom the recipient of an announcement is one.
	Of []string `json:"of,omitempty"`
	// to a document; set only when the message is sent, as it expires
	Link string `json:"link,omitzero"`
}

// Encode returns the parameters as a delivery carries them: a JSON object.
func (f Params) Encode() jsontext.Value {
	encoded, err := json.Marshal(f)
	if err != nil {
		panic(err) // plain fields; a text that is not UTF-8 does not pass validation
	}
	return encoded
}

// DecodeParams reads what Encode wrote, which is nothing for a message without parameters. Other
// members are ignored.
func DecodeParams(params jsontext.Value) (f Params, err error) {
	if params == nil {
		return f, nil
	}
	if err := json.Unmarshal(params, &f); err != nil {
		return Params{}, fmt.Errorf("read the parameters of a message: %w", err)
	}
	return f, nil
}

// Message is a rendered message.
type Message struct {
	Language    language.Tag
	RightToLeft bool   // it is written from right to left
	Title       string // one line
	Text        string // short, with the name of the sender
	Body        string // complete, several lines
	Link        string // to a document, or ""
}

// ErrUnknown reports a message that does not exist.
var ErrUnknown = errors.New("unknown message")

// Catalog holds all messages and words in all languages. Any number of goroutines may use it.
type Catalog struct {
	languages []translation // English first: the fallback
	matcher   language.Matcher
	regions   sync.Map // of *template.Template by tag: numbers differ between ar and ar-MA
}

// translation is the file of one language.
type translation struct {
	tag       language.Tag
	templates *template.Template
	words     map[string]string
}

//go:embed languages
var files embed.FS

// Open reads the language files that are embedded in the program.
func Open() (*Catalog, error) {
	names, err := fs.Glob(files, "languages/*.tmpl")
	if err != nil {
		return nil, err
	}
	c := &Catalog{}
	tags := []language.Tag{language.English}
	for _, name := range names {
		tag := language.Make(strings.TrimSuffix(path.Base(name), ".tmpl"))
		if tag != language.English {
			tags = append(tags, tag)
		}
	}
	for _, tag := range tags {
		name := tag.String() + ".tmpl"
		t, err := template.New(name).Funcs(functions(tag)).ParseFS(files, "languages/"+name)
		if err != nil {
			return nil, fmt.Errorf("read the messages in %s: %w", tag, err)
		}
		words, err := parseWords(t)
		if err != nil {
			return nil, fmt.Errorf("read the words in %s: %w", tag, err)
		}
		c.languages = append(c.languages, translation{tag, t, words})
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

// Languages lists the languages of the catalog, the fallback first.
func (c *Catalog) Languages() []language.Tag {
	var tags []language.Tag
	for _, t := range c.languages {
		tags = append(tags, t.tag)
	}
	return tags
}

// Render writes a message in the best match for the wanted language, a BCP 47 tag; English is the
// fallback. The error is [ErrUnknown] when there is no such message.
func (c *Catalog) Render(message, wanted string, p Params) (Message, error) {
	for _, name := range []*string{&p.Sender, &p.Student, &p.Class, &p.Category, &p.Method} {
		*name = withoutLinks(*name)
	}
	t, local := c.match(wanted)
	templates, err := c.localized(t, local)
	if err != nil {
		return Message{}, err
	}
	m := Message{Language: t.tag, RightToLeft: rightToLeft(t.tag), Link: p.Link}
	for part, to := range map[string]*string{"title": &m.Title, "text": &m.Text, "body": &m.Body} {
		name := message + "." + part
		if templates.Lookup(name) == nil {
			return Message{}, fmt.Errorf("%w: %s in %s", ErrUnknown, name, t.tag)
		}
		var out strings.Builder
		if err := templates.ExecuteTemplate(&out, name, p); err != nil {
			return Message{}, fmt.Errorf("write message %s in %s: %w", message, t.tag, err)
		}
		*to = strings.TrimSpace(out.String())
	}
	m.Title = strings.Join(strings.Fields(m.Title), " ")
	return m, nil
}

// match finds the translation for the wanted languages, and its tag with the country of a single
// wanted one, by which numbers are written. What cannot be parsed wants nothing: people send any
// text as their language, and are to get their message all the same.
func (c *Catalog) match(wanted string) (t translation, local language.Tag) {
	tags, _, _ := language.ParseAcceptLanguage(wanted)
	_, i, _ := c.matcher.Match(tags...)
	t = c.languages[i]
	if len(tags) == 1 {
		if region, confidence := tags[0].Region(); confidence == language.Exact {
			if composed, err := language.Compose(t.tag, region); err == nil {
				return t, composed
			}
		}
	}
	return t, t.tag
}

// localized returns the templates of a language with the functions of a country. They are cloned
// once for each country that occurs.
func (c *Catalog) localized(t translation, local language.Tag) (*template.Template, error) {
	if local == t.tag {
		return t.templates, nil
	}
	if cached, ok := c.regions.Load(local); ok {
		return cached.(*template.Template), nil
	}
	clone, err := t.templates.Clone()
	if err != nil {
		return nil, fmt.Errorf("localize %s: %w", local, err)
	}
	c.regions.Store(local, clone.Funcs(functions(local)))
	return clone, nil
}

// rightToLeft goes by the script of a language, not by a list of languages.
func rightToLeft(tag language.Tag) bool {
	script, _ := tag.Script()
	switch script.String() {
	case "Arab", "Hebr", "Thaa", "Syrc", "Nkoo":
		return true
	}
	return false
}
