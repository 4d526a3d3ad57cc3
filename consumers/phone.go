package consumers

import (
	"cmp"
	"strconv"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// PhoneRules say how telephone numbers without a country are read: as one of the school's country
// writes them. The zero value is North America.
type PhoneRules struct {
	Country string `json:"country,omitzero" doc:"The calling code of the school's country; 1 by default" example:"225"`
	Trunk   string `json:"trunk,omitzero" doc:"Accepted from older clients and dropped: the rules of each country are known" deprecated:"true" example:"0"`
}

// maxE164 is the length of the longest number of ITU-T E.164, with its plus. Some countries have
// numbers within their own networks that are longer.
const maxE164 = 1 + 15

// unknownRegion is what the library calls the country of a code that nobody has.
const unknownRegion = "ZZ"

// region returns the country whose rules apply, as ISO 3166 has it: the main one of those that share
// a calling code.
func (r PhoneRules) region() string {
	code, err := strconv.Atoi(cmp.Or(r.Country, "1"))
	if err != nil {
		return unknownRegion
	}
	return phonenumbers.GetRegionCodeForCountryCode(code)
}

// plainly drops the marks of direction that come with a number from a telephone, and makes every
// space the ordinary one.
func plainly(r rune) rune {
	switch {
	case unicode.Is(unicode.Cf, r):
		return -1
	case unicode.IsSpace(r):
		return ' '
	}
	return r
}

func isMobile(n *phonenumbers.PhoneNumber) bool {
	kind := phonenumbers.GetNumberType(n)
	return kind == phonenumbers.MOBILE || kind == phonenumbers.FIXED_LINE_OR_MOBILE
}

// E164 returns a telephone number, as people write it, in the form that can be dialled from
// anywhere: "+" and digits. It returns "" when no text can be sent to it: it has no more or fewer
// digits than the numbers of its country, or it is an extension behind an exchange. Numbers that a
// country has given out only lately are not refused: the length decides, not the range.
func (r PhoneRules) E164(number string) string {
	number = strings.Map(plainly, number)
	digits := phonenumbers.NormalizeDigitsOnly(number)
	// 00 is dialled before a country's code nearly everywhere, and begins no number of a country.
	// People write it with a plus, too.
	if international, ok := strings.CutPrefix(digits, "00"); ok {
		number = "+" + international
	}
	n, err := phonenumbers.Parse(number, r.region())
	if strings.HasPrefix(digits, cmp.Or(r.Country, "1")) && (err != nil || !isMobile(n)) && !strings.Contains(number, "+") {
		// A spreadsheet takes the plus away. Where numbers have no fixed length, the rest could be
		// a number of the country too; a mobile one is likelier to be meant.
		if m, err := phonenumbers.Parse("+"+digits, ""); err == nil && isMobile(m) {
			return phonenumbers.Format(m, phonenumbers.E164)
		}
	}
	if err != nil || n.GetExtension() != "" ||
		phonenumbers.IsPossibleNumberWithReason(n) != phonenumbers.IS_POSSIBLE {
		return ""
	}
	if dialled := phonenumbers.Format(n, phonenumbers.E164); len(dialled) <= maxE164 {
		return dialled
	}
	return ""
}
