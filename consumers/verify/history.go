package verify

import (
	"cmp"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// History holds the facts at one point of a partition. It folds the same events into the same facts
// as the projections do, and shares no code with them.
type History struct {
	next    int64
	schools map[string]*school
}

// NewHistory returns the history before the first event.
func NewHistory() *History { return &History{schools: map[string]*school{}} }

// school holds the facts of one school. Maps of maps are made when something is put into them.
type school struct {
	directory directory
	students  map[string]*consumers.Student // without what depends on the day
	guardians map[string]*consumers.Guardian
	optedOut  map[string]map[string]bool // by guardian and channel
	staff     map[string]consumers.Staff
	money     money
	years     map[domain.Label]said[*calendar.YearSet]
	days      map[classDay]said[string]
	marks     map[string]map[mark]marked // by student
	absences  map[string]map[domain.Date][]consumers.AbsenceChange
	scores    map[string]map[string]*score // by student and assessment
	announced map[string]*assessment.Scheduled
	remarks   map[string]map[term]map[string]string // by student and subject
	published map[string]map[term]time.Time         // by class
}

func newSchool() *school {
	return &school{
		directory: newDirectory(),
		students:  map[string]*consumers.Student{},
		guardians: map[string]*consumers.Guardian{},
		optedOut:  map[string]map[string]bool{},
		staff:     map[string]consumers.Staff{},
		money:     newMoney(),
		years:     map[domain.Label]said[*calendar.YearSet]{},
		days:      map[classDay]said[string]{},
		marks:     map[string]map[mark]marked{},
		absences:  map[string]map[domain.Date][]consumers.AbsenceChange{},
		scores:    map[string]map[string]*score{},
		announced: map[string]*assessment.Scheduled{},
		remarks:   map[string]map[term]map[string]string{},
		published: map[string]map[term]time.Time{},
	}
}

type term struct{ year, term domain.Label }

// is reports a term of a school year, which has several names.
func (t term) is(year, name domain.Label) bool {
	return t.term == name && domain.YearOf(t.year) == domain.YearOf(year)
}

// Add takes the next event of the partition. Events that no rule looks at change nothing.
func (h *History) Add(e *domain.Envelope) {
	h.next = e.Position.Offset + 1
	s := h.schools[e.School]
	if s == nil {
		s = newSchool()
		h.schools[e.School] = s
	}
	s.add(e)
}

// add folds an event. The log may hold events in an order that the school's own system would not
// produce, as after an import: money that comes before its invoice, a student whose class changes
// before they are enrolled. What has arrived then is stored until the rest does.
func (s *school) add(e *domain.Envelope) {
	s.directory.add(e)
	switch m := e.Data.(type) {
	case *student.Enrolled:
		of := row(s.students, m.StudentID)
		of.ID, of.GivenName, of.FamilyName = m.StudentID, m.GivenName, m.FamilyName
		of.GradeLevel = cmp.Or(string(m.GradeLevel), of.GradeLevel)
		of.BirthDate = cmp.Or(m.BirthDate, of.BirthDate)
	case *student.DetailsChanged:
		of := row(s.students, m.StudentID)
		of.ID, of.GivenName = m.StudentID, cmp.Or(m.GivenName, of.GivenName)
		of.FamilyName = cmp.Or(m.FamilyName, of.FamilyName)
		of.GradeLevel = string(m.GradeLevel.Or(domain.Label(of.GradeLevel)))
		of.BirthDate = m.BirthDate.Or(of.BirthDate)
	case *student.ClassChanged:
		row(s.students, m.StudentID).ID = m.StudentID
	case *student.Withdrawn:
		row(s.students, m.StudentID).ID = m.StudentID
	case *guardian.Linked:
		g := row(s.guardians, m.GuardianID)
		g.ID, g.Name, g.Phone = m.GuardianID, m.Name, cmp.Or(m.Phone, g.Phone)
		g.Email, g.Language = cmp.Or(m.Email, g.Email), cmp.Or(m.Language, g.Language)
	case *guardian.ContactChanged:
		g := row(s.guardians, m.GuardianID)
		g.ID, g.Phone, g.Email, g.Language = m.GuardianID, m.Phone, m.Email, m.Language
	case *guardian.DetailsChanged:
		g := row(s.guardians, m.GuardianID)
		g.ID, g.Name, g.Phone = m.GuardianID, cmp.Or(m.Name, g.Name), m.Phone.Or(g.Phone)
		g.Email, g.Language = m.Email.Or(g.Email), m.Language.Or(g.Language)
	case *guardian.OptedOut:
		entry(s.optedOut, m.GuardianID)[m.Channel] = true
	case *guardian.OptedIn:
		delete(s.optedOut[m.GuardianID], m.Channel)
	case *staff.Assigned:
		s.staff[m.StaffID] = consumers.Staff{ID: m.StaffID, Name: m.Name, Role: m.Role}
	case *staff.DetailsChanged:
		of := s.staff[m.StaffID]
		of.ID, of.Name, of.Role = m.StaffID, cmp.Or(m.Name, of.Name), cmp.Or(m.Role, of.Role)
		s.staff[m.StaffID] = of
	case *staff.Left:
		of := s.staff[m.StaffID]
		of.ID = m.StaffID
		s.staff[m.StaffID] = of
	case *attendance.Marked:
		s.mark(e, m, false)
	case *attendance.Corrected:
		s.mark(e, (*attendance.Marked)(m), true)
	case *calendar.YearSet:
		set(s.years, m.Year, e, m)
	case *calendar.DaySet:
		s.daySet(e, m)
	case *assessment.Scored:
		s.score(m, e.Time, false)
	case *assessment.ScoreCorrected:
		s.score((*assessment.Scored)(m), e.Time, true)
	case *assessment.Unscored:
		s.unscored(m, e.Time)
	case *assessment.Scheduled:
		s.announced[m.AssessmentID] = m
	case *assessment.Remarked:
		of := term{m.Year, m.Term}
		if m.Text == "" {
			delete(s.remarks[m.StudentID][of], m.SubjectName)
		} else {
			entry(entry(s.remarks, m.StudentID), of)[m.SubjectName] = m.Text
		}
	case *assessment.ResultsPublished:
		of := entry(s.published, m.ClassID)
		if _, already := of[term{m.Year, m.Term}]; !already {
			of[term{m.Year, m.Term}] = instantOf(e)
		}
	}
	s.money.add(e)
}

// instantOf is the time of an event with the precision of the tables, microseconds.
func instantOf(e *domain.Envelope) time.Time { return e.Time.UTC().Truncate(time.Microsecond) }

// row returns the row of an id, which it makes if there is none.
func row[T any](rows map[string]*T, id string) *T {
	if rows[id] == nil {
		rows[id] = new(T)
	}
	return rows[id]
}

// entry returns the inner map of a key, which it makes if there is none.
func entry[K, L comparable, V any](of map[K]map[L]V, id K) map[L]V {
	if of[id] == nil {
		of[id] = map[L]V{}
	}
	return of[id]
}
