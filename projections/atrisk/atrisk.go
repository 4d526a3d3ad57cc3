// Package atrisk joins attendance, marks and fees to a list of the students who may need help. Of fees
// there is a row for each student who owes something. Absence and averages depend on what the school
// has decided, its calendar and the day, so the query takes who is absent too often from package
// attendance, and whose average is low from package performance.
//
// The reasons are chronic absence in the current school year, an average below 50 % in the latest
// year, and fees that are overdue. Whether a fee is overdue depends on the day, so the row holds when
// the first invoice is due that the account owes after its credit was applied, and the query decides.
//
// It reads the rows of another model within the fold of the same event, and therefore stands after it
// in the catalogue. The first change for another reason is a list of students as parameters of the
// query, and a condition in it.
package atrisk

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/fees"
)

// Projection is the read model.
var Projection = projections.New("at_risk", 3,
	table,
	projections.Reads(fees.Projection),
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

// row says when the first invoice is due that the account still owes. An account that owes nothing
// has none.
type row struct {
	DueOn domain.Date `db:"due_on"`
}

// charged follows the accounts that an event about money changes.
func charged[E any, P interface {
	*E
	domain.Event
}](b *projections.Batch, e *domain.Envelope, m P) error {
	for _, id := range fees.AccountsOf(b, e.School, m) {
		k, now := key{e.School, id}, row{fees.EarliestDue(b, e.School, id)}
		switch old, _ := table.Get(b, k); {
		case now == old:
		case now == row{}:
			table.Delete(b, k)
		default:
			table.Put(b, k, now)
		}
	}
	return nil
}
