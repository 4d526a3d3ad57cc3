package domain

import (
	"fmt"
	"slices"
	"strings"
)

// Audience is in what role a listener looks at an event. An event is delivered to rooms, but not
// every member of a room may see all of it: a teacher in a student's room must not see the fees,
// nor one family of a class the marks of another. Each event declares what each audience gets, see
// [Event].
type Audience uint8

// The audiences, from the one that sees most. Of an event that several of them see, one who is in
// all of them gets what the first one does.
const (
	Administration Audience = iota // administrators of the school and operators of the platform
	Office                         // the office of the school
	Self                           // the person whose user room it is
	Family                         // a student, and the student's guardians
	Teaching                       // teachers, about the classes and students they teach
	Accounts                       // the accountants of the school
	Public                         // all others in a room, for example the other families of a class
	audiences
)

// Audiences is a set of them: one person may be both a teacher and a guardian.
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

// Graded is implemented by events that hold a student's marks, which the office does not see.
type Graded interface{ Graded() }

// See returns an event as an audience may see it, or nil when it is not for them. Administrators
// see every event whole, and the office all but marks. A number that is no audience sees nothing,
// so that a mistake hides an event and never discloses one.
func See(e Event, a Audience) Event {
	switch {
	case a == Administration:
		return e
	case a == Office:
		if _, graded := e.(Graded); graded {
			return nil
		}
		return e
	case a < audiences:
		return e.SeenBy(a)
	}
	return nil
}

// ShownTo returns the event when an audience is among those that may see it, and else nil. It is what
// most events' SeenBy is made of.
func ShownTo(e Event, a Audience, to ...Audience) Event {
	if slices.Contains(to, a) {
		return e
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
		switch {
		case ok && len(f.List) == 0:
			return r, nil
		case id != "":
			return Room{}, fmt.Errorf("room %.80q: its id %s", s, f.List[0].Reason)
		}
	}
	return Room{}, fmt.Errorf("room %.80q: want school, or one of user, role, class, student and "+
		"dashboard with an id, for example class:7a", s)
}
