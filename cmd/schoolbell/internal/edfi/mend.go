package edfi

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/schoolbell/schoolbell/domain"
)

// What the door would refuse is mended here, as far as its meaning is plain. Each function says whether it had to
// change more than white space.

// mendText makes s printable text of at most limit bytes.
func mendText(s string, limit int) (mended string, changed bool) {
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
	mended = b.String()
	if len(mended) > limit {
		cut := limit
		for !utf8.RuneStart(mended[cut]) {
			cut--
		}
		mended, changed = strings.TrimRight(mended[:cut], " "), true
	}
	return mended, changed
}

// mendID makes s an identifier. One that is too long keeps its beginning and ends in a hash of the whole, so that
// two of them stay different.
func mendID(s string) (mended string, changed bool) {
	mended, changed = mendText(s, len(s)+1)
	if len(mended) > domain.MaxIDLength {
		sum := sha256.Sum256([]byte(mended))
		head, _ := mendText(mended, domain.MaxIDLength-17)
		mended, changed = head+"-"+hex.EncodeToString(sum[:8]), true
	}
	return mended, changed
}

// mendPhone keeps what belongs to a telephone number: digits of any script become ASCII digits and every spelling
// of "extension" becomes "x". It returns "" when what is left cannot be dialled.
func mendPhone(s string) (mended string, changed bool) {
	var b strings.Builder
	digits := 0
	for i, r := range s {
		switch {
		case unicode.IsDigit(r):
			b.WriteByte(byte('0' + digitValue(r)))
			digits++
		case strings.ContainsRune("+()-./ ", r):
			b.WriteRune(r)
		case (r == 'e' || r == 'E' || r == 'x' || r == 'X' || r == '#') && digits > 0 && !strings.Contains(b.String(), "x") && startsExtension(s[i:]):
			b.WriteByte('x')
		}
	}
	mended = strings.Trim(strings.Join(strings.Fields(b.String()), " "), " -./x")
	mended = strings.NewReplacer("x. ", "x", "x.", "x", "x ", "x").Replace(mended)
	if digits < 3 || digits > 20 {
		return "", true
	}
	return mended, mended != strings.TrimSpace(s)
}

func startsExtension(s string) bool {
	s = strings.ToLower(s)
	return s[0] == 'x' || s[0] == '#' || strings.HasPrefix(s, "ext")
}

// digitValue finds a decimal digit's value: the digits of every script lie in a row, from 0 to 9.
func digitValue(r rune) int {
	n := 0
	for unicode.IsDigit(r - 1) {
		r--
		n++
	}
	return n % 10
}

// mendEmail strips what is often pasted around an address. It returns "" when no address is left.
func mendEmail(s string) (mended string, changed bool) {
	mended = strings.TrimSpace(s)
	if i, j := strings.LastIndexByte(mended, '<'), strings.LastIndexByte(mended, '>'); i >= 0 && j > i {
		mended = mended[i+1 : j]
	}
	mended = strings.TrimPrefix(strings.TrimSpace(mended), "mailto:")
	var f domain.Faults
	f.OptionalEmail("", mended)
	if f.Err() != nil {
		return "", true
	}
	return mended, mended != strings.TrimSpace(s)
}

// slug makes a code value an identifier: "Eleventh grade" becomes "eleventh-grade".
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
	mended, _ := mendID(strings.Trim(b.String(), "-"))
	return mended
}
