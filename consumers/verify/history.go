package verify

import (
	"math"
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
	students   map[string]*consumers.Student
	classes    map[string]map[string]bool // the enrolled students
	guardians  map[string]*consumers.Guardian
	links      map[string]map[string]link // by student and guardian
	staff      map[string]consumers.Staff
	invoices   map[string]*consumers.Invoice
	payments   map[string]*consumers.Payment
	began      map[string]movement   // when invoices and payments came; see invoiceKey, paymentKey
	reversals  map[string]movement   // by payment
	waivers    map[string][]movement // by invoice
	attendance map[string]*consumers.Attendance
	marks      map[string]map[mark]string            // by student
	scores     map[string]map[string]consumers.Score // by student and assessment
	counted    map[string]map[string]counted         // the same
	announced  map[string]*assessment.Scheduled
	remarks    map[string]map[term]map[string]string // by student and subject
	published  map[string]map[term]time.Time         // by class
}

func newSchool() *school {
	return &school{
		students:   map[string]*consumers.Student{},
		classes:    map[string]map[string]bool{},
		guardians:  map[string]*consumers.Guardian{},
		links:      map[string]map[string]link{},
		staff:      map[string]consumers.Staff{},
		invoices:   map[string]*consumers.Invoice{},
		payments:   map[string]*consumers.Payment{},
		began:      map[string]movement{},
		reversals:  map[string]movement{},
		waivers:    map[string][]movement{},
		attendance: map[string]*consumers.Attendance{},
		marks:      map[string]map[mark]string{},
		scores:     map[string]map[string]consumers.Score{},
		counted:    map[string]map[string]counted{},
		announced:  map[string]*assessment.Scheduled{},
		remarks:    map[string]map[term]map[string]string{},
		published:  map[string]map[term]time.Time{},
	}
}

func invoiceKey(id string) string { return "invoice " + id }
func paymentKey(id string) string { return "payment " + id }

type link struct {
	relation string
	primary  bool
}

// movement is what happened to a payment or an invoice.
type movement struct {
	position int64
	at       time.Time
	amount   int64
	reason   string
}

type mark struct {
	date    domain.Date
	session string
}

type term struct{ year, term domain.Label }

// counted is what a score adds to the averages.
type counted struct {
	class, subject string
	term           term
	points         int64 // hundredths of a percent
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
	switch m := e.Data.(type) {
	case *student.Enrolled:
		s.put(consumers.Student{
			ID: m.StudentID, GivenName: m.GivenName, FamilyName: m.FamilyName, ClassID: m.ClassID,
			GradeLevel: string(m.GradeLevel), BirthDate: m.BirthDate, Enrolled: true,
		})
	case *student.ClassChanged:
		now, enrolled := s.student(m.StudentID)
		now.ClassID, now.Enrolled = m.ClassID, now.Enrolled || !enrolled
		s.put(now)
	case *student.Withdrawn:
		now, _ := s.student(m.StudentID)
		now.Enrolled, now.LeftOn = false, m.On
		s.put(now)
	case *guardian.Linked:
		entry(s.links, m.StudentID)[m.GuardianID] = link{m.Relation, m.Primary}
		s.guardians[m.GuardianID] = &consumers.Guardian{
			ID: m.GuardianID, Name: m.Name, Phone: m.Phone, Email: m.Email, Language: m.Language,
		}
	case *guardian.ContactChanged:
		g := row(s.guardians, m.GuardianID)
		g.ID, g.Phone, g.Email, g.Language = m.GuardianID, m.Phone, m.Email, m.Language
	case *staff.Assigned:
		s.staff[m.StaffID] = consumers.Staff{
			ID: m.StaffID, Name: m.Name, Role: m.Role, ClassIDs: m.ClassIDs,
		}
	case *attendance.Marked:
		s.mark(m)
	case *attendance.Corrected:
		s.mark((*attendance.Marked)(m))
	case *assessment.Scored:
		s.score(m, e.Time)
	case *assessment.ScoreCorrected:
		s.score((*assessment.Scored)(m), e.Time)
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
	case *fee.Invoiced:
		if i := row(s.invoices, m.InvoiceID); i.Amount == 0 {
			i.ID, i.StudentID, i.Category = m.InvoiceID, m.StudentID, m.Category
			i.Currency, i.Amount, i.DueOn = m.Currency, m.Amount, m.DueOn
			i.Year, i.Term = m.Year, m.Term
			s.began[invoiceKey(m.InvoiceID)] = movementOf(e, m.Amount, "")
		}
	case *fee.PaymentReceived:
		if p := row(s.payments, m.PaymentID); p.Amount == 0 {
			p.ID, p.InvoiceID, p.StudentID = m.PaymentID, m.InvoiceID, m.StudentID
			p.Currency, p.Method, p.Amount = m.Currency, m.Method, m.Amount
			p.ReceivedAt = instantOf(e)
			s.began[paymentKey(m.PaymentID)] = movementOf(e, m.Amount, "")
			i := row(s.invoices, m.InvoiceID) // which may come later
			i.ID = m.InvoiceID
		}
	case *fee.PaymentReversed:
		p := row(s.payments, m.PaymentID)
		if p.ID = m.PaymentID; !p.Reversed {
			p.Reversed = true
			s.reversals[m.PaymentID] = movementOf(e, 0, m.Reason)
		}
	case *fee.Waived:
		i := row(s.invoices, m.InvoiceID)
		i.ID = m.InvoiceID
		i.Waived += m.Amount
		s.waivers[m.InvoiceID] = append(s.waivers[m.InvoiceID], movementOf(e, m.Amount, m.Reason))
	}
}

// instantOf is the time of an event with the precision of the tables, microseconds.
func instantOf(e *domain.Envelope) time.Time { return e.Time.UTC().Truncate(time.Microsecond) }

func movementOf(e *domain.Envelope, amount int64, reason string) movement {
	return movement{e.Position.Offset, instantOf(e), amount, reason}
}

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

func (s *school) student(id string) (now consumers.Student, found bool) {
	if old := s.students[id]; old != nil {
		return *old, true
	}
	return consumers.Student{ID: id}, false
}

// put replaces a student, and moves them from the class before to that of now.
func (s *school) put(now consumers.Student) {
	if old := s.students[now.ID]; old != nil {
		delete(s.classes[old.ClassID], now.ID)
	}
	s.students[now.ID] = &now
	if now.Enrolled {
		entry(s.classes, now.ClassID)[now.ID] = true
	}
}

// mark counts a mark. A later one for the same session takes the place of the one before.
func (s *school) mark(m *attendance.Marked) {
	marks, key := entry(s.marks, m.StudentID), mark{m.Date, m.Session}
	counts := row(s.attendance, m.StudentID)
	count(counts, marks[key], -1)
	count(counts, m.Status, +1)
	marks[key] = m.Status
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

// score counts a score. A correction keeps the time of the first one.
func (s *school) score(m *assessment.Scored, at time.Time) {
	scores := entry(s.scores, m.StudentID)
	if old, corrected := scores[m.AssessmentID]; corrected {
		at = old.At
	}
	scores[m.AssessmentID] = consumers.Score{
		AssessmentID: m.AssessmentID, Subject: m.SubjectName, At: at.UTC().Truncate(time.Microsecond),
		Score: m.Score, MaxScore: m.MaxScore,
	}
	entry(s.counted, m.StudentID)[m.AssessmentID] = counted{
		m.ClassID, m.SubjectName,
		term{m.Year, m.Term},
		int64(math.Round(m.Score / m.MaxScore * 10_000)),
	}
}
