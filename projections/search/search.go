// Package search makes the keys by which names are found, however they are written: in capitals or
// small letters, with or without accents, apostrophes and hyphens, and, in scripts that write no
// spaces, with or without one between the names.
//
// A fold stores [Key] in a column, and a query looks for each of the [Words] that were typed within
// it. Both go through the same folding, so that a change of it needs a new version of the folds. The
// first change for a letter that is not found is a line of letters.
package search

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// letters are those that people type for one another and that have no decomposition into one
// another. Case folding comes first, so that small letters suffice.
var letters = map[rune]string{
	'ł': "l", 'ø': "o", 'đ': "d", 'ð': "d", 'ħ': "h", 'ŧ': "t", 'ı': "i", 'ŋ': "n", 'ɓ': "b",
	'ɗ': "d", 'ƙ': "k", 'ə': "e", 'þ': "th", 'æ': "ae", 'œ': "oe", 'ĸ': "k",
	// Cyrillic and Arabic letters whose variants follow the keyboard rather than the name
	'ґ': "г", 'ى': "ي", 'ی': "ي", 'ې': "ي", 'ک': "ك", 'ة': "ه", 'ہ': "ه", 'ە': "ه",
	'ـ': "", // only widens a word
}

// apostrophes of all kinds, and letters and accents that stand for them.
const apostrophes = "'’‘‛`´ʼʻʽʾʿʹˈ′＇՚׳"

// Fold returns a text as it is compared and sorted: case folded, without marks on letters,
// apostrophes and hyphens, and with one space between words.
func Fold(text string) string {
	if plain(text) {
		return strings.Join(strings.Fields(strings.ToLower(text)), " ")
	}
	// before decomposition, which makes a space of some of them
	text = strings.Map(func(r rune) rune {
		if ignored(r) {
			return -1
		}
		return r
	}, text)
	// folding composes some letters and decomposes others
	text = norm.NFKD.String(cases.Fold().String(norm.NFKD.String(text)))
	var b strings.Builder
	b.Grow(len(text))
	for _, r := range text {
		r = unicode.ToLower(r) // of Cherokee the library folds small letters to capitals, and back
		switch other, isVariant := letters[r]; {
		case isVariant:
			b.WriteString(other)
		case !accent(r) && !ignored(r): // some of what is ignored is within other characters
			b.WriteRune(r)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// plain says that a text needs no more than small letters.
func plain(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 || ignored(r) })
}

func ignored(r rune) bool {
	return strings.ContainsRune(apostrophes, r) || unicode.In(r, unicode.Pd, unicode.Cf) ||
		r == '·' || r == '・' || r == '−'
}

// accent tells marks on letters from the vowels of scripts that write them as marks, and from the
// marks by which kana are different syllables.
func accent(r rune) bool {
	return unicode.Is(unicode.Mn, r) && unicode.In(r, unicode.Inherited, unicode.Hebrew) &&
		r != '\u3099' && r != '\u309a'
}

// Key returns what the words of a search are found in: each part, such as a family name or an id,
// without the spaces in it. Where a script writes none between family and given names, they follow
// one another in both orders too.
func Key(family, given string, others ...string) string {
	parts := []string{joined(family), joined(given)}
	if unspaced(parts[0]) && unspaced(parts[1]) {
		parts = append(parts, parts[0]+parts[1]+parts[0])
	}
	for _, other := range others {
		parts = append(parts, joined(other))
	}
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), " ")
}

func joined(text string) string { return strings.ReplaceAll(Fold(text), " ", "") }

func unspaced(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool {
		return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
			unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan)
	})
}

// Words returns what must all be found in a key, the longest first, as it finds the fewest.
func Words(typed string) []string {
	words := strings.Fields(Fold(typed))
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	return words
}

// In says whether all words are found in a key.
func In(key string, words []string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(key, w) })
}

// Patterns turns words into patterns for LIKE.
func Patterns(words []string) []string {
	escape := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)
	patterns := make([]string, len(words))
	for i, w := range words {
		patterns[i] = "%" + escape.Replace(w) + "%"
	}
	return patterns
}
