// Package staff holds the facts about the people who work at a school. From the classes of an
// assignment follow the rooms and the students that a teacher may see.
package staff

import "github.com/schoolbell/schoolbell/domain"

// TypeAssigned is the wire name of [Assigned].
const TypeAssigned = "schoolbell.staff.assigned.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Assigned](TypeAssigned,
		"A member of staff takes on a role, classes and subjects.", domain.OffTimeline),
}

// Assigned: a member of staff takes on a role and classes. It replaces the person's earlier
// assignment.
type Assigned struct {
	StaffID  string   `json:"staff_id"`
	Name     string   `json:"name"`
	Role     string   `json:"role"`
	ClassIDs []string `json:"class_ids"`
	Subjects []string `json:"subjects,omitzero"`
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
	f.Text("/name", e.Name, domain.MaxTextLength)
	f.ID("/role", e.Role)
	f.IDs("/class_ids", e.ClassIDs)
	f.IDs("/subjects", e.Subjects)
}

// SeenBy shows it only to the person.
func (e *Assigned) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self)
}
