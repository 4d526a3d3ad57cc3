package consumers

import (
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// Plan returns the deliveries that an event leads to. It must be pure: the same event, facts and
// settings give the same deliveries, at any time and in any process. The clock is [Facts.Now].
//
// It may run several times for one event. A fact that it looks up may at first be the zero value;
// then it runs again with the fact, until nothing is missing. So it only has to return something
// sensible, or panic, with zero values.
type Plan func(event *domain.Envelope, facts Facts, settings *Settings) []Delivery

// Planner is one rule: the deliveries that events of some types lead to.
type Planner struct {
	Name  string   // part of the ids of its deliveries and of the settings, so it never changes
	Types []string // of events, in their newest version
	Plan  Plan
	Still Still // nil: a delivery stays true, and goes where it was planned to go
}

// Student is a student as rules see one.
type Student struct {
	ID, GivenName, FamilyName, ClassID string
	GradeLevel                         string
	BirthDate                          domain.Date
	Enrolled                           bool
	LeftOn                             domain.Date // when a student was withdrawn who has left
}

// Guardian is a guardian as rules see one.
type Guardian struct {
	ID, Name, Phone, Email, Language string
	OptedOut                         []string // of these channels
	Relation                         string   // to the student that was looked up
	Primary                          bool     // for the student that was looked up
}

// Staff is a member of the staff.
type Staff struct {
	ID, Name, Role string
	ClassIDs       []string
}

// Invoice is an invoice. Amounts are in minor units of the currency.
type Invoice struct {
	ID, StudentID, Category, Currency string
	Year, Term                        domain.Label
	Amount, Waived, Open              int64
	// Owed is what remains of Open after the credit of the account was applied to its invoices, the
	// first due first.
	Owed  int64
	DueOn domain.Date
}

// Payment is a payment. The amount is in minor units of the currency.
type Payment struct {
	ID, InvoiceID, StudentID, Currency, Method string
	Amount                                     int64
	Reversed                                   bool
	ReceivedAt                                 time.Time
}

// MarkCount counts marks of attendance: all, and those that say that somebody was there.
type MarkCount struct{ There, Marks int64 }

// AbsenceChange says that a session of a day became an unexcused absence, or none any more.
type AbsenceChange struct {
	Position int64 // of the mark
	Session  string
	Absent   bool
}

// LongestPeriod is how many days [Facts.Presence] covers at most.
const LongestPeriod = 400

// Movement is one line of a student's account.
type Movement struct {
	Kind                       MovementKind
	Position                   int64 // of its event
	At                         time.Time
	InvoiceID, PaymentID       string // the id of the payment, refund or credit note, where there is one
	Category, Currency, Method string
	Reason                     string
	Year, Term                 domain.Label
	Amount                     int64
	DueOn                      domain.Date // of an invoice
}

// MovementKind is what a movement is. The words are stored with documents, so they never change.
type MovementKind string

// The kinds of movements.
const (
	MovedInvoice      MovementKind = "invoice"
	MovedCancellation MovementKind = "cancellation"
	MovedCredit       MovementKind = "credit"
	MovedPayment      MovementKind = "payment"
	MovedReversal     MovementKind = "reversal"
	MovedRefund       MovementKind = "refund"
	MovedWaiver       MovementKind = "waiver"
)

// Charges reports that a movement adds to what is to be paid; else it takes away from it.
func (k MovementKind) Charges() bool {
	return k == MovedInvoice || k == MovedReversal || k == MovedRefund
}

// Score is what a student has in one assessment.
type Score struct {
	AssessmentID, Subject string
	Title                 string      // empty, like On, when the assessment was not announced
	On                    domain.Date //
	At                    time.Time   // when it was entered
	Kind                  marks.Kind
	Attempts              []marks.Attempt // by number
}

// Remark is a teacher's remark on a student's term, on the whole of it when there is no subject.
type Remark struct {
	Subject, Text string
}

// Mark is what a student of a class has in an assessment that counts for the class.
type Mark struct {
	StudentID, AssessmentID, Subject string
	Kind                             marks.Kind
	Attempts                         []marks.Attempt // by number
}

// Published says when the results of a term were published.
type Published struct {
	Term domain.Label
	At   time.Time
}
