// Package membership holds the facts about who belongs to a class from when to when: the students of
// a section, and those who teach or help there. The home class of a student is not one of them: it
// follows from package student.
//
// A membership is more than data: from it follow the rights of a teacher to read about a student,
// and the rooms of all who belong to the class. Live connections look their rights up again when
// one arrives: another event that changes a membership needs a case there too (realtime/rights.go).
package membership

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeStarted = "schoolbell.membership.started.v1"
	TypeEnded   = "schoolbell.membership.ended.v1"
)

// The roles of a member.
const (
	Student = "student"
	Teacher = "teacher"
	Aide    = "aide"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Started](TypeStarted, "A person belongs to a class.", domain.OnTimeline),
	domain.NewFact[Ended](TypeEnded, "A person belongs to a class no longer.", domain.OffTimeline),
}

// Started: a person belongs to a class from a day on. Starting the same membership again says what
// holds from that day on; a day within it begins no new span.
type Started struct {
	MembershipID string      `json:"membership_id"`
	ClassID      string      `json:"class_id"`
	PersonID     string      `json:"person_id"`
	Role         string      `json:"role"`
	Primary      bool        `json:"primary,omitzero"` // of teachers: the one who answers for it
	From         domain.Date `json:"from"`
}

// Subject is the person.
func (e *Started) Subject() string { return e.PersonID }

// Rooms are the class's and the person's own, which for a student is the student's too.
func (e *Started) Rooms() []domain.Room {
	rooms := []domain.Room{
		{Kind: domain.RoomClass, ID: e.ClassID},
		{Kind: domain.RoomUser, ID: e.PersonID},
	}
	if e.Role != Teacher && e.Role != Aide {
		rooms = append(rooms, domain.Room{Kind: domain.RoomStudent, ID: e.PersonID})
	}
	return rooms
}

// Validate implements [domain.Event].
func (e *Started) Validate(f *domain.Faults) {
	f.ID("/membership_id", e.MembershipID)
	f.ID("/class_id", e.ClassID)
	f.ID("/person_id", e.PersonID)
	f.OneOf("/role", e.Role, Student, Teacher, Aide)
	f.Date("/from", e.From)
}

// Ended: a person belongs to a class no longer from a day on.
type Ended struct {
	MembershipID string      `json:"membership_id"`
	To           domain.Date `json:"to"` // the first day on which the person is no member
}

// Subject is the membership: whose it is was said when it started.
func (e *Ended) Subject() string { return e.MembershipID }

// Rooms are only the school's.
func (e *Ended) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *Ended) Validate(f *domain.Faults) {
	f.ID("/membership_id", e.MembershipID)
	f.Date("/to", e.To)
}

// SeenBy shows who teaches a class to all of it, and hides a student's classes from other families.
func (e *Started) SeenBy(a domain.Audience) domain.Event {
	if e.Role == Teacher || e.Role == Aide {
		return e
	}
	return domain.ShownTo(e, a, domain.Self, domain.Family, domain.Teaching, domain.Accounts)
}

// SeenBy shows it to nobody but the office.
func (e *Ended) SeenBy(domain.Audience) domain.Event { return nil }
