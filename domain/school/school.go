// Package school holds the facts about a school as a whole.
package school

import "github.com/schoolbell/schoolbell/domain"

// TypeDescribed is the wire name of [Described].
const TypeDescribed = "schoolbell.school.described.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Described](TypeDescribed, "A school says its name, and what else it is called.",
		domain.OffTimeline),
}

// Described: a school has a name. Describing it again corrects what it says, and leaves what it does
// not.
type Described struct {
	Name       string                `json:"name" impersonal:"about the school"`
	Identifier domain.Change[string] `json:"identifier,omitzero" impersonal:"about the school"` // what its authority calls it
	Type       domain.Change[string] `json:"type,omitzero" impersonal:"about the school"`       // for example "elementary"
	District   domain.Change[string] `json:"district,omitzero" impersonal:"about the school"`
}

// Subject is the school itself. Its id is the event's school, so a word stands for it.
func (e *Described) Subject() string { return "school" }

// Rooms are only the school's.
func (e *Described) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *Described) Validate(f *domain.Faults) {
	f.Name("/name", e.Name)
	f.OptionalID("/identifier", e.Identifier.Value)
	f.OptionalName("/type", e.Type.Value)
	f.OptionalName("/district", e.District.Value)
}

// SeenBy shows it to all.
func (e *Described) SeenBy(domain.Audience) domain.Event { return e }
