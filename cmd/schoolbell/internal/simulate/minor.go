package simulate

import (
	"math/rand/v2"
	"strconv"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/fee"
)

// minorEvents makes the n-th minor event of today, which is not in the year's plan. It depends on
// the day and on n alone.
func (p *play) minorEvents(n int) []*domain.Envelope {
	s := p.school
	saved, clock := s.r, s.clock
	defer func() { s.r, s.clock = saved, clock }() // the plan must not be affected
	s.r = rand.New(rand.NewPCG(p.Seed^uint64(p.today), uint64(n)))
	var events []*domain.Envelope
	s.yield = func(e *domain.Envelope) bool {
		events = append(events, e)
		return true
	}
	student := &s.students[(n/2)%len(s.students)]
	turn := n / (2 * len(s.students)) // how often each student has been
	id := "live-" + p.today.String() + "-" + strconv.Itoa(n)
	switch {
	case s.index == 0 || student.gone: // before the year begins, or after the student has left
	case n%2 == 0:
		s.quiz(id, p.today, student, turn)
	case turn == 0 && s.r.Float64() < 0.5:
		s.meal(id, p.today, student)
	default:
		s.correctMark(id, s.calendar.days[s.index-1], student)
	}
	return events
}

// quiz marks a student in today's quiz, or corrects the mark when all have theirs.
func (s *School) quiz(id string, today domain.Date, student *pupil, turn int) {
	class := int(student.class)
	subject := (class + int(today)) % subjectCount
	term, _ := term(s.index - 1)
	scored := s.result(s.paper(class, subject, 0, term, today), student)
	scored.AssessmentID = "live-" + today.String() + "-" + scored.ClassID
	if turn == 0 {
		s.emit(s.clock, id, assessment.TypeScored, scored)
		return
	}
	corrected := assessment.ScoreCorrected(*scored)
	s.emit(s.clock, id, assessment.TypeScoreCorrected, &corrected)
}

// meal is charged and paid at the counter.
func (s *School) meal(id string, today domain.Date, student *pupil) {
	term, _ := term(s.index - 1)
	invoiced := &fee.Invoiced{
		InvoiceID: "live-" + today.String() + "-" + student.id,
		StudentID: student.id,
		Year:      s.calendar.year,
		Term:      termLabels[term],
		Category:  "meals",
		Amount:    s.country.tuition / 150,
		Currency:  s.country.currency,
		DueOn:     today,
	}
	s.emit(s.clock, id, fee.TypeInvoiced, invoiced)
	s.emit(s.clock, id+"-paid", fee.TypePaymentReceived, &fee.PaymentReceived{
		PaymentID: "paid-" + invoiced.InvoiceID,
		InvoiceID: invoiced.InvoiceID, StudentID: student.id,
		Amount: invoiced.Amount, Currency: invoiced.Currency, Method: pick(s.r, s.country.methods),
	})
}

// correctMark corrects a mark of today, or of the last day with school. About as many students are
// absent afterwards as before.
func (s *School) correctMark(id string, day domain.Date, student *pupil) {
	corrected := &attendance.Corrected{
		StudentID: student.id, ClassID: s.classes[student.class].id, Date: day, Session: "day",
		Status: attendance.Present, Reason: "second look",
	}
	switch u := s.r.Float64(); {
	case u < 0.02:
		corrected.Status = attendance.AbsentUnexcused
	case u < 0.06:
		corrected.Status, corrected.Reason = attendance.AbsentExcused, pick(s.r, excuses)
	case u < 0.09:
		corrected.Status = attendance.Late
	}
	s.emit(s.clock, id, attendance.TypeCorrected, corrected)
}
