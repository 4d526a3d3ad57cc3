package consumers

import (
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Plan returns what follows from an event. It must be pure: the same event, knowledge and settings give the same
// deliveries, at any time and in any process. The clock is [Facts.Now].
//
// It may be called several times for one event. What it asks of known may at first be answered as if it did not exist;
// then it is called again with the answer, until it asks for nothing new. So it only needs to go on sensibly with zero
// values.
type Plan func(event *domain.Envelope, known Facts, settings *Settings) []Delivery

// Planner is one rule: what follows from events of some types.
type Planner struct {
	Name  string   // part of the ids of its deliveries and of the settings, so it is never changed
	Types []string // of events, as the newest version is called
	Plan  Plan
}

// Facts answers what is known when an event is planned, about the event's school. All answers are of one snapshot, at
// the event's position or a little later. What is not known is the zero value.
type Facts interface {
	// Now is when the event was appended to the log.
	Now() time.Time
	Student(id string) Student
	// Guardians of a student, the primary ones first, then by id.
	Guardians(studentID string) []Guardian
	// Guardian by id, without Relation and Primary.
	Guardian(id string) Guardian
	// Class returns the enrolled students of a class, by id.
	Class(classID string) []Student
	// Classes returns the ids of the school's classes that have enrolled students.
	Classes() []string
	// Staff of a school, by id.
	Staff() []Staff
	Invoice(id string) Invoice
	Payment(id string) Payment
	// Account returns what happened to a student's fees, in the order of the log.
	Account(studentID string) []Movement
	// Attendance counts a student's marks of the whole time.
	Attendance(studentID string) Attendance
	// AttendanceWithin counts a student's marks from a date to another, both included. It looks at [LongestPeriod] days at most.
	AttendanceWithin(studentID string, from, to domain.Date) Attendance
	// Scores returns a student's of a term, by subject and assessment.
	Scores(studentID string, year, term domain.Label) []Score
	// Remarks returns those on a student's term, that on all of it first and then by subject.
	Remarks(studentID string, year, term domain.Label) []Remark
	// Averages returns those of a class in a term, by subject.
	Averages(classID string, year, term domain.Label) []Average
	// Rank of a student's overall average in a class in a term.
	Rank(studentID, classID string, year, term domain.Label) Rank
	// Published returns the terms of a year whose results have been published to a class, in the order in which they were.
	Published(classID string, year domain.Label) []Published
}

// Student is what is known of one.
type Student struct {
	ID, GivenName, FamilyName, ClassID string
	GradeLevel                         string
	BirthDate                          domain.Date
	Enrolled                           bool
	LeftOn                             domain.Date // of who is withdrawn, the last day
}

// Guardian is what is known of one.
type Guardian struct {
	ID, Name, Phone, Email, Language string
	Relation                         string // to the student that was asked about
	Primary                          bool   // for the student that was asked about
}

// Staff is what is known of a member of it.
type Staff struct {
	ID, Name, Role string
	ClassIDs       []string
}

// Invoice is what is known of one.
type Invoice struct {
	ID, StudentID, Category, Currency string
	Year, Term                        domain.Label
	Amount, Waived, Open              int64
	DueOn                             domain.Date
}

// Payment is what is known of one.
type Payment struct {
	ID, InvoiceID, StudentID, Currency, Method string
	Amount                                     int64
	Reversed                                   bool
	ReceivedAt                                 time.Time
}

// Attendance counts a student's marks.
type Attendance struct {
	Present, Late, AbsentExcused, AbsentUnexcused int64
}

// LongestPeriod is how many days can be asked about at once.
const LongestPeriod = 400

// Movement is one line of a student's account.
type Movement struct {
	Kind                       MovementKind
	Position                   int64 // of its event
	At                         time.Time
	InvoiceID, PaymentID       string // the payment's id where there is one
	Category, Currency, Method string
	Reason                     string // of a reversal or waiver
	Year, Term                 domain.Label
	Amount                     int64
	DueOn                      domain.Date // of an invoice
}

// MovementKind is what a movement is. The words stand in documents' facts, so they are never changed.
type MovementKind string

// The kinds.
const (
	MovedInvoice  MovementKind = "invoice"
	MovedPayment  MovementKind = "payment"
	MovedReversal MovementKind = "reversal"
	MovedWaiver   MovementKind = "waiver"
)

// Score is one that a student has got.
type Score struct {
	AssessmentID, Subject string
	Title                 string      // none when the assessment was not announced; so is the day
	On                    domain.Date //
	At                    time.Time   // when it was given
	Score, MaxScore       float64
}

// Remark is what a teacher has to say about a student's term; in all, when there is no subject.
type Remark struct {
	Subject, Text string
}

// Average is that of a class, in one subject.
type Average struct {
	Subject string
	Percent float64
	Scores  int64
}

// Rank is a place among all who have marks; Place 0 means none.
type Rank struct {
	Place, Of int
}

// Published says when the results of a term were published.
type Published struct {
	Term domain.Label
	At   time.Time
}
