package plan

import (
	"github.com/schoolbell/schoolbell/consumers"
)

// person is a possible recipient.
type person struct {
	id       string
	phone    string // as written
	dialling consumers.PhoneRules
	email    string
	language string
	of       []string // the students through whom they are reached, where that matters
}

// address returns the address at which a channel reaches a person. Push and the inbox use the
// person's id.
func (p person) address(c consumers.Channel) (address string, ok bool) {
	switch c {
	case consumers.SMS:
		number := p.dialling.E164(p.phone)
		return number, number != ""
	case consumers.Email:
		return p.email, p.email != ""
	case consumers.Push, consumers.InApp:
		return "", true
	}
	return "", false
}

func (d *draft) guardian(g consumers.Guardian) person {
	return person{
		id: g.ID, phone: g.Phone, dialling: d.settings.Phone, email: g.Email,
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
