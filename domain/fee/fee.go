// Package fee holds the facts about money: invoices, payments, waivers and reminders. Amounts are
// in minor units (cents) of an ISO 4217 currency.
package fee

import "github.com/schoolbell/schoolbell/domain"

// Wire names.
const (
	TypeInvoiced           = "schoolbell.fee.invoiced.v1"
	TypePaymentReceived    = "schoolbell.fee.payment_received.v1"
	TypePaymentReversed    = "schoolbell.fee.payment_reversed.v1"
	TypeWaived             = "schoolbell.fee.waived.v1"
	TypeReminderDue        = "schoolbell.fee.reminder_due.v1"
	TypeStatementRequested = "schoolbell.fee.statement_requested.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Invoiced](TypeInvoiced, "A student is charged a fee.", domain.OnTimeline),
	domain.NewFact[PaymentReceived](TypePaymentReceived, "A payment towards an invoice arrives.",
		domain.OnTimeline),
	domain.NewFact[PaymentReversed](TypePaymentReversed, "A payment is taken back.",
		domain.OnTimeline),
	domain.NewFact[Waived](TypeWaived, "Part or all of an invoice is waived.", domain.OnTimeline),
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

// Invoiced: a student is charged a fee. There is one invoice to an id; a repeated one changes
// nothing.
type Invoiced struct {
	InvoiceID string       `json:"invoice_id"`
	StudentID string       `json:"student_id"`
	Year      domain.Label `json:"year"`
	Term      domain.Label `json:"term"`
	Category  string       `json:"category" impersonal:"a kind of fee"`
	Amount    int64        `json:"amount"`
	Currency  string       `json:"currency"`
	DueOn     domain.Date  `json:"due_on"`
}

// Subject is the student.
func (e *Invoiced) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *Invoiced) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *Invoiced) Validate(f *domain.Faults) {
	f.Key("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.Label("/year", e.Year)
	f.Label("/term", e.Term)
	f.ID("/category", e.Category)
	f.Amount("/amount", e.Amount)
	f.Currency("/currency", e.Currency)
	f.Date("/due_on", e.DueOn)
}

// PaymentReceived: money arrives for an invoice. There is one payment to an id; a repeated one
// changes nothing.
type PaymentReceived struct {
	PaymentID string `json:"payment_id"`
	InvoiceID string `json:"invoice_id"`
	StudentID string `json:"student_id"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Method    string `json:"method"`
}

// Subject is the student.
func (e *PaymentReceived) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *PaymentReceived) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *PaymentReceived) Validate(f *domain.Faults) {
	f.Key("/payment_id", e.PaymentID)
	f.ID("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.Amount("/amount", e.Amount)
	f.Currency("/currency", e.Currency)
	f.OneOf("/method", e.Method, Cash, Card, Bank, MobileMoney)
}

// PaymentReversed: a payment is taken back, for example when a cheque bounces.
type PaymentReversed struct {
	PaymentID string `json:"payment_id"`
	Reason    string `json:"reason" whose:"student"`
}

// Subject is the payment: the event names no student.
func (e *PaymentReversed) Subject() string { return e.PaymentID }

// Rooms are only the school's.
func (e *PaymentReversed) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *PaymentReversed) Validate(f *domain.Faults) {
	f.ID("/payment_id", e.PaymentID)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

// Waived: part or all of an invoice need not be paid.
type Waived struct {
	InvoiceID string `json:"invoice_id"`
	Amount    int64  `json:"amount"`
	Reason    string `json:"reason" whose:"student"`
}

// Subject is the invoice: the event names no student.
func (e *Waived) Subject() string { return e.InvoiceID }

// Rooms are only the school's.
func (e *Waived) Rooms() []domain.Room { return nil }

// Validate implements [domain.Event].
func (e *Waived) Validate(f *domain.Faults) {
	f.ID("/invoice_id", e.InvoiceID)
	f.Amount("/amount", e.Amount)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

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
func (e *Invoiced) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *PaymentReceived) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// SeenBy shows it to the accountants.
func (e *PaymentReversed) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// SeenBy shows it to the accountants.
func (e *Waived) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *ReminderDue) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *StatementRequested) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}
