// Package student holds the facts of a student's life at a school: enrolled, moved between classes,
// withdrawn. They say which class a student is in and from when on; marks and scores name the class
// themselves, as it was, so that a move does not change what was counted before.
package student

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeEnrolled     = "schoolbell.student.enrolled.v1"
	TypeClassChanged = "schoolbell.student.class_changed.v1"
	TypeWithdrawn    = "schoolbell.student.withdrawn.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Enrolled](TypeEnrolled, "A student joins the school in a class.",
		domain.OnTimeline),
	domain.NewFact[ClassChanged](TypeClassChanged, "A student moves to another class.",
		domain.OnTimeline),
	domain.NewFact[Withdrawn](TypeWithdrawn, "A student leaves the school.", domain.OnTimeline),
}

// Enrolled: a student joins the school in a class. Enrolling a student again replaces the earlier
// data.
type Enrolled struct {
	StudentID  string       `json:"student_id"`
	GivenName  string       `json:"given_name"`
	FamilyName string       `json:"family_name"`
	BirthDate  domain.Date  `json:"birth_date,omitzero"`
	ClassID    string       `json:"class_id"`
	GradeLevel domain.Label `json:"grade_level,omitzero"`
	PhotoURL   string       `json:"photo_url,omitzero"`
	On         domain.Date  `json:"on"`
}

// Subject is the student.
func (e *Enrolled) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Enrolled) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Enrolled) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.Text("/given_name", e.GivenName, domain.MaxTextLength)
	f.Text("/family_name", e.FamilyName, domain.MaxTextLength)
	f.OptionalDate("/birth_date", e.BirthDate)
	f.ID("/class_id", e.ClassID)
	f.OptionalLabel("/grade_level", e.GradeLevel)
	f.OptionalURL("/photo_url", e.PhotoURL)
	f.Date("/on", e.On)
	f.Check("/birth_date", e.BirthDate.IsZero() || e.On.IsZero() || e.BirthDate <= e.On,
		"must not be after the day of enrolment")
}

// ClassChanged: a student moves to another class on a day.
type ClassChanged struct {
	StudentID string      `json:"student_id"`
	ClassID   string      `json:"class_id"`
	On        domain.Date `json:"on"`
}

// Subject is the student.
func (e *ClassChanged) Subject() string { return e.StudentID }

// Rooms are the student's and the new class's.
func (e *ClassChanged) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *ClassChanged) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.ID("/class_id", e.ClassID)
	f.Date("/on", e.On)
}

// Withdrawn: a student leaves the school on a day.
type Withdrawn struct {
	StudentID string      `json:"student_id"`
	On        domain.Date `json:"on"`
	Reason    string      `json:"reason,omitzero"`
}

// Subject is the student.
func (e *Withdrawn) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *Withdrawn) Rooms() []domain.Room {
	return domain.In(domain.RoomStudent, e.StudentID)
}

// Validate implements [domain.Event].
func (e *Withdrawn) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.Date("/on", e.On)
	f.OptionalText("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy hides a student's data from other families.
func (e *Enrolled) SeenBy(a domain.Audience) domain.Event {
	switch a {
	case domain.Self, domain.Family, domain.Teaching:
		return e
	case domain.Accounts:
		c := *e
		c.BirthDate, c.PhotoURL = 0, ""
		return &c
	}
	return nil
}

// SeenBy hides a student's moves from other families.
func (e *ClassChanged) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self, domain.Family, domain.Accounts, domain.Teaching)
}

// SeenBy gives the reason to the family only.
func (e *Withdrawn) SeenBy(a domain.Audience) domain.Event {
	switch a {
	case domain.Self, domain.Family:
		return e
	case domain.Accounts, domain.Teaching:
		c := *e
		c.Reason = ""
		return &c
	}
	return nil
}
