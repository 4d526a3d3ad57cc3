// Package wording holds what Schoolbell says, in every language that it speaks: a folder of templates, one file for each
// language, with plurals by the rules of CLDR, dates, amounts of money and numbers as the language writes them.
//
// A message has a title, a short text for channels where each character costs or space is scarce, and a body where
// there is room. To add a language, add its file and its calendar; to add a message, add it to all files. Tests say
// what is missing.
package wording

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"text/template"

	"github.com/go-json-experiment/json"
	"golang.org/x/text/language"

	"github.com/schoolbell/schoolbell/domain"
)

// The messages.
const (
	Absence        = "absence"
	ChronicAbsence = "chronic_absence"
	Invoice        = "invoice"
	FeeReminder    = "fee_reminder"
	Receipt        = "receipt"
	Statement      = "statement"
	Results        = "results"
	Announcement   = "announcement"
)

// Messages lists them all.
func Messages() []string {
	return []string{Absence, ChronicAbsence, Invoice, FeeReminder, Receipt, Statement, Results, Announcement}
}

// Params are what messages tell. Each message uses a few of them.
type Params struct {
	Sender   string       `json:"sender,omitzero"` // the school, by the name that it gives itself
	Student  string       `json:"student,omitzero"`
	Class    string       `json:"class,omitzero"`
	Date     domain.Date  `json:"date,omitzero"`
	Session  string       `json:"session,omitzero"`
	Missed   int64        `json:"missed,omitzero"`
	Marks    int64        `json:"marks,omitzero"`
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
	Link     string       `json:"link,omitzero"` // to a document; known only when the message is sent
}

// Encode returns the facts as a delivery carries them: text, numbers and booleans by name.
func (f Params) Encode() map[string]any {
	encoded, err := json.Marshal(f)
	if err != nil {
		panic(err) // plain fields; a text that is not UTF-8 does not pass validation
	}
	var params map[string]any
	if err := json.Unmarshal(encoded, &params); err != nil {
		panic(err)
	}
	return params
}

// DecodeParams reads what Params wrote. Other parameters are left aside.
func DecodeParams(params map[string]any) (Params, error) {
	var f Params
	encoded, err := json.Marshal(params)
	if err == nil {
		err = json.Unmarshal(encoded, &f)
	}
	if err != nil {
		return Params{}, fmt.Errorf("read the facts of a message: %w", err)
	}
	return f, nil
}

// Message is what is said, in one language.
type Message struct {
	Language    language.Tag
	RightToLeft bool   // it is written from right to left
	Title       string // one line
	Text        string // short, and says who sends it
	Body        string // in full, as lines
	Link        string // to a document, if it tells of one
}

// ErrUnknown says that there is no such message.
var ErrUnknown = errors.New("message is not known")

// Catalog is all messages in all languages.
type Catalog struct {
	languages []translation
	matcher   language.Matcher
	regions   sync.Map // of *template.Template by tag: how numbers are written differs between ar and ar-MA
}

// translation is one language.
type translation struct {
	tag       language.Tag
	templates *template.Template
}

//go:embed languages
var files embed.FS

// Open reads the templates that come with the program.
func Open() (*Catalog, error) {
	names, err := fs.Glob(files, "languages/*.tmpl")
	if err != nil {
		return nil, err
	}
	b := &Catalog{}
	tags := []language.Tag{language.English} // what somebody gets whose language is not spoken
	for _, name := range names {
		if tag := language.Make(strings.TrimSuffix(path.Base(name), ".tmpl")); tag != language.English {
			tags = append(tags, tag)
		}
	}
	for _, tag := range tags {
		source, err := files.ReadFile("languages/" + tag.String() + ".tmpl")
		if err != nil {
			return nil, err
		}
		t, err := template.New(tag.String()).Funcs(functions(tag)).Parse(string(source))
		if err != nil {
			return nil, fmt.Errorf("read the messages in %s: %w", tag, err)
		}
		b.languages = append(b.languages, translation{tag, t})
	}
	b.matcher = language.NewMatcher(tags)
	return b, nil
}

// Languages lists those that are spoken, the one of last resort first.
func (b *Catalog) Languages() []language.Tag {
	var tags []language.Tag
	for _, s := range b.languages {
		tags = append(tags, s.tag)
	}
	return tags
}

// Render writes a message in a language, or the nearest to it that is spoken.
func (b *Catalog) Render(message, wanted string, f Params) (Message, error) {
	tag, err := language.Parse(wanted)
	if err != nil {
		tag = language.Und // a well-formed tag may name a language that does not exist
	}
	_, i, _ := b.matcher.Match(tag)
	s := b.languages[i]
	templates, err := b.localized(s, tag)
	if err != nil {
		return Message{}, err
	}
	m := Message{Language: s.tag, RightToLeft: rightToLeft(s.tag), Link: f.Link}
	for part, to := range map[string]*string{"title": &m.Title, "text": &m.Text, "body": &m.Body} {
		name := message + "." + part
		if templates.Lookup(name) == nil {
			return Message{}, fmt.Errorf("%w: %s in %s", ErrUnknown, name, s.tag)
		}
		var out bytes.Buffer
		if err := templates.ExecuteTemplate(&out, name, f); err != nil {
			return Message{}, fmt.Errorf("write message %s in %s: %w", message, s.tag, err)
		}
		*to = strings.TrimSpace(out.String())
	}
	m.Title = strings.Join(strings.Fields(m.Title), " ")
	return m, nil
}

// localized returns the templates of a language as they are read in the country of a tag.
func (b *Catalog) localized(s translation, wanted language.Tag) (*template.Template, error) {
	region, confidence := wanted.Region()
	if confidence != language.Exact {
		return s.templates, nil
	}
	tag, err := language.Compose(s.tag, region)
	if err != nil {
		return nil, fmt.Errorf("speak %s in %s: %w", s.tag, region, err)
	}
	if t, ok := b.regions.Load(tag); ok {
		return t.(*template.Template), nil
	}
	t, err := s.templates.Clone()
	if err != nil {
		return nil, fmt.Errorf("speak %s: %w", tag, err)
	}
	b.regions.Store(tag, t.Funcs(functions(tag)))
	return t, nil
}

func rightToLeft(tag language.Tag) bool {
	script, _ := tag.Script()
	switch script.String() {
	case "Arab", "Hebr", "Thaa", "Syrc", "Nkoo":
		return true
	}
	return false
}
