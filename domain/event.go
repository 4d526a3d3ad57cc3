package domain

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Event is the data of one fact. Implementations are plain structs whose JSON names are the wire
// format; methods are on the pointer. All of them are pure.
//
// Who may see an event is part of the interface and not an option, so that the compiler demands the
// decision when an event is added.
type Event interface {
	// Subject is the entity that the event is about: the student, where there is one. Events of one
	// subject are parked together when one of them cannot be folded.
	Subject() string
	// Rooms are the live rooms that the event is delivered to in addition to the school's own.
	Rooms() []Room
	// SeenBy returns the event as an audience may see it: itself, a copy without what is not for
	// them, or nil when it is not for them at all. It is not called for the office, which sees
	// everything; call [See].
	SeenBy(a Audience) Event
	// Validate reports everything that is wrong with the data.
	Validate(f *Faults)
}

// Platform is the school of decisions about the platform as a whole. Schoolbell itself writes its
// events; no producer does, and no token is for it.
const Platform = "-"

// Envelope is an event with its CloudEvents 1.0 attributes. The text attributes are those of the
// specification and of Schoolbell's extensions school, causationid, correlationid and actor, and of
// the distributed tracing extension. All but Author are what the producer says.
type Envelope struct {
	ID            string
	Source        string
	Type          string // the wire name as published, which may be of an older version than Data
	School        string // the tenant, and the key of the record in the log
	Subject       string
	Time          time.Time // when it happened, by the producer's clock
	CausationID   string
	CorrelationID string
	Actor         string // who did it, as the producer claims
	TraceParent   string
	TraceState    string
	Author        Author
	Position      Position // where it stands in the log; zero before it is appended
	Data          Event    // always the newest version of its type
}

// Author is who wrote an event, as Schoolbell found at its door; no producer can say it. Both are
// empty in events that are older than this.
type Author struct {
	// Subject, on the wire authsub, is "token:HASH" for the bearer of a token, "kafka:TOPIC" for an
	// inbox, or [AuthorSchoolbell].
	Subject string
	TokenID string // on the wire authjti; empty when the token had no id
}

// AuthorSchoolbell is the author of what Schoolbell finds out itself.
const AuthorSchoolbell = "schoolbell"

// Label is what a school calls a year, a term or a grade level: "2026-2027", "spring", "7". On the
// wire it may also be an integer, which means the same as its decimal digits.
type Label string

// Room names a set of live listeners, printed "kind:id", or only the kind for [RoomSchool].
type Room struct {
	Kind RoomKind
	ID   string
}

// RoomKind says who may be in a room.
type RoomKind string

// The kinds of rooms. Every event belongs to its school's room in addition to those that it names
// itself.
const (
	RoomUser      RoomKind = "user"
	RoomRole      RoomKind = "role"
	RoomClass     RoomKind = "class"
	RoomStudent   RoomKind = "student"
	RoomSchool    RoomKind = "school"
	RoomDashboard RoomKind = "dashboard"
)

// In returns one room as a list, for an event that belongs to it alone.
func In(kind RoomKind, id string) []Room { return []Room{{Kind: kind, ID: id}} }

// StudentAndClass returns the rooms of an event about a student in a class.
func StudentAndClass(studentID, classID string) []Room {
	return []Room{{Kind: RoomStudent, ID: studentID}, {Kind: RoomClass, ID: classID}}
}

// String returns the room's name on the wire.
func (r Room) String() string {
	if r.Kind == RoomSchool {
		return string(RoomSchool)
	}
	return string(r.Kind) + ":" + r.ID
}

// Fact is one version of one event type in the catalogue.
type Fact struct {
	// Type is the wire name, "schoolbell.<context>.<fact>.v<n>".
	Type string
	// Doc is one sentence that says what has happened.
	Doc string
	// Timeline says whether the event is a line on a student's timeline.
	Timeline Timeline
	// New returns a pointer to an empty value of this version's data.
	New func() Event
	// Upcast turns this version's data into the next version's; nil for the newest version.
	Upcast func(Event) Event
	// Reserved facts are written by Schoolbell itself and refused from producers.
	Reserved bool
}

// Timeline says whether an event is a line on the timeline of the student that is its subject. It
// is an argument of [NewFact], so that no event about a student is left out by accident.
type Timeline bool

// The two decisions.
const (
	OnTimeline  Timeline = true
	OffTimeline Timeline = false
)

// NewFact declares the newest version of an event type.
func NewFact[E any, P interface {
	*E
	Event
}](wireType, doc string, timeline Timeline) Fact {
	return Fact{
		Type: wireType, Doc: doc, Timeline: timeline,
		New: func() Event { return P(new(E)) },
	}
}

// OlderFact declares a version that has been superseded, with the function that turns it into the
// next one.
func OlderFact[Old, Next any, PO interface {
	*Old
	Event
}, PN interface {
	*Next
	Event
}](wireType, doc string, upcast func(*Old) *Next) Fact {
	return Fact{
		Type:   wireType,
		Doc:    doc,
		New:    func() Event { return PO(new(Old)) },
		Upcast: func(e Event) Event { return PN(upcast((*Old)(e.(PO)))) },
	}
}

// IsOwnSource reports that a source is one of Schoolbell's own: "/schoolbell", or a part of the
// program as "schoolbell/deliveries". A reserved fact from elsewhere is not Schoolbell's word.
func IsOwnSource(source string) bool {
	return source == "/schoolbell" || strings.HasPrefix(source, "schoolbell/")
}

// ReservedForSchoolbell marks a fact as one that only Schoolbell writes.
func (f Fact) ReservedForSchoolbell() Fact {
	f.Reserved = true
	return f
}

// Name splits the wire name into context, fact and version: "student", "enrolled", 1.
func (f Fact) Name() (context, fact string, version int) {
	context, fact, version, err := SplitType(f.Type)
	if err != nil {
		panic(err) // a catalogue with a malformed name does not pass its test
	}
	return context, fact, version
}

// GoType is the struct that New points to.
func (f Fact) GoType() reflect.Type { return reflect.TypeOf(f.New()).Elem() }

// SplitType splits an event type into its parts: "schoolbell.student.enrolled.v1" is "student",
// "enrolled", 1.
func SplitType(wireType string) (context, fact string, version int, err error) {
	parts := strings.Split(wireType, ".")
	if len(parts) != 4 || parts[0] != "schoolbell" || parts[1] == "" || parts[2] == "" ||
		!strings.HasPrefix(parts[3], "v") {
		return "", "", 0,
			fmt.Errorf("event type %.80q: want schoolbell.<context>.<fact>.v<n>", wireType)
	}
	version, err = strconv.Atoi(parts[3][1:])
	if err != nil || version < 0 {
		return "", "", 0,
			fmt.Errorf("event type %.80q: want schoolbell.<context>.<fact>.v<n>", wireType)
	}
	return parts[1], parts[2], version, nil
}
