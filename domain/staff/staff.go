// Package staff holds the facts about the people who work at a school. From the classes of an
// assignment, and from memberships (package membership), follow the rooms and the students that a
// teacher may see; where a person has both, it is their union.
package staff

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeAssigned       = "schoolbell.staff.assigned.v1"
	TypeDetailsChanged = "schoolbell.staff.details_changed.v1"
	TypeLeft           = "schoolbell.staff.left.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Assigned](TypeAssigned,
		"A member of staff takes on a role, classes and subjects.", domain.OffTimeline),
	domain.NewFact[DetailsChanged](TypeDetailsChanged,
		"What is known of a member of staff changes, or is corrected.", domain.OffTimeline),
	domain.NewFact[Left](TypeLeft, "A member of staff leaves the school.", domain.OffTimeline),
}

// Assigned: a member of staff takes on a role and classes, in the place of those of an earlier
// assignment. What it does not say, as subjects or an e-mail address, stays as it was.
type Assigned struct {
	StaffID  string   `json:"staff_id"`
	Name     string   `json:"name" whose:"staff"`
	Role     string   `json:"role" whose:"staff"`
	ClassIDs []string `json:"class_ids"`
	Subjects []string `json:"subjects,omitzero" whose:"staff"`
	Email    string   `json:"email,omitzero" whose:"staff"`
}

// Subject is the member of staff.
func (e *Assigned) Subject() string { return e.StaffID }

// Rooms is the person's own.
func (e *Assigned) Rooms() []domain.Room {
	return domain.In(domain.RoomUser, e.StaffID)
}

// Validate implements [domain.Event].
func (e *Assigned) Validate(f *domain.Faults) {
	f.ID("/staff_id", e.StaffID)
	f.Name("/name", e.Name)
	f.ID("/role", e.Role)
	f.IDs("/class_ids", e.ClassIDs)
	f.IDs("/subjects", e.Subjects)
	f.OptionalEmail("/email", e.Email)
}

// DetailsChanged: what is known of a member of staff is different, or is put right. A name and a
// role cannot be removed, so an empty one is an absent one.
type DetailsChanged struct {
	StaffID  string                  `json:"staff_id"`
	Name     string                  `json:"name,omitzero" whose:"staff"`
	Role     string                  `json:"role,omitzero" whose:"staff"`
	Subjects domain.Change[[]string] `json:"subjects,omitzero" whose:"staff"`
	Phone    domain.Change[string]   `json:"phone,omitzero" whose:"staff"`
	Email    domain.Change[string]   `json:"email,omitzero" whose:"staff"`
	// Identifiers are what other systems call the person, all of them.
	Identifiers domain.Change[[]string] `json:"identifiers,omitzero" whose:"staff"`
}

// Subject is the member of staff.
func (e *DetailsChanged) Subject() string { return e.StaffID }

// Rooms is the person's own.
func (e *DetailsChanged) Rooms() []domain.Room { return domain.In(domain.RoomUser, e.StaffID) }

// Validate implements [domain.Event].
func (e *DetailsChanged) Validate(f *domain.Faults) {
	f.ID("/staff_id", e.StaffID)
	f.OptionalName("/name", e.Name)
	f.OptionalID("/role", e.Role)
	f.IDs("/subjects", e.Subjects.Value)
	f.OptionalPhone("/phone", e.Phone.Value)
	f.OptionalEmail("/email", e.Email.Value)
	f.IDs("/identifiers", e.Identifiers.Value)
}

// Left: a member of staff has no rights at the school from a day on. A later assignment begins
// again.
type Left struct {
	StaffID string      `json:"staff_id"`
	On      domain.Date `json:"on"`
}

// Subject is the member of staff.
func (e *Left) Subject() string { return e.StaffID }

// Rooms is the person's own.
func (e *Left) Rooms() []domain.Room { return domain.In(domain.RoomUser, e.StaffID) }

// Validate implements [domain.Event].
func (e *Left) Validate(f *domain.Faults) {
	f.ID("/staff_id", e.StaffID)
	f.Date("/on", e.On)
}

// SeenBy shows it only to the person.
func (e *Assigned) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}

// SeenBy shows it only to the person.
func (e *DetailsChanged) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}

// SeenBy shows it only to the person.
func (e *Left) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}
