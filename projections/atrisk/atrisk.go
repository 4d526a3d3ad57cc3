// Package atrisk joins attendance, marks and fees to a list of the students who may need help. Of
// marks and fees a student with a reason has a row, so that those who are well change nothing here.
// Absence depends on the day, the calendar and what the school has decided, so the query takes those
// who are absent too often from package attendance.
//
// The reasons are chronic absence in the current school year, an average below 50 %, and fees that
// are overdue. Whether a fee is overdue depends on the day, so the row holds when the first invoice is
// due that the account owes after its credit was applied, and the query decides.
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
var Projection = projections.New("at_risk", 3,
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
	projections.On(charged[fee.Invoiced]),
	projections.On(charged[fee.InvoiceChanged]),
	projections.On(charged[fee.InvoiceCancelled]),
	projections.On(charged[fee.Credited]),
	projections.On(charged[fee.PaymentReceived]),
	projections.On(charged[fee.PaymentReversed]),
	projections.On(charged[fee.Refunded]),
	projections.On(charged[fee.Waived]),
	projections.On(charged[fee.WaiverReversed]),
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
	DueOn  domain.Date `db:"due_on"` // when the first invoice is due that the account still owes
}

func scored(b *projections.Batch, school, studentID string) {
	change(b, key{school, studentID}, func(r *row) {
		r.Scores, r.Points = 0, 0
		if s := performance.OfStudent(b, school, studentID); s.Low() {
			r.Scores, r.Points = s.Scores, s.Points
		}
	})
}

// charged follows the accounts that an event about money changes.
func charged[E any, P interface {
	*E
	domain.Event
}](b *projections.Batch, e *domain.Envelope, m P) error {
	for _, id := range fees.AccountsOf(b, e.School, m) {
		change(b, key{e.School, id}, func(r *row) { r.DueOn = fees.EarliestDue(b, e.School, id) })
	}
	return nil
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
