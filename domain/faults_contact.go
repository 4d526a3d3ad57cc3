package domain

import (
	"net/url"
	"strings"
)

// Checks of how somebody or something is reached: addresses, numbers, languages and hashes.

// OptionalURL checks an absolute http or https address that may be absent.
func (f *Faults) OptionalURL(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxLength: 2 * MaxTextLength, Format: FormatURL})
	}
	if v == "" {
		return
	}
	u, err := url.Parse(v)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" ||
		len(v) > 2*MaxTextLength {
		f.Add(pointer, "must be an absolute http or https URL of at most %d bytes", 2*MaxTextLength)
	}
}

// phoneMarks are what telephones and word processors put into a number that is copied from them:
// spaces that do not break, and marks of the direction of writing.
const phoneMarks = "\u00a0\u2007\u202f\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"

// OptionalPhone checks a telephone number that may be absent: as written, with at least three
// digits.
func (f *Faults) OptionalPhone(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{Format: FormatPhone})
	}
	if v == "" {
		return
	}
	digits := 0
	for _, r := range v {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+()-./ x"+phoneMarks, r):
			f.Add(pointer, "must be a telephone number: digits, spaces and + ( ) - . / x")
			return
		}
	}
	if digits < 3 || digits > 20 {
		f.Add(pointer, "must have 3 to 20 digits")
	}
}

// OptionalEmail checks the shape of an e-mail address that may be absent.
func (f *Faults) OptionalEmail(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MaxLength: maxEmailLength, Format: FormatEmail})
	}
	if v == "" {
		return
	}
	local, host, ok := strings.Cut(v, "@")
	if !ok || local == "" || !strings.Contains(host, ".") ||
		!f.Day.IsZero() && strings.Contains(host, "@") || // the log has had those
		strings.ContainsAny(v, " <>,;\t\r\n") ||
		len(v) > maxEmailLength || !printable(v) {
		f.Add(pointer, "must be an e-mail address, for example name@example.org")
	}
}

// OptionalLanguage checks the shape of a BCP 47 language tag that may be absent.
func (f *Faults) OptionalLanguage(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{Format: FormatLanguage})
	}
	if v == "" {
		return
	}
	for i, part := range strings.Split(v, "-") {
		alnum := strings.Trim(strings.ToLower(part), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
		if !alnum || len(part) > 8 || part == "" || (i == 0 && len(part) < 2) {
			f.Add(pointer, "must be a BCP 47 language tag, for example es or pt-BR")
			return
		}
	}
}

// SHA256 checks a hash in its text form: 64 hexadecimal digits in lower case.
func (f *Faults) SHA256(pointer, v string) {
	if f.rules != nil {
		f.rules(pointer, Rule{MinLength: 64, MaxLength: 64, Format: FormatSHA256})
	}
	if len(v) != 64 || strings.Trim(v, "0123456789abcdef") != "" {
		f.Add(pointer, "must be 64 hexadecimal digits in lower case")
	}
}
