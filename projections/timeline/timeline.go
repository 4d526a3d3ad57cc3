// Package timeline is what happened to a student, newest first: one line for each event that is about a student. It only
// ever adds lines, under the position of the event, and keeps of the event what a line shows.
package timeline

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/document"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/fees"
)

// Projection is the read model.
var Projection = projections.New("timeline", 1,
	lines,
	projections.Reads(fees.Projection),
	projections.OnEvery(fold),
)

var lines = projections.NewAppendTable[key, row]("timeline")

type key struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
	Position  int64  `db:"position"`
}

type row struct {
	Fact string    `db:"fact"` // the event's type without its frame, as "attendance.marked"
	At   time.Time `db:"at"`
	Data string    `db:"data"` // JSON
}

// What is kept of events that are frequent or hold more than a line needs. The others are kept as they are.
type (
	score struct {
		AssessmentID string       `json:"assessment_id"`
		Subject      string       `json:"subject"`
		Score        float64      `json:"score"`
		MaxScore     float64      `json:"max_score"`
		ClassID      string       `json:"class_id"`
		Year         domain.Label `json:"year"`
		Term         domain.Label `json:"term"`
	}
	link struct {
		GuardianID string `json:"guardian_id"`
		Name       string `json:"name"`
		Relation   string `json:"relation"`
	}
	reversal struct {
		PaymentID string `json:"payment_id"`
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Reason    string `json:"reason"`
	}
	waiver struct {
		InvoiceID string `json:"invoice_id"`
		Amount    int64  `json:"amount"`
		Currency  string `json:"currency"`
		Reason    string `json:"reason"`
	}
)

func fold(b *projections.Batch, e *domain.Envelope) error {
	l := line{e.School, "", e.Position.Offset, e.Time}
	switch m := e.Data.(type) {
	case *attendance.Marked:
		return l.of(m.StudentID).addMark(b, "attendance.marked", m)
	case *attendance.Corrected:
		return l.of(m.StudentID).addMark(b, "attendance.corrected", (*attendance.Marked)(m))
	case *assessment.Scored:
		return l.of(m.StudentID).add(b, "assessment.scored", newScore(m))
	case *assessment.ScoreCorrected:
		return l.of(m.StudentID).add(b, "assessment.score_corrected", newScore((*assessment.Scored)(m)))
	case *assessment.Remarked:
		return l.of(m.StudentID).add(b, "assessment.remarked", m)
	case *student.Enrolled:
		return l.of(m.StudentID).add(b, "student.enrolled", m)
	case *student.ClassChanged:
		return l.of(m.StudentID).add(b, "student.class_changed", m)
	case *student.Withdrawn:
		return l.of(m.StudentID).add(b, "student.withdrawn", m)
	case *guardian.Linked:
		return l.of(m.StudentID).add(b, "guardian.linked", link{m.GuardianID, m.Name, m.Relation})
	case *fee.Invoiced:
		return invoiced(b, l, m)
	case *fee.PaymentReceived:
		return paid(b, l, m)
	case *fee.PaymentReversed:
		return reversed(b, l, m)
	case *fee.Waived:
		return waived(b, l, m)
	case *fee.ReminderDue:
		return l.of(m.StudentID).add(b, "fee.reminder_due", m)
	case *document.Rendered:
		return l.of(m.StudentID).add(b, "document.rendered", m)
	}
	return nil
}

func newScore(m *assessment.Scored) score {
	return score{m.AssessmentID, m.SubjectName, m.Score, m.MaxScore, m.ClassID, m.Year, m.Term}
}

// line is one that is to be added.
type line struct {
	school, studentID string
	position          int64
	at                time.Time
}

func (l line) of(studentID string) line {
	l.studentID = studentID
	return l
}

func (l line) add(b *projections.Batch, fact string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write line of timeline: %w", err)
	}
	l.put(b, fact, text)
	return nil
}

// addMark writes the JSON of a mark by hand: there are more marks than of everything else together.
func (l line) addMark(b *projections.Batch, fact string, m *attendance.Marked) (err error) {
	text := append(make([]byte, 0, 128), `{"date":"`...)
	text = m.Date.Time().AppendFormat(text, time.DateOnly)
	text = append(text, '"')
	for _, field := range [...]struct{ name, value string }{
		{`,"session":`, m.Session}, {`,"status":`, m.Status}, {`,"class_id":`, m.ClassID}, {`,"reason":`, m.Reason},
	} {
		if field.value == "" {
			continue
		}
		text = append(text, field.name...)
		if text, err = jsontext.AppendQuote(text, field.value); err != nil {
			return fmt.Errorf("write line of timeline: %w", err)
		}
	}
	l.put(b, fact, append(text, '}'))
	return nil
}

func (l line) put(b *projections.Batch, fact string, text []byte) {
	lines.Put(b, key{l.school, l.studentID, l.position}, row{fact, l.at.UTC(), string(text)})
}

// A waiver names only its invoice and a reversal only its payment. Their line is added by whichever of the two events is
// folded second, and stands at the position of the waiver or the reversal either way. An invoice or a payment that is
// repeated has no line.

func invoiced(b *projections.Batch, l line, m *fee.Invoiced) error {
	i := fees.InvoiceOf(b, l.school, m.InvoiceID)
	if i.Position != l.position {
		return nil
	}
	for _, w := range i.Waivers {
		if err := addWaiver(b, l.school, m.InvoiceID, i, w); err != nil {
			return err
		}
	}
	return l.of(m.StudentID).add(b, "fee.invoiced", m)
}

func waived(b *projections.Batch, l line, m *fee.Waived) error {
	i := fees.InvoiceOf(b, l.school, m.InvoiceID)
	if !i.Exists() {
		return nil
	}
	return addWaiver(b, l.school, m.InvoiceID, i, fees.Waiver{Position: l.position, Time: l.at, Amount: m.Amount, Reason: m.Reason})
}

func addWaiver(b *projections.Batch, school, invoiceID string, i fees.Invoice, w fees.Waiver) error {
	l := line{school, i.StudentID, w.Position, w.Time}
	return l.add(b, "fee.waived", waiver{invoiceID, w.Amount, i.Currency, w.Reason})
}

func paid(b *projections.Batch, l line, m *fee.PaymentReceived) error {
	p := fees.PaymentOf(b, l.school, m.PaymentID)
	if p.Position != l.position {
		return nil
	}
	if p.Reversal.Reason != "" {
		if err := addReversal(b, l.school, m.PaymentID, p); err != nil {
			return err
		}
	}
	return l.of(m.StudentID).add(b, "fee.payment_received", m)
}

func reversed(b *projections.Batch, l line, m *fee.PaymentReversed) error {
	p := fees.PaymentOf(b, l.school, m.PaymentID)
	if !p.Exists() || p.Reversal.Position != l.position {
		return nil
	}
	return addReversal(b, l.school, m.PaymentID, p)
}

func addReversal(b *projections.Batch, school, paymentID string, p fees.Payment) error {
	l := line{school, p.StudentID, p.Reversal.Position, p.Reversal.Time}
	return l.add(b, "fee.payment_reversed", reversal{paymentID, p.Amount, p.Currency, p.Reversal.Reason})
}
