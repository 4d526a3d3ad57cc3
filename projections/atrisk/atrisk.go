// Package atrisk joins attendance, marks and fees to a list of the students who may need help. Of
// marks and fees a student with a reason has a row, so that those who are well change nothing here.
// Absence depends on the day, the calendar and what the school has decided, so the query takes those
// who are absent too often from package attendance.
//
// The reasons are chronic absence in the current school year, an average below 50 %, and fees that
// are overdue. Whether a fee is overdue depends on the day, so the row holds when the first open
// invoice is due, and the query decides.
//
// It reads the rows of two other models within the fold of the same event, and therefore stands after
// them in the catalogue. The first change for another reason is a column of row and a function like
// scored, then a condition in the queries.
package atrisk

import (
	"github.com/schoolbell/schoolbell/domain"
	assess "github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/performance"
)

// Projection is the read model.
var Projection = projections.New("at_risk", 2,
	table,
	projections.Reads(performance.Projection, fees.Projection),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *assess.Scored) error {
		scored(b, e.School, m.StudentID)
		return nil
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *assess.ScoreCorrected) error {
		scored(b, e.School, m.StudentID)
		return nil
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *fee.Invoiced) error {
		charged(b, e.School, m.InvoiceID)
		return nil
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *fee.PaymentReceived) error {
		charged(b, e.School, m.InvoiceID)
		return nil
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *fee.PaymentReversed) error {
		if p := fees.PaymentOf(b, e.School, m.PaymentID); p.Exists() {
			charged(b, e.School, p.InvoiceID)
		}
		return nil
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *fee.Waived) error {
		charged(b, e.School, m.InvoiceID)
		return nil
	}),
)

var table = projections.NewTable[key, row]("at_risk")

type key struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
}

// row holds the numbers behind each reason, and zeros where there is no reason.
type row struct {
	Scores int64       `db:"scores"` // when their average is below 50 %
	Points int64       `db:"points"`
	DueOn  domain.Date `db:"due_on"` // when the first open invoice is due
}

func scored(b *projections.Batch, school, studentID string) {
	change(b, key{school, studentID}, func(r *row) {
		r.Scores, r.Points = 0, 0
		if s := performance.OfStudent(b, school, studentID); s.Low() {
			r.Scores, r.Points = s.Scores, s.Points
		}
	})
}

// charged follows an invoice, whose account may be another student's than the one the event names.
func charged(b *projections.Batch, school, invoiceID string) {
	i := fees.InvoiceOf(b, school, invoiceID)
	if !i.Exists() {
		return
	}
	change(b, key{school, i.StudentID},
		func(r *row) { r.DueOn = fees.EarliestDue(b, school, i.StudentID) })
}

func change(b *projections.Batch, k key, update func(*row)) {
	old, _ := table.Get(b, k)
	now := old
	update(&now)
	switch {
	case now == old:
	case now == row{}:
		table.Delete(b, k)
	default:
		table.Put(b, k, now)
	}
}
