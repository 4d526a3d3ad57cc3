package plan_test

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// memory knows what a list of events of one school says.
type memory struct {
	now       time.Time
	students  map[string]consumers.Student
	guardians map[string]consumers.Guardian
	links     map[string]map[string]consumers.Guardian // by student and guardian
	staff     map[string]consumers.Staff
	invoices  map[string]consumers.Invoice
	marks     map[string]map[string]string // the status by student and slot
	scores    map[scoreKey][]float64       // in percent
}

type scoreKey struct {
	student, class, subject string
	year, term              domain.Label
}

func newMemory() *memory {
	return &memory{
		students:  map[string]consumers.Student{},
		guardians: map[string]consumers.Guardian{},
		links:     map[string]map[string]consumers.Guardian{},
		staff:     map[string]consumers.Staff{},
		invoices:  map[string]consumers.Invoice{},
		marks:     map[string]map[string]string{},
		scores:    map[scoreKey][]float64{},
	}
}

func (m *memory) learn(e *domain.Envelope) {
	switch x := e.Data.(type) {
	case *student.Enrolled:
		m.students[x.StudentID] = consumers.Student{
			ID: x.StudentID, GivenName: x.GivenName, FamilyName: x.FamilyName, ClassID: x.ClassID,
			GradeLevel: string(x.GradeLevel), BirthDate: x.BirthDate, Enrolled: true,
		}
	case *student.Withdrawn:
		s := m.students[x.StudentID]
		s.Enrolled = false
		m.students[x.StudentID] = s
	case *guardian.Linked:
		m.guardians[x.GuardianID] = consumers.Guardian{ID: x.GuardianID, Name: x.Name, Phone: x.Phone, Email: x.Email, Language: x.Language}
		if m.links[x.StudentID] == nil {
			m.links[x.StudentID] = map[string]consumers.Guardian{}
		}
		m.links[x.StudentID][x.GuardianID] = consumers.Guardian{Relation: x.Relation, Primary: x.Primary}
	case *guardian.ContactChanged:
		g := m.guardians[x.GuardianID]
		g.Phone, g.Email, g.Language = x.Phone, x.Email, x.Language
		m.guardians[x.GuardianID] = g
	case *staff.Assigned:
		m.staff[x.StaffID] = consumers.Staff{ID: x.StaffID, Name: x.Name, Role: x.Role, ClassIDs: x.ClassIDs}
	case *attendance.Marked:
		m.mark(x)
	case *attendance.Corrected:
		m.mark((*attendance.Marked)(x))
	case *fee.Invoiced:
		m.invoices[x.InvoiceID] = consumers.Invoice{
			ID: x.InvoiceID, StudentID: x.StudentID, Category: x.Category, Currency: x.Currency, Year: x.Year, Term: x.Term,
			Amount: x.Amount, Open: x.Amount, DueOn: x.DueOn,
		}
	case *fee.PaymentReceived:
		i := m.invoices[x.InvoiceID]
		i.Open -= x.Amount
		m.invoices[x.InvoiceID] = i
	case *assessment.Scored:
		k := scoreKey{x.StudentID, x.ClassID, x.SubjectName, x.Year, x.Term}
		m.scores[k] = append(m.scores[k], 100*x.Score/x.MaxScore)
	}
}

func (m *memory) mark(x *attendance.Marked) {
	if m.marks[x.StudentID] == nil {
		m.marks[x.StudentID] = map[string]string{}
	}
	m.marks[x.StudentID][x.Date.String()+x.Session] = x.Status
}

func (m *memory) Now() time.Time                           { return m.now }
func (m *memory) Student(id string) consumers.Student      { return m.students[id] }
func (m *memory) Guardian(id string) consumers.Guardian    { return m.guardians[id] }
func (m *memory) Invoice(id string) consumers.Invoice      { return m.invoices[id] }
func (m *memory) Payment(string) consumers.Payment         { return consumers.Payment{} }
func (m *memory) Staff() []consumers.Staff                 { return byID(m.staff) }
func (m *memory) Classes() []string                        { return slices.Sorted(maps.Keys(m.classes())) }
func (m *memory) Class(classID string) []consumers.Student { return m.classes()[classID] }

func (m *memory) Guardians(studentID string) []consumers.Guardian {
	var list []consumers.Guardian
	for id, link := range m.links[studentID] {
		g := m.guardians[id]
		g.Relation, g.Primary = link.Relation, link.Primary
		list = append(list, g)
	}
	slices.SortFunc(list, func(a, b consumers.Guardian) int {
		if a.Primary != b.Primary {
			if a.Primary {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return list
}

func (m *memory) classes() map[string][]consumers.Student {
	classes := map[string][]consumers.Student{}
	for _, s := range byID(m.students) {
		if s.Enrolled {
			classes[s.ClassID] = append(classes[s.ClassID], s)
		}
	}
	return classes
}

func (m *memory) Attendance(studentID string) consumers.Attendance {
	var a consumers.Attendance
	for _, status := range m.marks[studentID] {
		switch status {
		case attendance.Present:
			a.Present++
		case attendance.Late:
			a.Late++
		case attendance.AbsentExcused:
			a.AbsentExcused++
		case attendance.AbsentUnexcused:
			a.AbsentUnexcused++
		}
	}
	return a
}

func (m *memory) Averages(studentID string, year, term domain.Label) []consumers.Average {
	var list []consumers.Average
	for k, scores := range m.scores {
		if k.student == studentID && k.year == year && k.term == term {
			list = append(list, consumers.Average{Subject: k.subject, Percent: mean(scores), Scores: int64(len(scores))})
		}
	}
	slices.SortFunc(list, func(a, b consumers.Average) int { return cmp.Compare(a.Subject, b.Subject) })
	return list
}

func (m *memory) Rank(studentID, classID string, year, term domain.Label) consumers.Rank {
	all := map[string][]float64{}
	for k, scores := range m.scores {
		if k.class == classID && k.year == year && k.term == term {
			all[k.student] = append(all[k.student], scores...)
		}
	}
	own, ok := all[studentID]
	if !ok {
		return consumers.Rank{}
	}
	r := consumers.Rank{Place: 1, Of: len(all), Percent: mean(own)}
	for _, scores := range all {
		if mean(scores) > r.Percent {
			r.Place++
		}
	}
	return r
}

func mean(list []float64) float64 {
	sum := 0.0
	for _, v := range list {
		sum += v
	}
	return sum / float64(len(list))
}

func byID[T any](m map[string]T) []T {
	var list []T
	for _, id := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[id])
	}
	return list
}
