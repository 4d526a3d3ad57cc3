// Package class holds the facts about the classes of a school. A home class is where a student
// belongs: registers, rates and ranks go by it, and student.enrolled names it. A section is a group
// that is taught a subject, of students of one home class or of many: package membership says who is
// in it. A class need not be defined to be used: until then its id is all that is known of it.
package class

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeDefined = "schoolbell.class.defined.v1"
	TypeClosed  = "schoolbell.class.closed.v1"
)

// The kinds of classes.
const (
	Home    = "home"
	Section = "section"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Defined](TypeDefined, "A home class or a section is given a name.",
		domain.OffTimeline),
	domain.NewFact[Closed](TypeClosed, "A class takes place no longer.", domain.OffTimeline),
}

// Defined: a class has a title and a kind. Defining it again corrects what it says, and leaves what
// it does not.
type Defined struct {
	ClassID  string                      `json:"class_id"`
	Title    string                      `json:"title" impersonal:"about a class"`
	Kind     string                      `json:"kind"`
	Course   domain.Change[string]       `json:"course,omitzero" impersonal:"about a class"`
	Subjects domain.Change[[]string]     `json:"subjects,omitzero" impersonal:"about a class"`
	Grades   domain.Change[[]string]     `json:"grades,omitzero" impersonal:"about a class"`
	Year     domain.Change[domain.Label] `json:"year,omitzero"`
	Terms    domain.Change[[]string]     `json:"terms,omitzero" impersonal:"about a class"`
	Room     domain.Change[string]       `json:"room,omitzero" impersonal:"about a class"`
}

// Subject is the class.
func (e *Defined) Subject() string { return e.ClassID }

// Rooms is the class's.
func (e *Defined) Rooms() []domain.Room { return domain.In(domain.RoomClass, e.ClassID) }

// Validate implements [domain.Event].
func (e *Defined) Validate(f *domain.Faults) {
	f.ID("/class_id", e.ClassID)
	f.Name("/title", e.Title)
	f.OneOf("/kind", e.Kind, Home, Section)
	f.OptionalName("/course", e.Course.Value)
	f.IDs("/subjects", e.Subjects.Value)
	f.IDs("/grades", e.Grades.Value)
	f.OptionalLabel("/year", e.Year.Value)
	f.IDs("/terms", e.Terms.Value)
	f.OptionalName("/room", e.Room.Value)
}

// Closed: a class takes place no longer from a day on, and nobody belongs to it from then on.
// Defining it again after that day opens it again.
type Closed struct {
	ClassID string      `json:"class_id"`
	On      domain.Date `json:"on"`
}

// Subject is the class.
func (e *Closed) Subject() string { return e.ClassID }

// Rooms is the class's.
func (e *Closed) Rooms() []domain.Room { return domain.In(domain.RoomClass, e.ClassID) }

// Validate implements [domain.Event].
func (e *Closed) Validate(f *domain.Faults) {
	f.ID("/class_id", e.ClassID)
	f.Date("/on", e.On)
}

// SeenBy shows it to all.
func (e *Defined) SeenBy(domain.Audience) domain.Event { return e }

// SeenBy shows it to all.
func (e *Closed) SeenBy(domain.Audience) domain.Event { return e }
