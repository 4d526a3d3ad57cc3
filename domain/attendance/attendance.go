// Package attendance holds the facts about presence: a mark for a student, a day and a session, and
// its correction.
package attendance

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeMarkedV0  = "schoolbell.attendance.marked.v0"
	TypeMarked    = "schoolbell.attendance.marked.v1"
	TypeCorrected = "schoolbell.attendance.corrected.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.OlderFact(TypeMarkedV0,
		"A student's presence on a day, as the predecessor published it.",
		upcastMarkedV0),
	domain.NewFact[Marked](TypeMarked, "A student's presence in a session is marked.",
		domain.OnTimeline),
	domain.NewFact[Corrected](TypeCorrected, "An earlier mark is corrected.", domain.OnTimeline),
}

// The statuses of a mark. A late student was present; both kinds of absence were not.
const (
	Present         = "present"
	Late            = "late"
	AbsentExcused   = "absent_excused"
	AbsentUnexcused = "absent_unexcused"
)

// Marked: a student's presence in one session of one day. There is one mark for a student, date and
// session: a later one replaces it.
type Marked struct {
	StudentID string      `json:"student_id"`
	ClassID   string      `json:"class_id"`
	Date      domain.Date `json:"date"`
	Session   string      `json:"session" impersonal:"a part of the day"` // "day", "am", "pm" or the name of a period
	Status    string      `json:"status"`
	Reason    string      `json:"reason,omitzero" whose:"student"`
}

// Subject is the student.
func (e *Marked) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Marked) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Marked) Validate(f *domain.Faults) { validate(f, e) }

// Corrected replaces the mark of the same student, date and session.
type Corrected Marked

// Subject is the student.
func (e *Corrected) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Corrected) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Corrected) Validate(f *domain.Faults) { validate(f, (*Marked)(e)) }

func validate(f *domain.Faults, m *Marked) {
	f.ID("/student_id", m.StudentID)
	f.ID("/class_id", m.ClassID)
	f.Date("/date", m.Date)
	f.ID("/session", m.Session)
	f.OneOf("/status", m.Status, Present, Late, AbsentExcused, AbsentUnexcused)
	f.OptionalText("/reason", m.Reason, domain.MaxTextLength)
}

// MarkedV0 is the mark as the TypeScript predecessor wrote it: one a day, in capitals, with a
// single kind of absence and a separate status for excused ones.
type MarkedV0 struct {
	StudentID string      `json:"student_id"`
	ClassID   string      `json:"class_id"`
	Date      domain.Date `json:"date"`
	Status    string      `json:"status"` // PRESENT, LATE, ABSENT or EXCUSED
	Remark    string      `json:"remark,omitzero" whose:"student"`
}

var statusOfV0 = map[string]string{
	"PRESENT": Present, "LATE": Late, "ABSENT": AbsentUnexcused, "EXCUSED": AbsentExcused,
}

// Subject is the student.
func (e *MarkedV0) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *MarkedV0) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *MarkedV0) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.ID("/class_id", e.ClassID)
	f.Date("/date", e.Date)
	f.OneOf("/status", e.Status, "PRESENT", "LATE", "ABSENT", "EXCUSED")
	f.OptionalText("/remark", e.Remark, domain.MaxTextLength)
}

// SeenBy shows it to the office only: what is delivered has been upcast before.
func (e *MarkedV0) SeenBy(domain.Audience) domain.Event { return nil }

func upcastMarkedV0(old *MarkedV0) *Marked {
	return &Marked{
		StudentID: old.StudentID,
		ClassID:   old.ClassID,
		Date:      old.Date,
		Session:   "day",
		Status:    statusOfV0[old.Status],
		Reason:    old.Remark,
	}
}

// SeenBy gives the reason to the family only.
func (e *Marked) SeenBy(a domain.Audience) domain.Event {
	switch a {
	case domain.Self, domain.Family:
		return e
	case domain.Teaching:
		c := *e
		c.Reason = ""
		return &c
	}
	return nil
}

// SeenBy gives the reason to the family only.
func (e *Corrected) SeenBy(a domain.Audience) domain.Event {
	if seen, ok := (*Marked)(e).SeenBy(a).(*Marked); ok {
		return (*Corrected)(seen)
	}
	return nil
}
