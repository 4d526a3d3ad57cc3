package imports

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/school"
	"github.com/schoolbell/schoolbell/domain/student"
)

// Kind says what a row of a package is about.
type Kind string

// The kinds of rows. Of the last five there is one for each key, and nothing takes them back.
const (
	KindSchool     Kind = "school"
	KindClass      Kind = "class"
	KindStudent    Kind = "student"
	KindStaff      Kind = "staff"
	KindLink       Kind = "link"
	KindAttending  Kind = "attending" // students' memberships of classes
	KindTeaching   Kind = "teaching"  // teachers' and aides'
	KindYear       Kind = "year"      // of the calendar
	KindDay        Kind = "day"
	KindAssessment Kind = "assessment"
	KindScore      Kind = "score"
	KindMark       Kind = "mark"
)

// kindUnknown is what reports call any other kind, of which the name may be content.
const kindUnknown Kind = "unknown"

// ends are the kinds of which rows can end. Who teaches a section and who attends it are two of
// them, because many systems export only one.
var ends = []Kind{KindAttending, KindTeaching, KindLink, KindStaff, KindStudent, KindClass}

// Header is the first line of a package.
type Header struct {
	// Source is the CloudEvents source of the events that follow from the package.
	Source string `json:"source"`
	// Complete names the kinds that the package has all rows of. Only of these can something end
	// because it is missing.
	Complete []Kind `json:"complete,omitempty"`
	// Rows is how many follow, if it is said: a package that was cut off between two rows looks like
	// any other.
	Rows int64 `json:"rows,omitzero"`
}

// Row is any other line of a package.
type Row struct {
	Kind Kind `json:"kind"`
	// At is where the exporting system has the row, "Student.xml:12:3", for reports.
	At string `json:"at,omitzero"`
	// Refused says why the row could not be read; it then has no data. Key is whose row it is,
	// where at least that could be read: the row's id, or [LinkKey].
	Refused string `json:"refused,omitzero"`
	Key     string `json:"key,omitzero"`
	// Time is when it happened, for the first event that says so.
	Time time.Time      `json:"time,omitzero"`
	Data jsontext.Value `json:"data,omitzero"`
}

// LinkKey names the link of a guardian and a student. Ids hold no line breaks.
func LinkKey(studentID, guardianID string) string { return studentID + "\n" + guardianID }

// Student is a student, and when they are at the school. An attribute that is absent is left as it
// is in the directory, and null removes it; so in all kinds of rows.
type Student struct {
	StudentID     string                      `json:"student_id"`
	GivenName     string                      `json:"given_name"`
	FamilyName    string                      `json:"family_name"`
	PreferredName domain.Change[string]       `json:"preferred_name,omitzero"`
	BirthDate     domain.Change[domain.Date]  `json:"birth_date,omitzero"`
	ClassID       string                      `json:"class_id"` // the home class
	GradeLevel    domain.Change[domain.Label] `json:"grade_level,omitzero"`
	Email         domain.Change[string]       `json:"email,omitzero"`
	On            domain.Date                 `json:"on"`               // the first day
	LeftOn        domain.Date                 `json:"left_on,omitzero"` // the first day after leaving
	Reason        string                      `json:"reason,omitzero"`  // of leaving
}

// Staff is a member of staff.
type Staff struct {
	StaffID  string                  `json:"staff_id"`
	Name     string                  `json:"name"`
	Role     string                  `json:"role"`
	ClassIDs domain.Change[[]string] `json:"class_ids,omitzero"`
	Subjects domain.Change[[]string] `json:"subjects,omitzero"`
	Email    domain.Change[string]   `json:"email,omitzero"`
}

// Link connects a guardian with a student. The last row of a guardian says how to reach them.
type Link struct {
	GuardianID string                `json:"guardian_id"`
	StudentID  string                `json:"student_id"`
	Name       string                `json:"name"`
	Relation   string                `json:"relation"`
	Phone      domain.Change[string] `json:"phone,omitzero"`
	Email      domain.Change[string] `json:"email,omitzero"`
	Language   domain.Change[string] `json:"language,omitzero"`
	Primary    bool                  `json:"primary"`
}

// Membership says that a person belongs to a class for a time.
type Membership struct {
	MembershipID string      `json:"membership_id"`
	ClassID      string      `json:"class_id"`
	PersonID     string      `json:"person_id"`
	Role         string      `json:"role"`
	Primary      bool        `json:"primary,omitzero"`
	From         domain.Date `json:"from"`
	To           domain.Date `json:"to,omitzero"` // the first day on which the person is no member
}

// The rows that are the data of a fact as it is.
type (
	School     = school.Described
	Class      = class.Defined
	Mark       = attendance.Marked
	Year       = calendar.YearSet
	Day        = calendar.DaySet
	Assessment = assessment.Scheduled
	Score      = assessment.Scored
)

// Validate reports everything that is wrong with a row, by the rules of the facts that it becomes.
func (s *Student) Validate(f *domain.Faults) {
	s.enrolled(s.On).Validate(f)
	f.OptionalText("/preferred_name", s.PreferredName.Value, domain.MaxTextLength)
	f.OptionalDate("/left_on", s.LeftOn)
	f.OptionalText("/reason", s.Reason, domain.MaxTextLength)
	f.Check("/left_on", s.LeftOn.IsZero() || s.LeftOn >= s.On, "must not be before on")
}

// enrolled is the fact that the student joins the school on a day.
func (s *Student) enrolled(on domain.Date) *student.Enrolled {
	return &student.Enrolled{
		StudentID: s.StudentID, GivenName: s.GivenName, FamilyName: s.FamilyName,
		BirthDate: s.BirthDate.Value, ClassID: s.ClassID, GradeLevel: s.GradeLevel.Value,
		Email: s.Email.Value, On: on,
	}
}

// Validate reports everything that is wrong with a row.
func (s *Staff) Validate(f *domain.Faults) { s.assigned(nil).Validate(f) }

// Validate reports everything that is wrong with a row.
func (l *Link) Validate(f *domain.Faults) { l.linked(l).Validate(f) }

// Validate reports everything that is wrong with a row.
func (m *Membership) Validate(f *domain.Faults) {
	m.started(m.From).Validate(f)
	f.OptionalDate("/to", m.To)
	f.Check("/to", m.To.IsZero() || m.To >= m.From, "must not be before from")
}

func (m *Membership) started(from domain.Date) *membership.Started {
	return &membership.Started{
		MembershipID: m.MembershipID, ClassID: m.ClassID, PersonID: m.PersonID, Role: m.Role,
		Primary: m.Primary, From: from,
	}
}

// kind is which of the two kinds of memberships it is.
func (m *Membership) kind() Kind {
	if m.Role == membership.Student {
		return KindAttending
	}
	return KindTeaching
}
