// Package fee holds the facts about money: invoices and what changes them, payments, refunds, waivers
// and reminders. Amounts are in minor units (cents) of an ISO 4217 currency.
//
// Every fact has an id that its producer chooses. The same id again with the same content changes
// nothing. With another content it is a conflict, which is shown: the later one holds, by the time of
// the event and then by its position, so that the order of arrival makes no difference.
package fee

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeInvoiced           = "schoolbell.fee.invoiced.v1"
	TypeInvoiceChanged     = "schoolbell.fee.invoice_changed.v1"
	TypeInvoiceCancelled   = "schoolbell.fee.invoice_cancelled.v1"
	TypeCredited           = "schoolbell.fee.credited.v1"
	TypePaymentReceived    = "schoolbell.fee.payment_received.v1"
	TypePaymentReversed    = "schoolbell.fee.payment_reversed.v1"
	TypeRefunded           = "schoolbell.fee.refunded.v1"
	TypeWaivedV1           = "schoolbell.fee.waived.v1"
	TypeWaived             = "schoolbell.fee.waived.v2"
	TypeWaiverReversed     = "schoolbell.fee.waiver_reversed.v1"
	TypeReminderDue        = "schoolbell.fee.reminder_due.v1"
	TypeStatementRequested = "schoolbell.fee.statement_requested.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Invoiced](TypeInvoiced, "A student is charged a fee.", domain.OnTimeline),
	domain.NewFact[InvoiceChanged](TypeInvoiceChanged, "An invoice is changed.", domain.OnTimeline),
	domain.NewFact[InvoiceCancelled](TypeInvoiceCancelled, "An invoice is cancelled.",
		domain.OnTimeline),
	domain.NewFact[Credited](TypeCredited, "A credit note takes back part or all of an invoice.",
		domain.OnTimeline),
	domain.NewFact[PaymentReceived](TypePaymentReceived, "A payment towards an invoice arrives.",
		domain.OnTimeline),
	domain.NewFact[PaymentReversed](TypePaymentReversed, "A payment is taken back.",
		domain.OnTimeline),
	domain.NewFact[Refunded](TypeRefunded, "Money that was paid for an invoice is given back.",
		domain.OnTimeline),
	domain.OlderFact(TypeWaivedV1, "Part or all of an invoice is waived, by a waiver without an id.",
		upcastWaivedV1),
	domain.NewFact[Waived](TypeWaived, "Part or all of an invoice is waived.", domain.OnTimeline),
	domain.NewFact[WaiverReversed](TypeWaiverReversed, "A waiver is taken back.", domain.OnTimeline),
	domain.NewFact[ReminderDue](TypeReminderDue, "An invoice is overdue and a reminder is due.",
		domain.OnTimeline),
	domain.NewFact[StatementRequested](TypeStatementRequested,
		"A statement of a student's account is requested.", domain.OffTimeline),
}

// The methods of payment.
const (
	Cash        = "cash"
	Card        = "card"
	Bank        = "bank"
	MobileMoney = "mobile_money"
)

// ReminderDue: an invoice is overdue, and the payer is to be reminded.
type ReminderDue struct {
	InvoiceID string      `json:"invoice_id"`
	StudentID string      `json:"student_id"`
	Amount    int64       `json:"amount"`
	DueOn     domain.Date `json:"due_on"`
}

// Subject is the student.
func (e *ReminderDue) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *ReminderDue) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *ReminderDue) Validate(f *domain.Faults) {
	f.ID("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.Amount("/amount", e.Amount)
	f.Date("/due_on", e.DueOn)
}

// StatementRequested: a statement of a student's account is requested, by the family or by the
// office. It lists what happened from a day on, without one from the beginning of the school year
// on, after the balance of what was before.
type StatementRequested struct {
	StudentID string      `json:"student_id"`
	From      domain.Date `json:"from,omitzero"`
}

// Subject is the student.
func (e *StatementRequested) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *StatementRequested) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *StatementRequested) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.OptionalDate("/from", e.From)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *ReminderDue) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *StatementRequested) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}
