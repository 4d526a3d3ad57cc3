package fee

import "github.com/schoolbell/schoolbell/domain"

// Invoiced: a student is charged a fee. There is one invoice to an id; see the package
// for what a repeated one does.
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

// SeenBy shows it to those who pay and to the accountants.
func (e *Invoiced) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// InvoiceChanged: parts of an invoice are put right. What it does not mention stays; of several
// changes of one part the later holds. It outranks the invoice, also one that arrives afterwards.
type InvoiceChanged struct {
	ChangeID  string       `json:"change_id"`
	InvoiceID string       `json:"invoice_id"`
	StudentID string       `json:"student_id"`
	Year      domain.Label `json:"year,omitzero"`
	Term      domain.Label `json:"term,omitzero"`
	Category  string       `json:"category,omitzero" impersonal:"a kind of fee"`
	Amount    int64        `json:"amount,omitzero"`
	Currency  string       `json:"currency,omitzero"`
	DueOn     domain.Date  `json:"due_on,omitzero"`
	Reason    string       `json:"reason,omitzero" whose:"student"`
}

// Subject is the student.
func (e *InvoiceChanged) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *InvoiceChanged) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *InvoiceChanged) Validate(f *domain.Faults) {
	f.Key("/change_id", e.ChangeID)
	f.ID("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.OptionalLabel("/year", e.Year)
	f.OptionalLabel("/term", e.Term)
	f.OptionalID("/category", e.Category)
	f.OptionalAmount("/amount", e.Amount)
	f.OptionalCurrency("/currency", e.Currency)
	f.OptionalDate("/due_on", e.DueOn)
	f.OptionalText("/reason", e.Reason, domain.MaxTextLength)
	f.Check("/amount", *e != InvoiceChanged{
		ChangeID: e.ChangeID, InvoiceID: e.InvoiceID, StudentID: e.StudentID, Reason: e.Reason,
	}, "or another part of the invoice must be given")
}

// SeenBy shows it to those who pay and to the accountants.
func (e *InvoiceChanged) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// InvoiceCancelled: nothing is to be paid for an invoice any more. What was paid for it is credit of
// the account.
type InvoiceCancelled struct {
	InvoiceID string `json:"invoice_id"`
	StudentID string `json:"student_id"`
	Reason    string `json:"reason" whose:"student"`
}

// Subject is the student.
func (e *InvoiceCancelled) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *InvoiceCancelled) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *InvoiceCancelled) Validate(f *domain.Faults) {
	f.Key("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *InvoiceCancelled) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}

// Credited: a credit note takes back part or all of what was charged, at most the invoice's amount.
type Credited struct {
	CreditID  string `json:"credit_id"`
	InvoiceID string `json:"invoice_id"`
	StudentID string `json:"student_id"`
	Amount    int64  `json:"amount"`
	Currency  string `json:"currency"`
	Reason    string `json:"reason" whose:"student"`
}

// Subject is the student.
func (e *Credited) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *Credited) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// Validate implements [domain.Event].
func (e *Credited) Validate(f *domain.Faults) {
	f.Key("/credit_id", e.CreditID)
	f.ID("/invoice_id", e.InvoiceID)
	f.ID("/student_id", e.StudentID)
	f.Amount("/amount", e.Amount)
	f.Currency("/currency", e.Currency)
	f.Text("/reason", e.Reason, domain.MaxTextLength)
}

// SeenBy shows it to those who pay and to the accountants.
func (e *Credited) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Family, domain.Accounts)
}
