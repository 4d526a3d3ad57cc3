package plan

import (
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
)

// person is a possible recipient.
type person struct {
	id       string
	phone    string // as written
	dialling consumers.PhoneRules
	email    string
	language string
	optedOut []string // of these channels
	of       []string // the students through whom they are reached, where that matters
}

// address returns the address at which a channel reaches a person. Push and the inbox use the
// person's id.
func (p person) address(c consumers.Channel) (address string, ok bool) {
	address, fault := p.reach(c)
	return address, fault == ""
}

// reach returns the address at which a channel reaches a person, or why it does not.
func (p person) reach(c consumers.Channel) (address, fault string) {
	if slices.Contains(p.optedOut, string(c)) {
		return "", p.id + " does not want any messages by " + string(c)
	}
	switch c {
	case consumers.SMS:
		if p.phone == "" {
			return "", "no telephone number to reach " + p.id + " by"
		}
		if number := p.dialling.E164(p.phone); number != "" {
			return number, ""
		}
		return "", "the telephone number of " + p.id + " cannot be dialled"
	case consumers.Email:
		if p.email == "" {
			return "", "no e-mail address to reach " + p.id + " by"
		}
		return p.email, ""
	case consumers.Push, consumers.InApp:
		return "", ""
	}
	return "", p.id + " cannot be reached by " + string(c)
}

func (d *draft) guardian(g consumers.Guardian) person {
	return person{
		id: g.ID, phone: g.Phone, dialling: d.settings.Phone, email: g.Email,
		language: g.Language, optedOut: g.OptedOut,
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
