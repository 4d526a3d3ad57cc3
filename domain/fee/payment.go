package fee

import "github.com/schoolbell/schoolbell/domain"

// PaymentReceived: money arrives for an invoice. There is one payment to an id; see the
// package for what a repeated one does.
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

// SeenBy shows it to those who pay and to the accountants.
func (e *PaymentReceived) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
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

// SeenBy shows it to those who pay and to the accountants.
func (e *PaymentReversed) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// Refunded: money that was paid for an invoice is given back, at most what was paid.
type Refunded struct {
	RefundID  string `json:"refund_id"`
	InvoiceID string `json:"invoice_id"`
	StudentID string `json:"student_id"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Method    string `json:"method"`
	Reason    string `json:"reason,omitzero" whose:"student"`
}

// Subject is the student.
func (e *Refunded) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *Refunded) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *Refunded) Validate(f *domain.Faults) {
	f.Key("/refund_id", e.RefundID)
	f.ID("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.Amount("/amount", e.Amount)
	f.Currency("/currency", e.Currency)
	f.OneOf("/method", e.Method, Cash, Card, Bank, MobileMoney)
	f.OptionalText("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *Refunded) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}
