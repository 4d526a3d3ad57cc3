package plan

import (
	"strings"

	"github.com/schoolbell/schoolbell/consumers"
)

// person is somebody to be told something.
type person struct {
	id       string
	phone    string // as it is dialled from anywhere: +15125550100
	email    string
	language string
}

// address is where a channel reaches somebody. Push and the inbox go by the person's id.
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
	return person{id: g.ID, phone: NormalizePhone(g.Phone, d.settings.Phone), email: g.Email, language: g.Language}
}

// primary are the guardians who are told about a student: those whom the school calls primary. The others hear what the
// school itself announces.
func (d *draft) primary(studentID string) []person {
	var people []person
	for _, g := range d.Guardians(studentID) {
		if g.Primary {
			people = append(people, d.guardian(g))
		}
	}
	return people
}

// NormalizePhone returns a telephone number as it is dialled from anywhere, "+" and digits, or "" when a text cannot be sent to it:
// an extension behind an exchange takes none. A number without a country is one of the school's.
func NormalizePhone(number string, rules consumers.PhoneRules) string {
	if strings.ContainsAny(number, "xX") {
		return ""
	}
	digits := digitsOf(number)
	international := strings.HasPrefix(strings.TrimSpace(number), "+") || strings.HasPrefix(digits, "00")
	if international { // +44 (0)20 …: what is in brackets is for callers within the country
		digits = strings.TrimPrefix(digitsOf(strings.Replace(number, "(0)", "", 1)), "00")
	}
	country, trunk := rules.Country, rules.Trunk
	if country == "" {
		country = "1"
	}
	switch {
	case international:
	case country == "1" && len(digits) == 11 && digits[0] == '1': // the long-distance prefix of North America is its code
	default:
		digits = country + strings.TrimPrefix(digits, trunk)
	}
	if len(digits) < 7 || len(digits) > 15 { // E.164; shorter ones are services that take no texts
		return ""
	}
	if digits[0] == '1' && len(digits) != 11 { // all of North America's have ten digits, so this is none, or two in one
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
