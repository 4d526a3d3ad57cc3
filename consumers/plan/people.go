package plan

import (
	"strings"

	"github.com/schoolbell/schoolbell/consumers"
)

// person is a possible recipient.
type person struct {
	id       string
	phone    string // in E.164 form: +15125550100
	email    string
	language string
}

// address returns the address at which a channel reaches a person. Push and the inbox use the
// person's id.
func (p person) address(c consumers.Channel) (address string, ok bool) {
	switch c {
	case consumers.SMS:
		return p.phone, p.phone != ""
	case consumers.Email:
		return p.email, p.email != ""
	case consumers.Push, consumers.InApp:
		return "", true
	}
	return "", false
}

func (d *draft) guardian(g consumers.Guardian) person {
	return person{
		id: g.ID, phone: NormalizePhone(g.Phone, d.settings.Phone), email: g.Email,
		language: g.Language,
	}
}

// primary returns the guardians who are notified about a student: those whom the school calls
// primary. The others get only announcements.
func (d *draft) primary(studentID string) []person {
	var people []person
	for _, g := range d.Guardians(studentID) {
		if g.Primary {
			people = append(people, d.guardian(g))
		}
	}
	return people
}

// NormalizePhone returns a phone number in E.164 form, "+" and digits, or "" when no text can be
// sent to it: an extension behind an exchange takes none. A number without a country code is one of
// the school's country.
func NormalizePhone(number string, rules consumers.PhoneRules) string {
	if strings.ContainsAny(number, "xX") {
		return ""
	}
	digits := digitsOf(number)
	international := strings.HasPrefix(strings.TrimSpace(number), "+") ||
		strings.HasPrefix(digits, "00")
	if international { // +44 (0)20 …: the digit in brackets is dialled within the country only
		digits = strings.TrimPrefix(digitsOf(strings.Replace(number, "(0)", "", 1)), "00")
	}
	country, trunk := rules.Country, rules.Trunk
	if country == "" {
		country = "1"
	}
	switch {
	case international:
	case country == "1" && len(digits) == 11 &&
		digits[0] == '1': // in North America the long-distance prefix is the country code
	default:
		digits = country + strings.TrimPrefix(digits, trunk)
	}
	// E.164; shorter ones are service numbers, which take no texts
	if len(digits) < 7 || len(digits) > 15 {
		return ""
	}
	// numbers of North America have ten digits: this is none, or two in one
	if digits[0] == '1' && len(digits) != 11 {
		return ""
	}
	return "+" + digits
}

func digitsOf(number string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, number)
}
