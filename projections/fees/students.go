package fees

import (
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/fee"
	"github.com/schoolbell/schoolbell/projections"
)

// AccountsOf returns the students whose account an event may have changed, to the fold of a projection
// that reads this one.
func AccountsOf(b *projections.Batch, school string, data domain.Event) (studentIDs []string) {
	for _, id := range invoicesNamed(b, school, data) {
		for _, student := range InvoiceOf(b, school, id).StudentsOf() {
			if !slices.Contains(studentIDs, student) {
				studentIDs = append(studentIDs, student)
			}
		}
	}
	return studentIDs
}

func invoicesNamed(b *projections.Batch, school string, data domain.Event) []string {
	switch m := data.(type) {
	case *fee.Invoiced:
		return []string{m.InvoiceID}
	case *fee.InvoiceCancelled:
		return []string{m.InvoiceID}
	case *fee.InvoiceChanged:
		return EntryOf(b, school, Change, m.ChangeID).InvoicesOf()
	case *fee.Credited:
		return EntryOf(b, school, Credit, m.CreditID).InvoicesOf()
	case *fee.PaymentReceived:
		return EntryOf(b, school, Payment, m.PaymentID).InvoicesOf()
	case *fee.PaymentReversed:
		return EntryOf(b, school, Payment, m.PaymentID).InvoicesOf()
	case *fee.Refunded:
		return EntryOf(b, school, Refund, m.RefundID).InvoicesOf()
	case *fee.Waived:
		return EntryOf(b, school, Waiver, m.WaiverID).InvoicesOf()
	case *fee.WaiverReversed:
		return EntryOf(b, school, Waiver, m.WaiverID).InvoicesOf()
	}
	return nil
}
