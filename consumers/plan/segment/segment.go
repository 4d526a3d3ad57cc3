// Package segment counts what a text costs as an SMS: the encoding that it needs and the number of
// messages that the network sends for it, exactly as handsets and providers count (3GPP TS 23.038
// and 23.040).
//
// A text of characters of the GSM 7-bit alphabet takes one septet for each, or two for those of the
// extension table; 160 septets fit into one message. Any other character turns the whole text into
// UCS-2, of which 70 code units fit. A longer text is sent in parts, each with a header of six
// bytes for putting them together again: 153 septets or 67 code units remain. A character of two
// units is never split between parts.
//
// [Plain] and [Fit] make a text cheaper, [Of] counts it. The first change: another replacement for
// an expensive character is a pair in typewriter.
package segment

import (
	"strings"
	"unicode/utf8"
)

// Encoding is the alphabet of an SMS.
type Encoding string

// The encodings.
const (
	GSM7 Encoding = "gsm7"
	UCS2 Encoding = "ucs2"
)

// The capacity of a single message, and of one part of several.
const (
	gsmSingle, gsmPart = 160, 153
	ucsSingle, ucsPart = 70, 67
)

// Count is the cost of a text.
type Count struct {
	Encoding Encoding
	Units    int // septets or UCS-2 code units, without headers
	Segments int // messages to pay for
}

// Of counts a text. An empty text is one message without content.
func Of(text string) Count {
	encoding, units := measure(text)
	single, part := limits(encoding)
	if units <= single {
		return Count{encoding, units, 1}
	}
	segments, room := 1, part
	for _, r := range text {
		n := width(encoding, r)
		if n > room {
			segments, room = segments+1, part
		}
		room -= n
	}
	return Count{encoding, units, segments}
}

// Fit shortens a text to at most this many messages, at the end of a word if there is one nearby,
// and ends it with three full stops. A text that fits is returned unchanged.
func Fit(text string, segments int) string {
	if segments < 1 || Of(text).Segments <= segments {
		return text
	}
	const mark = "..."
	// Of two beginnings of a text the longer never takes fewer messages, so the longest that fits
	// is found by halving. The ends are counted in bytes and moved to the next boundary of a
	// character.
	fits, fails := 0, len(text)
	for fails-fits > 1 {
		middle := (fits + fails) / 2
		end := middle
		for end < fails && !utf8.RuneStart(text[end]) {
			end++
		}
		if end == fails {
			fails = middle
			continue
		}
		if Of(text[:end]+mark).Segments <= segments {
			fits = end
		} else {
			fails = middle
		}
	}
	for fits > 0 && !utf8.RuneStart(text[fits]) {
		fits--
	}
	short := text[:fits]
	if i := strings.LastIndexAny(short, " \n"); i > fits*3/4 {
		short = short[:i]
	}
	return strings.TrimRight(short, " \n.,;:") + mark
}

// Plain replaces typographic characters that the GSM alphabet lacks, such as curly quotation marks
// and long dashes, by plain ones, if the text can then be sent in the GSM alphabet. Otherwise it
// would be no cheaper, and is returned unchanged. Letters are never replaced: a name keeps its
// spelling.
func Plain(text string) string {
	if encoding, _ := measure(text); encoding == GSM7 {
		return text
	}
	plain := typewriter.Replace(text)
	if encoding, _ := measure(plain); encoding == GSM7 {
		return plain
	}
	return text
}

var typewriter = strings.NewReplacer(
	"‘", "'", "’", "'", "‚", "'", "‛", "'", "′", "'", "`", "'", "´", "'",
	"“", `"`, "”", `"`, "„", `"`, "‟", `"`, "″", `"`, "«", `"`, "»", `"`,
	"‐", "-", "‑", "-", "‒", "-", "–", "-", "—", "-", "−", "-",
	"…", "...", "•", "*", "·", ".",
	"\u00a0", " ", "\u2007", " ", "\u2009", " ", "\u200a", " ", "\u202f", " ", "\t", " ",
	"\u200b", "", "\ufeff", "", "\u00ad", "",
)

// measure chooses the encoding: one character outside the GSM alphabet turns the whole text into
// UCS-2.
func measure(text string) (Encoding, int) {
	septets, units, gsm := 0, 0, true
	for _, r := range text {
		n := width(GSM7, r)
		gsm = gsm && n > 0
		septets += n
		units += width(UCS2, r)
	}
	if gsm {
		return GSM7, septets
	}
	return UCS2, units
}

func limits(e Encoding) (single, part int) {
	if e == GSM7 {
		return gsmSingle, gsmPart
	}
	return ucsSingle, ucsPart
}

// width is the number of units of a character; 0 when the encoding lacks it.
func width(e Encoding, r rune) int {
	if e == UCS2 {
		if r > 0xffff {
			return 2 // a surrogate pair
		}
		return 1
	}
	switch {
	case strings.ContainsRune(basic, r):
		return 1
	case strings.ContainsRune(extension, r):
		return 2 // it is preceded by an escape
	}
	return 0
}

// The alphabet of 3GPP TS 23.038, without the escape, which is not a character.
const (
	basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ" +
		" !\"#¤%&'()*+,-./0123456789:;<=>?" +
		"¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§" +
		"¿abcdefghijklmnopqrstuvwxyzäöñüà"
	extension = "\f^{}\\[~]|€"
)
