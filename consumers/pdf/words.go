package pdf

import (
	"unicode"
	"unicode/utf8"

	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
)

// word returns a fixed word of the document's language, with args in place of its %s. A test checks
// that the keys in this package are those of the language files.
func (s *sheet) word(key string, args ...any) string { return s.words.Text(key, args...) }

// named returns the word of a known value, such as a method of payment, and else the value itself
// as a heading: schools use values of their own.
func (s *sheet) named(prefix, value string) string {
	if text, ok := s.words.Lookup(prefix + value); ok {
		return text
	}
	return heading(value)
}

// heading capitalizes a name: schools write "maths" and "autumn" in their events.
func heading(name string) string {
	first, size := utf8.DecodeRuneInString(name)
	if size == 0 || !unicode.IsLower(first) {
		return name
	}
	// The title case: Georgian has capitals, but begins no word with them.
	return string(unicode.ToTitle(first)) + name[size:]
}

// termOf returns the name of a term: "Term 1" where a school only numbers its terms.
func (s *sheet) termOf(term domain.Label) string {
	name := string(term)
	if wording.Numbered(term) {
		return s.word("term", name)
	}
	return heading(name)
}
