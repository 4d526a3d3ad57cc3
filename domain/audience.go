package domain

import (
	"fmt"
	"strings"
)

// Audience is who looks at an event. An event is heard in rooms, but not everybody in a room may see all of it: a
// teacher in a student's room must not see the fees, nor one family of a class the marks of another.
type Audience uint8

// The audiences, from the one that sees most.
const (
	Office   Audience = iota // administrators of the school and operators of the platform
	Self                     // the person whose user room it is
	Family                   // a student, and the guardians who answer for the student
	Accounts                 // those who keep the school's accounts
	Teaching                 // teachers, about the classes and students they teach
	Public                   // everybody else in a room, as the other families of a class
	audiences
)

// Audiences is a set of them: somebody may be both a teacher and a guardian.
type Audiences uint8

// AudienceCount is how many audiences there are.
const AudienceCount = int(audiences)

// Of returns the set of the given audiences.
func Of(members ...Audience) Audiences {
	var s Audiences
	for _, a := range members {
		s |= 1 << a
	}
	return s
}

// Has reports that an audience is in the set.
func (s Audiences) Has(a Audience) bool { return s&(1<<a) != 0 }

// Visible is implemented by events that others than the office may see.
type Visible interface {
	Event
	// SeenBy returns the event as an audience may see it: itself, a copy without what is not for them, or nil when
	// it is not for them at all. It is never asked about the office, which sees everything.
	SeenBy(a Audience) Event
}

// See returns an event as an audience may see it, or nil. What does not say who may see it is for the office only.
func See(e Event, a Audience) Event {
	if a == Office {
		return e
	}
	if v, ok := e.(Visible); ok && a < audiences {
		return v.SeenBy(a)
	}
	return nil
}

// ParseRoom reads what Room.String writes.
func ParseRoom(s string) (Room, error) {
	if s == string(RoomSchool) {
		return Room{Kind: RoomSchool}, nil
	}
	kind, id, ok := strings.Cut(s, ":")
	r := Room{Kind: RoomKind(kind), ID: id}
	switch r.Kind {
	case RoomUser, RoomRole, RoomClass, RoomStudent, RoomDashboard:
		var f Faults
		f.ID("", id)
		if ok && len(f.List) == 0 {
			return r, nil
		}
	}
	return Room{}, fmt.Errorf("room %.80q: want school, or one of user, role, class, student and dashboard with an id, as in class:7a", s)
}
