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
	TypeUnlinked       = "schoolbell.guardian.unlinked.v1"
	TypeDetailsChanged = "schoolbell.guardian.details_changed.v1"
	TypeContactChanged = "schoolbell.guardian.contact_changed.v1"
	TypeOptedOut       = "schoolbell.guardian.opted_out.v1"
	TypeOptedIn        = "schoolbell.guardian.opted_in.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Linked](TypeLinked, "A guardian is connected with a student.",
		domain.OnTimeline),
	domain.NewFact[Unlinked](TypeUnlinked, "A guardian is no longer connected with a student.",
		domain.OnTimeline),
	domain.NewFact[DetailsChanged](TypeDetailsChanged,
		"What is known of a guardian changes, or is corrected.", domain.OffTimeline),
	domain.NewFact[ContactChanged](TypeContactChanged,
		"A guardian's telephone, e-mail address or language changes.", domain.OffTimeline),
	domain.NewFact[OptedOut](TypeOptedOut,
		"A guardian is not to be sent anything by a channel any more.", domain.OffTimeline),
	domain.NewFact[OptedIn](TypeOptedIn,
		"A guardian may be sent messages by a channel again.", domain.OffTimeline),
}

// Linked: a guardian is connected with a student. Linking the same pair again corrects what it says,
// and leaves what it does not: an absent telephone number is not a removed one.
type Linked struct {
	GuardianID string `json:"guardian_id"`
	StudentID  string `json:"student_id"`
	Name       string `json:"name" whose:"guardian"`
	Relation   string `json:"relation" whose:"guardian"`
	Phone      string `json:"phone,omitzero" whose:"guardian"`
	Email      string `json:"email,omitzero" whose:"guardian"`
	Language   string `json:"language,omitzero" whose:"guardian"` // BCP 47, for example "es"
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
	f.Name("/name", e.Name)
	f.Name("/relation", e.Relation)
	validateContact(f, e.Phone, e.Email, e.Language)
}

// Unlinked: a guardian has no rights about a student from a day on, and is sent nothing about them.
type Unlinked struct {
	GuardianID string      `json:"guardian_id"`
	StudentID  string      `json:"student_id"`
	On         domain.Date `json:"on,omitzero"` // absent: at once, wherever the school is
}

// Subject is the student.
func (e *Unlinked) Subject() string { return e.StudentID }

// Rooms are the student's and the guardian's own.
func (e *Unlinked) Rooms() []domain.Room {
	return []domain.Room{
		{Kind: domain.RoomStudent, ID: e.StudentID},
		{Kind: domain.RoomUser, ID: e.GuardianID},
	}
}

// Validate implements [domain.Event].
func (e *Unlinked) Validate(f *domain.Faults) {
	f.ID("/guardian_id", e.GuardianID)
	f.ID("/student_id", e.StudentID)
	f.OptionalDate("/on", e.On)
}

// DetailsChanged: what is known of a guardian is different, or is put right. A name cannot be
// removed, so an empty one is an absent one.
type DetailsChanged struct {
	GuardianID string                `json:"guardian_id"`
	Name       string                `json:"name,omitzero" whose:"guardian"`
	Phone      domain.Change[string] `json:"phone,omitzero" whose:"guardian"`
	Email      domain.Change[string] `json:"email,omitzero" whose:"guardian"`
	Language   domain.Change[string] `json:"language,omitzero" whose:"guardian"` // BCP 47
	// Identifiers are what other systems call the guardian, all of them.
	Identifiers domain.Change[[]string] `json:"identifiers,omitzero" whose:"guardian"`
}

// Subject is the guardian.
func (e *DetailsChanged) Subject() string { return e.GuardianID }

// Rooms is the guardian's own.
func (e *DetailsChanged) Rooms() []domain.Room { return domain.In(domain.RoomUser, e.GuardianID) }

// Validate implements [domain.Event].
func (e *DetailsChanged) Validate(f *domain.Faults) {
	f.ID("/guardian_id", e.GuardianID)
	f.OptionalName("/name", e.Name)
	validateContact(f, e.Phone.Value, e.Email.Value, e.Language.Value)
	f.IDs("/identifiers", e.Identifiers.Value)
}

// ContactChanged: a guardian can be reached differently from now on. An absent field means "none"
// from now on.
type ContactChanged struct {
	GuardianID string `json:"guardian_id"`
	Phone      string `json:"phone,omitzero" whose:"guardian"`
	Email      string `json:"email,omitzero" whose:"guardian"`
	Language   string `json:"language,omitzero" whose:"guardian"`
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

// The channels that a guardian can opt out of. The inbox is read by whoever wants to.
var optional = []string{"sms", "email", "push"}

// Why a guardian has opted out.
const (
	ByStop     = "stop"     // a text with STOP, or the like, came back
	ByProvider = "provider" // the provider says that the recipient does not want any more
	ByWish     = "wish"     // the guardian has told the school
)

// OptedOut: a guardian is not to be sent anything by a channel any more, until they opt in again.
type OptedOut struct {
	GuardianID string `json:"guardian_id"`
	Channel    string `json:"channel"` // "sms", "email" or "push"
	Because    string `json:"because"` // "stop", "provider" or "wish"
}

// Subject is the guardian.
func (e *OptedOut) Subject() string { return e.GuardianID }

// Rooms are the guardian's own and those of the office.
func (e *OptedOut) Rooms() []domain.Room { return wishRooms(e.GuardianID) }

// Validate implements [domain.Event].
func (e *OptedOut) Validate(f *domain.Faults) {
	f.ID("/guardian_id", e.GuardianID)
	f.OneOf("/channel", e.Channel, optional...)
	f.OneOf("/because", e.Because, ByStop, ByProvider, ByWish)
}

// OptedIn: a guardian may be sent messages by a channel again.
type OptedIn struct {
	GuardianID string `json:"guardian_id"`
	Channel    string `json:"channel"` // "sms", "email" or "push"
}

// Subject is the guardian.
func (e *OptedIn) Subject() string { return e.GuardianID }

// Rooms are the guardian's own and those of the office.
func (e *OptedIn) Rooms() []domain.Room { return wishRooms(e.GuardianID) }

// Validate implements [domain.Event].
func (e *OptedIn) Validate(f *domain.Faults) {
	f.ID("/guardian_id", e.GuardianID)
	f.OneOf("/channel", e.Channel, optional...)
}

// wishRooms: the office rings whoever cannot be texted any more.
func wishRooms(guardianID string) []domain.Room {
	return []domain.Room{
		{Kind: domain.RoomUser, ID: guardianID},
		{Kind: domain.RoomRole, ID: "admin"},
		{Kind: domain.RoomRole, ID: "office"},
	}
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

// SeenBy shows it to the same as the link.
func (e *Unlinked) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self, domain.Family, domain.Teaching, domain.Accounts)
}

// SeenBy shows it only to the guardian.
func (e *DetailsChanged) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}

// SeenBy shows it only to the guardian.
func (e *ContactChanged) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}

// SeenBy shows it only to the guardian, and to the office.
func (e *OptedOut) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}

// SeenBy shows it only to the guardian, and to the office.
func (e *OptedIn) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}
