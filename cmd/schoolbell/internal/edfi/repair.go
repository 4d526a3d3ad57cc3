package edfi

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/schoolbell/schoolbell/domain"
)

// What the API would refuse is repaired here where its meaning is clear. Each function reports
// whether it had to change more than white space.

// repairText makes s printable text of at most limit bytes.
func repairText(s string, limit int) (repaired string, changed bool) {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
		case unicode.IsControl(r) || r == utf8.RuneError:
			changed = true
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			b.WriteRune(r)
		}
	}
	repaired = b.String()
	if len(repaired) > limit {
		cut := limit
		for !utf8.RuneStart(repaired[cut]) {
			cut--
		}
		repaired, changed = strings.TrimRight(repaired[:cut], " "), true
	}
	return repaired, changed
}

// repairID makes s an identifier. One that is too long keeps its beginning and ends in a hash of
// the whole, so that two different ones stay different.
func repairID(s string) (repaired string, changed bool) {
	repaired, changed = repairText(s, len(s)+1)
	if len(repaired) > domain.MaxIDLength {
		sum := sha256.Sum256([]byte(repaired))
		head, _ := repairText(repaired, domain.MaxIDLength-17)
		repaired, changed = head+"-"+hex.EncodeToString(sum[:8]), true
	}
	return repaired, changed
}

// repairPhone keeps what belongs to a phone number: digits of any script become ASCII digits and
// every spelling of "extension" becomes "x". It returns "" when the rest cannot be dialled.
func repairPhone(s string) (repaired string, changed bool) {
	var b strings.Builder
	digits := 0
	for i, r := range s {
		switch {
		case unicode.IsDigit(r):
			b.WriteByte(byte('0' + digitValue(r)))
			digits++
		case strings.ContainsRune("+()-./ ", r):
			b.WriteRune(r)
		case (r == 'e' || r == 'E' || r == 'x' || r == 'X' || r == '#') && digits > 0 &&
			!strings.Contains(b.String(), "x") && startsExtension(s[i:]):
			b.WriteByte('x')
		}
	}
	repaired = strings.Trim(strings.Join(strings.Fields(b.String()), " "), " -./x")
	repaired = strings.NewReplacer("x. ", "x", "x.", "x", "x ", "x").Replace(repaired)
	if digits < 3 || digits > 20 {
		return "", true
	}
	return repaired, repaired != strings.TrimSpace(s)
}

func startsExtension(s string) bool {
	s = strings.ToLower(s)
	return s[0] == 'x' || s[0] == '#' || strings.HasPrefix(s, "ext")
}

// digitValue returns the value of a decimal digit: the digits of every script are consecutive, from
// 0 to 9.
func digitValue(r rune) int {
	n := 0
	for unicode.IsDigit(r - 1) {
		r--
		n++
	}
	return n % 10
}

// repairEmail removes what is often pasted around an address. It returns "" when no address is
// left.
func repairEmail(s string) (repaired string, changed bool) {
	repaired = strings.TrimSpace(s)
	if i, j := strings.LastIndexByte(repaired, '<'),
		strings.LastIndexByte(repaired, '>'); i >= 0 && j > i {
		repaired = repaired[i+1 : j]
	}
	repaired = strings.TrimPrefix(strings.TrimSpace(repaired), "mailto:")
	var f domain.Faults
	f.OptionalEmail("", repaired)
	if f.Err() != nil {
		return "", true
	}
	return repaired, repaired != strings.TrimSpace(s)
}

// slug makes an identifier of a code value: "Eleventh grade" becomes "eleventh-grade".
func slug(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	repaired, _ := repairID(strings.Trim(b.String(), "-"))
	return repaired
}
