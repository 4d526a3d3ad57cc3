// Package announcement holds the facts about notices that a school posts.
//
// A notice reaches the rooms of its audience live, and its recipients by the channels that it
// names: the audience is resolved against the directory when it is planned, and not here, because
// a class is whoever is in it then. The first change: another channel is a constant, and a provider
// in consumers.
package announcement

import (
	"fmt"

	"github.com/schoolbell/schoolbell/domain"
)

// TypePosted is the wire name of [Posted].
const TypePosted = "schoolbell.announcement.posted.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Posted](TypePosted, "A notice is posted to an audience.", domain.OffTimeline),
}

// The channels a notice can be sent through.
const (
	SMS   = "sms"
	Email = "email"
	Push  = "push"
	InApp = "in_app"
)

// Posted: a notice goes to an audience through channels.
type Posted struct {
	AnnouncementID string   `json:"announcement_id"`
	Title          string   `json:"title" impersonal:"the school's words to many"`
	Body           string   `json:"body" impersonal:"the school's words to many"`
	Audience       Audience `json:"audience"`
	Channels       []string `json:"channels"`
	Urgent         bool     `json:"urgent"`
}

// Audience is who a notice is for: the members of any of the lists. With no list it is for the
// whole school.
type Audience struct {
	Roles      []string `json:"roles,omitzero"`
	ClassIDs   []string `json:"class_ids,omitzero"`
	StudentIDs []string `json:"student_ids,omitzero"`
}

// Subject is the notice.
func (e *Posted) Subject() string { return e.AnnouncementID }

// allRoles is the audience of a notice that names none.
var allRoles = []string{"admin", "office", "teacher", "accountant", "guardian", "student"}

// Rooms are those of the roles, classes and students in the audience, or of all roles.
func (e *Posted) Rooms() []domain.Room {
	if len(e.Audience.Roles)+len(e.Audience.ClassIDs)+len(e.Audience.StudentIDs) == 0 {
		e = &Posted{Audience: Audience{Roles: allRoles}}
	}
	var rooms []domain.Room
	add := func(kind domain.RoomKind, ids []string) {
		for _, id := range ids {
			rooms = append(rooms, domain.Room{Kind: kind, ID: id})
		}
	}
	add(domain.RoomRole, e.Audience.Roles)
	add(domain.RoomClass, e.Audience.ClassIDs)
	add(domain.RoomStudent, e.Audience.StudentIDs)
	return rooms
}

// Validate implements [domain.Event].
func (e *Posted) Validate(f *domain.Faults) {
	f.Key("/announcement_id", e.AnnouncementID)
	f.Name("/title", e.Title)
	f.Text("/body", e.Body, domain.MaxBodyLength)
	f.IDs("/audience/roles", e.Audience.Roles)
	f.IDs("/audience/class_ids", e.Audience.ClassIDs)
	f.IDs("/audience/student_ids", e.Audience.StudentIDs)
	f.IDs("/channels", e.Channels)
	for i, c := range e.Channels {
		f.OneOf(fmt.Sprintf("/channels/%d", i), c, SMS, Email, Push, InApp)
	}
}

// SeenBy shows a notice to all members of a room that it addresses.
func (e *Posted) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self, domain.Family, domain.Teaching, domain.Public)
}
