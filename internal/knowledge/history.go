package knowledge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// History is what was known at any point of one partition, made from its events in memory. It knows the facts the way
// the projections do, without sharing their code, so that a plan can be recomputed and held against what was planned. It
// implements [consumers.Snapshot].
type History struct {
	next    int64
	schools map[string]*school
}

// NewHistory returns the history before the first event.
func NewHistory() *History { return &History{schools: map[string]*school{}} }

type school struct {
	students   map[string]*consumers.Student
	classes    map[string]map[string]bool // the enrolled students
	guardians  map[string]*consumers.Guardian
	links      map[string]map[string]link // by student and guardian
	staff      map[string]consumers.Staff
	invoices   map[string]*consumers.Invoice
	payments   map[string]*consumers.Payment
	attendance map[string]*consumers.Attendance
	marks      map[mark]string
	scores     map[string]map[string]score // by student and assessment
}

type link struct {
	relation string
	primary  bool
}

type mark struct {
	student, session string
	date             domain.Date
}

type score struct {
	class, subject string
	year, term     domain.Label
	points         int64
}

// Add takes the next event.
func (h *History) Add(e *domain.Envelope) {
	h.next = e.Position.Offset + 1
	s := h.schools[e.School]
	if s == nil {
		s = &school{
			students: map[string]*consumers.Student{}, classes: map[string]map[string]bool{}, guardians: map[string]*consumers.Guardian{},
			links: map[string]map[string]link{}, staff: map[string]consumers.Staff{}, invoices: map[string]*consumers.Invoice{},
			payments: map[string]*consumers.Payment{}, attendance: map[string]*consumers.Attendance{}, marks: map[mark]string{},
			scores: map[string]map[string]score{},
		}
		h.schools[e.School] = s
	}
	s.add(e)
}

func (s *school) add(e *domain.Envelope) {
	switch m := e.Data.(type) {
	case *student.Enrolled:
		s.put(consumers.Student{
			ID: m.StudentID, GivenName: m.GivenName, FamilyName: m.FamilyName, ClassID: m.ClassID, GradeLevel: string(m.GradeLevel),
			BirthDate: m.BirthDate, Enrolled: true,
		})
	case *student.ClassChanged:
		now, known := s.student(m.StudentID)
		now.ClassID, now.Enrolled = m.ClassID, now.Enrolled || !known
		s.put(now)
	case *student.Withdrawn:
		now, _ := s.student(m.StudentID)
		now.Enrolled = false
		s.put(now)
	case *guardian.Linked:
		entry(s.links, m.StudentID)[m.GuardianID] = link{m.Relation, m.Primary}
		s.guardians[m.GuardianID] = &consumers.Guardian{ID: m.GuardianID, Name: m.Name, Phone: m.Phone, Email: m.Email, Language: m.Language}
	case *guardian.ContactChanged:
		g := row(s.guardians, m.GuardianID)
		g.ID, g.Phone, g.Email, g.Language = m.GuardianID, m.Phone, m.Email, m.Language
	case *staff.Assigned:
		s.staff[m.StaffID] = consumers.Staff{ID: m.StaffID, Name: m.Name, Role: m.Role, ClassIDs: m.ClassIDs}
	case *attendance.Marked:
		s.mark(m)
	case *attendance.Corrected:
		s.mark((*attendance.Marked)(m))
	case *assessment.Scored:
		s.score(m)
	case *assessment.ScoreCorrected:
		s.score((*assessment.Scored)(m))
	case *fee.Invoiced:
		if i := row(s.invoices, m.InvoiceID); i.Amount == 0 {
			i.ID, i.StudentID, i.Category, i.Currency, i.Year, i.Term = m.InvoiceID, m.StudentID, m.Category, m.Currency, m.Year, m.Term
			i.Amount, i.DueOn = m.Amount, m.DueOn
		}
	case *fee.PaymentReceived:
		if p := row(s.payments, m.PaymentID); p.Amount == 0 {
			p.ID, p.InvoiceID, p.StudentID, p.Currency, p.Method, p.Amount = m.PaymentID, m.InvoiceID, m.StudentID, m.Currency, m.Method, m.Amount
			p.ReceivedAt = e.Time.UTC()
			i := row(s.invoices, m.InvoiceID)
			i.ID, i.Currency = m.InvoiceID, m.Currency
		}
	case *fee.PaymentReversed:
		p := row(s.payments, m.PaymentID)
		p.ID, p.Reversed = m.PaymentID, true
	case *fee.Waived:
		i := row(s.invoices, m.InvoiceID)
		i.ID = m.InvoiceID
		i.Waived += m.Amount
	}
}

func row[T any](rows map[string]*T, id string) *T {
	if rows[id] == nil {
		rows[id] = new(T)
	}
	return rows[id]
}

func entry[V any](of map[string]map[string]V, id string) map[string]V {
	if of[id] == nil {
		of[id] = map[string]V{}
	}
	return of[id]
}

func (s *school) student(id string) (now consumers.Student, known bool) {
	if old := s.students[id]; old != nil {
		return *old, true
	}
	return consumers.Student{ID: id}, false
}

