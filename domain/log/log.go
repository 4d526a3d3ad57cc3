// Package log holds the facts about the log itself. Schoolbell writes them, on an operator's word.
package log

import "github.com/schoolbell/schoolbell/domain"

// TypeEventSkipped is the wire name of [EventSkipped].
const TypeEventSkipped = "schoolbell.log.event_skipped.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[EventSkipped](TypeEventSkipped,
		"An operator has decided that an earlier event of the school is folded by nobody.",
		domain.OffTimeline).ReservedForSchoolbell(),
}

// EventSkipped: an earlier event, which could not be folded, never will be, whatever later versions
// could do with it. It is final.
type EventSkipped struct {
	Position string `json:"position" impersonal:"a place in the log"` // of the event
	Reason   string `json:"reason" impersonal:"an operator's words about an event"`
}

// Subject is the event's position.
func (e *EventSkipped) Subject() string { return e.Position }

// Rooms are only the school's.
func (e *EventSkipped) Rooms() []domain.Room { return nil }

// SeenBy shows it to nobody but the office.
func (e *EventSkipped) SeenBy(domain.Audience) domain.Event { return nil }

// Validate implements [domain.Event].
func (e *EventSkipped) Validate(f *domain.Faults) {
	f.ID("/position", e.Position)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}
