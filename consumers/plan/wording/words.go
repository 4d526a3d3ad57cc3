package wording

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"golang.org/x/text/language"
)

// Words are the fixed words of one language: the labels of documents and the pages that explain why
// a link does not work. They stand next to the messages, in the block "words" of the language's
// file, one "key: text" on each line, so that a translator edits a single file.
type Words struct {
	Language    language.Tag
	RightToLeft bool
	Grammar     *Grammar // for the country that was requested
	texts       map[string]string
}

// Words returns the words of the best match for the wanted languages: a BCP 47 tag or the value of
// an Accept-Language header. English is the fallback.
func (c *Catalog) Words(wanted string) *Words {
	t, local := c.match(wanted)
	return &Words{
		Language: t.tag, RightToLeft: rightToLeft(t.tag), Grammar: NewGrammar(local),
		texts: t.words,
	}
}

// Lookup returns the text of a key, if there is one.
func (w *Words) Lookup(key string) (text string, ok bool) {
	text, ok = w.texts[key]
	return text, ok
}

// Text returns the text of a key with args in place of its %s. It panics on a key that the language
// lacks: keys are constants in the code, and a test compares them with every language's file.
func (w *Words) Text(key string, args ...any) string {
	text, ok := w.texts[key]
	if !ok {
		panic(fmt.Sprintf("wording: %s has no word %q", w.Language, key))
	}
	if len(args) == 0 {
		return text
	}
	return fmt.Sprintf(text, args...)
}

// parseWords reads the block "words" of a language's file.
func parseWords(t *template.Template) (map[string]string, error) {
	var block strings.Builder
	if err := t.ExecuteTemplate(&block, "words", nil); err != nil {
		return nil, err
	}
	words := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(block.String()))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		key, text, ok := strings.Cut(line, ": ")
		if !ok || words[key] != "" {
			return nil, fmt.Errorf("words: %q is not a new key and its text", line)
		}
		words[key] = text
	}
	if len(words) == 0 {
		return nil, errors.New("words: the block is empty")
	}
	return words, lines.Err()
}