func (s *school) put(now consumers.Student) {
	if old := s.students[now.ID]; old != nil {
		delete(s.classes[old.ClassID], now.ID)
	}
	s.students[now.ID] = &now
	if now.Enrolled {
		entry(s.classes, now.ClassID)[now.ID] = true
	}
}

func (s *school) mark(m *attendance.Marked) {
	key := mark{m.StudentID, m.Session, m.Date}
	counts := row(s.attendance, m.StudentID)
	count(counts, s.marks[key], -1)
	count(counts, m.Status, +1)
	s.marks[key] = m.Status
}

func count(c *consumers.Attendance, status string, n int64) {
	switch status {
	case attendance.Present:
		c.Present += n
	case attendance.Late:
		c.Late += n
	case attendance.AbsentExcused:
		c.AbsentExcused += n
	case attendance.AbsentUnexcused:
		c.AbsentUnexcused += n
	}
}

func (s *school) score(m *assessment.Scored) {
	entry(s.scores, m.StudentID)[m.AssessmentID] = score{
		m.ClassID, m.SubjectName, m.Year, m.Term, int64(math.Round(m.Score / m.MaxScore * 10_000)),
	}
}

// Next implements [consumers.Snapshot].
func (h *History) Next(context.Context, int32) (int64, error) { return h.next, nil }

// Close implements [consumers.Snapshot].
func (h *History) Close() {}

// Answer implements [consumers.Snapshot].
func (h *History) Answer(_ context.Context, questions []*consumers.Question) error {
	for _, q := range questions {
		s := h.schools[q.School]
		if s == nil {
			s = &school{}
		}
		if q.Answer = s.answer(q.Asked); q.Answer == nil {
			return fmt.Errorf("question of kind %d is not known", q.Kind)
		}
	}
	return nil
}

func (s *school) answer(q consumers.Asked) any {
	switch q.Kind {
	case consumers.AskStudent:
		return value(s.students[q.ID])
	case consumers.AskGuardians:
		return s.guardiansOf(q.ID)
	case consumers.AskGuardian:
		return value(s.guardians[q.ID])
	case consumers.AskClass:
		var class []consumers.Student
		for _, id := range slices.Sorted(maps.Keys(s.classes[q.ID])) {
			class = append(class, *s.students[id])
		}
		return class
	case consumers.AskClasses:
		var ids []string
		for id, students := range s.classes {
			if len(students) > 0 {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	case consumers.AskStaff:
		return slices.SortedFunc(maps.Values(s.staff), func(a, b consumers.Staff) int { return cmp.Compare(a.ID, b.ID) })
	case consumers.AskInvoice:
		return s.invoice(q.ID)
	case consumers.AskPayment:
		return value(s.payments[q.ID])
	case consumers.AskAttendance:
		return value(s.attendance[q.ID])
	case consumers.AskAverages:
		return s.averages(q)
	case consumers.AskRank:
		return s.rank(q)
	}
	return nil
}

func value[T any](v *T) T {
	if v == nil {
		return *new(T)
	}
	return *v
}

func (s *school) guardiansOf(studentID string) []consumers.Guardian {
	var all []consumers.Guardian
	for id, l := range s.links[studentID] {
		g := *s.guardians[id]
		g.Relation, g.Primary = l.relation, l.primary
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b consumers.Guardian) int {
		if a.Primary != b.Primary {
			if a.Primary {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return all
}

func (s *school) invoice(id string) consumers.Invoice {
	i := value(s.invoices[id])
	if i.Amount == 0 {
		return i
	}
	i.Open = i.Amount - i.Waived
	for _, p := range s.payments {
		if p.InvoiceID == id && !p.Reversed {
			i.Open -= p.Amount
		}
	}
	return i
}

// sum is a number of scores and their points.
type sum struct{ scores, points int64 }

func (a sum) percent() float64 { return float64(a.points) / 100 / float64(a.scores) }

func (s *school) averages(q consumers.Asked) []consumers.Average {
	class := value(s.students[q.ID]).ClassID
	bySubject := map[string]sum{}
	for _, v := range s.scores[q.ID] {
		if v.year == q.Year && v.term == q.Term && v.class == class {
			a := bySubject[v.subject]
			bySubject[v.subject] = sum{a.scores + 1, a.points + v.points}
		}
	}
	var all []consumers.Average
	for _, subject := range slices.Sorted(maps.Keys(bySubject)) {
		a := bySubject[subject]
		all = append(all, consumers.Average{Subject: subject, Percent: a.percent(), Scores: a.scores})
	}
	return all
}

func (s *school) rank(q consumers.Asked) consumers.Rank {
	var r consumers.Rank
	byStudent := map[string]sum{}
	for id, scores := range s.scores {
		for _, v := range scores {
			if v.year == q.Year && v.term == q.Term && v.class == q.ClassID {
				a := byStudent[id]
				byStudent[id] = sum{a.scores + 1, a.points + v.points}
			}
		}
	}
	mine, ok := byStudent[q.ID]
	if !ok {
		return r
	}
	r = consumers.Rank{Place: 1, Of: len(byStudent), Percent: mine.percent()}
	for _, a := range byStudent {
		if a.points*mine.scores > mine.points*a.scores {
			r.Place++
		}
	}
	return r
}
