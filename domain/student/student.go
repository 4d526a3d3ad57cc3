// Package student holds the facts of a student's life at a school: enrolled, moved between home
// classes, withdrawn. They say which home class a student is in and from when on; marks and scores
// name the class themselves, as it was, so that a move does not change what was counted before.
// Sections, the groups in which subjects are taught, are in package membership.
//
// What a fact does not say it does not touch, and the days that facts name decide, not the order in
// which they arrive.
package student

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeEnrolled       = "schoolbell.student.enrolled.v1"
	TypeDetailsChanged = "schoolbell.student.details_changed.v1"
	TypeClassChanged   = "schoolbell.student.class_changed.v1"
	TypeWithdrawn      = "schoolbell.student.withdrawn.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Enrolled](TypeEnrolled, "A student joins the school in a class.",
		domain.OnTimeline),
	domain.NewFact[DetailsChanged](TypeDetailsChanged,
		"What is known of a student changes, or is corrected.", domain.OnTimeline),
	domain.NewFact[ClassChanged](TypeClassChanged, "A student moves to another home class.",
		domain.OnTimeline),
	domain.NewFact[Withdrawn](TypeWithdrawn, "A student leaves the school.", domain.OnTimeline),
}

// Enrolled: a student joins the school in a home class, from a day on. Enrolling a student again
// corrects what it says, and leaves what it does not: an absent photo is not a removed one, and a
// day within an enrolment begins no new one.
type Enrolled struct {
	StudentID  string       `json:"student_id"`
	GivenName  string       `json:"given_name" whose:"student"`
	FamilyName string       `json:"family_name" whose:"student"`
	BirthDate  domain.Date  `json:"birth_date,omitzero" whose:"student"`
	ClassID    string       `json:"class_id"`
	GradeLevel domain.Label `json:"grade_level,omitzero" whose:"student"`
	PhotoURL   string       `json:"photo_url,omitzero" whose:"student"`
	Email      string       `json:"email,omitzero" whose:"student"` // the student's own
	On         domain.Date  `json:"on"`
}

// Subject is the student.
func (e *Enrolled) Subject() string { return e.StudentID }

// Rooms are the student's and the class's.
func (e *Enrolled) Rooms() []domain.Room { return domain.StudentAndClass(e.StudentID, e.ClassID) }

// Validate implements [domain.Event].
func (e *Enrolled) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.Name("/given_name", e.GivenName)
	f.Name("/family_name", e.FamilyName)
	f.OptionalDate("/birth_date", e.BirthDate)
	f.ID("/class_id", e.ClassID)
	f.OptionalLabel("/grade_level", e.GradeLevel)
	f.OptionalURL("/photo_url", e.PhotoURL)
	f.OptionalEmail("/email", e.Email)
	f.Date("/on", e.On)
	f.Check("/birth_date", e.BirthDate.IsZero() || e.On.IsZero() || e.BirthDate <= e.On,
		"must not be after the day of enrolment")
}

// DetailsChanged: what is known of a student is different, or is put right. Names cannot be removed,
// so an empty one is an absent one.
type DetailsChanged struct {
	StudentID     string                      `json:"student_id"`
	GivenName     string                      `json:"given_name,omitzero" whose:"student"`
	FamilyName    string                      `json:"family_name,omitzero" whose:"student"`
	PreferredName domain.Change[string]       `json:"preferred_name,omitzero" whose:"student"`
	BirthDate     domain.Change[domain.Date]  `json:"birth_date,omitzero" whose:"student"`
	GradeLevel    domain.Change[domain.Label] `json:"grade_level,omitzero" whose:"student"`
	PhotoURL      domain.Change[string]       `json:"photo_url,omitzero" whose:"student"`
	Email         domain.Change[string]       `json:"email,omitzero" whose:"student"`
	// Identifiers are what other systems call the student, all of them: "state:604858".
	Identifiers domain.Change[[]string] `json:"identifiers,omitzero" whose:"student"`
}

// Subject is the student.
func (e *DetailsChanged) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *DetailsChanged) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *DetailsChanged) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.OptionalName("/given_name", e.GivenName)
	f.OptionalName("/family_name", e.FamilyName)
	f.OptionalName("/preferred_name", e.PreferredName.Value)
	f.OptionalDate("/birth_date", e.BirthDate.Value)
	f.OptionalLabel("/grade_level", e.GradeLevel.Value)
	f.OptionalURL("/photo_url", e.PhotoURL.Value)
	f.OptionalEmail("/email", e.Email.Value)
	f.IDs("/identifiers", e.Identifiers.Value)
}

// ClassChanged: a student is in another home class from a day on.
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

// Withdrawn: a student is no longer at the school from a day on.
type Withdrawn struct {
	StudentID string      `json:"student_id"`
	On        domain.Date `json:"on"`
	Reason    string      `json:"reason,omitzero" whose:"student"`
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
		c.BirthDate, c.PhotoURL, c.Email = 0, "", ""
		return &c
	}
	return nil
}

// SeenBy hides a student's data from other families, and what other systems call the student from
// all who only teach or charge them.
func (e *DetailsChanged) SeenBy(a domain.Audience) domain.Event {
	c := *e
	c.Identifiers = domain.Change[[]string]{}
	switch a {
	case domain.Self, domain.Family:
		return e
	case domain.Teaching:
		return &c
	case domain.Accounts:
		c.BirthDate, c.PhotoURL, c.Email = domain.Change[domain.Date]{}, domain.Change[string]{},
			domain.Change[string]{}
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
