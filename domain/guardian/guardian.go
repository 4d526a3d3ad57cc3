// Package guardian holds the facts about the guardians of students.
//
// A link is more than data: from it follow the rights of a guardian to read about a student, to be
// in the student's room, and to be sent messages. Live connections look their rights up again when
// one arrives: another event that changes a link needs a case there too (realtime/rights.go).
package guardian

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeLinked         = "schoolbell.guardian.linked.v1"
	TypeContactChanged = "schoolbell.guardian.contact_changed.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Linked](TypeLinked, "A guardian is connected with a student.",
		domain.OnTimeline),
	domain.NewFact[ContactChanged](TypeContactChanged,
		"A guardian's telephone, e-mail address or language changes.", domain.OffTimeline),
}

// Linked: a guardian is connected with a student. Linking the same pair again replaces the earlier
// data.
type Linked struct {
	GuardianID string `json:"guardian_id"`
	StudentID  string `json:"student_id"`
	Name       string `json:"name"`
	Relation   string `json:"relation"`
	Phone      string `json:"phone,omitzero"`
	Email      string `json:"email,omitzero"`
	Language   string `json:"language,omitzero"` // BCP 47, for example "es"
	Primary    bool   `json:"primary"`
}

// Subject is the student.
func (e *Linked) Subject() string { return e.StudentID }

// Rooms are the student's and the guardian's own.
func (e *Linked) Rooms() []domain.Room {
	return []domain.Room{
		{Kind: domain.RoomStudent, ID: e.StudentID},
		{Kind: domain.RoomUser, ID: e.GuardianID},
	}
}

// Validate implements [domain.Event].
func (e *Linked) Validate(f *domain.Faults) {
	f.ID("/guardian_id", e.GuardianID)
	f.ID("/student_id", e.StudentID)
	f.Text("/name", e.Name, domain.MaxTextLength)
	f.Text("/relation", e.Relation, domain.MaxTextLength)
	validateContact(f, e.Phone, e.Email, e.Language)
}

// ContactChanged: a guardian can be reached differently from now on. An absent field means "none"
// from now on.
type ContactChanged struct {
	GuardianID string `json:"guardian_id"`
	Phone      string `json:"phone,omitzero"`
	Email      string `json:"email,omitzero"`
	Language   string `json:"language,omitzero"`
}

// Subject is the guardian.
func (e *ContactChanged) Subject() string { return e.GuardianID }

// Rooms is the guardian's own.
func (e *ContactChanged) Rooms() []domain.Room {
	return domain.In(domain.RoomUser, e.GuardianID)
}

// Validate implements [domain.Event].
func (e *ContactChanged) Validate(f *domain.Faults) {
	f.ID("/guardian_id", e.GuardianID)
	validateContact(f, e.Phone, e.Email, e.Language)
}

func validateContact(f *domain.Faults, phone, email, language string) {
	f.OptionalPhone("/phone", phone)
	f.OptionalEmail("/email", email)
	f.OptionalLanguage("/language", language)
}

// SeenBy shows how a guardian can be reached only to the guardian: also the family of the student
// may be in two homes.
func (e *Linked) SeenBy(a domain.Audience) domain.Event {
	switch a {
	case domain.Self:
		return e
	case domain.Family, domain.Teaching, domain.Accounts:
		c := *e
		c.Phone, c.Email = "", ""
		return &c
	}
	return nil
}

// SeenBy shows it only to the guardian.
func (e *ContactChanged) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}
