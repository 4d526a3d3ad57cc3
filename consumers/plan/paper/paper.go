// Package paper declares the data of documents: planners put it into the parameters of a delivery,
// and renderers lay it out. Amounts are in minor units of their currency; shares are percentages.
//
// It stands between package plan and package pdf so that neither imports the other. The first
// change: a new field is added here, filled in package plan and drawn in package pdf; old
// deliveries then lack it, so it must be optional.
package paper

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/marks"
)

// The kinds of documents, which are also the templates of their deliveries.
const (
	KindReportCard   = "report_card"
	KindReceipt      = "receipt"
	KindFeeStatement = "fee_statement"
)

// Head begins every document.
type Head struct {
	School    string      `json:"school"`        // the name that it gives itself
	Logo      string      `json:"logo,omitzero"` // the hash of a stored image
	StudentID string      `json:"student_id"`
	Student   string      `json:"student"`
	Class     string      `json:"class,omitzero"`
	IssuedOn  domain.Date `json:"issued_on"`
}

// ReportCard holds a student's results of a term.
type ReportCard struct {
	Head
	BirthDate  domain.Date  `json:"birth_date,omitzero"`
	GradeLevel string       `json:"grade_level,omitzero"`
	Year       domain.Label `json:"year"`
	Term       domain.Label `json:"term"`
	Subjects   []Subject    `json:"subjects,omitempty"` // ordered by name
	Method     marks.Method `json:"method,omitzero"`    // how marks make averages
	Average    *float64     `json:"average,omitzero"`   // of all marks
	ClassMean  *float64     `json:"class_average,omitzero"`
	Rank       int          `json:"place,omitzero"` // in the class; 0 is none
	RankOf     int          `json:"of,omitzero"`
	Attendance Attendance   `json:"attendance,omitzero"`
	From       domain.Date  `json:"from,omitzero"` // the days of the attendance
	To         domain.Date  `json:"to,omitzero"`
	Remark     string       `json:"remark,omitzero"` // on the term as a whole
}

// Subject holds a student's results in one subject.
type Subject struct {
	Name    string   `json:"name"`
	Marks   []Mark   `json:"marks,omitempty"` // ordered by day
	Average *float64 `json:"average,omitzero"`
	Class   *float64 `json:"class,omitzero"` // the average of the class
	Remark  string   `json:"remark,omitzero"`
}

// Mark is what a student has in an assessment: a score, in which Scale is set unless it is a
// percentage of the maximum, or the reason why there is none.
type Mark struct {
	Title  string         `json:"title"`
	On     domain.Date    `json:"on"`
	Score  domain.Decimal `json:"score"`
	Max    domain.Decimal `json:"max"`
	Scale  string         `json:"scale,omitzero"`
	Status string         `json:"status,omitzero"`
}

// Attendance is what a student missed, in days; without a day in membership there is nothing to say.
type Attendance struct {
	Days      float64 `json:"days,omitzero"` // in membership
	Absent    float64 `json:"absent,omitzero"`
	Unexcused float64 `json:"unexcused,omitzero"` // of those
	Rate      float64 `json:"rate,omitzero"`      // of the days that were attended, at most 1
	Late      int64   `json:"late,omitzero"`      // how many times
}

// Receipt confirms a payment.
type Receipt struct {
	Head
	Payment    string       `json:"payment"` // its id, and the receipt's number
	Payer      string       `json:"payer,omitzero"`
	Invoice    string       `json:"invoice"`
	Category   string       `json:"category,omitzero"`
	Year       domain.Label `json:"year,omitzero"`
	Term       domain.Label `json:"term,omitzero"`
	Amount     int64        `json:"amount"`
	Currency   string       `json:"currency"`
	Method     string       `json:"method"`
	ReceivedOn domain.Date  `json:"received_on"`
}

// FeeStatement is a student's account on a day, in each currency that fees are charged in.
type FeeStatement struct {
	Head
	Payer    string      `json:"payer,omitzero"`
	From     domain.Date `json:"from,omitzero"`
	Accounts []Account   `json:"accounts,omitempty"`
}

// Account holds the charges and payments in one currency.
type Account struct {
	Currency string  `json:"currency"`
	Opening  int64   `json:"opening,omitzero"`  // the balance before the first entry
	Entries  []Entry `json:"entries,omitempty"` // ordered by day
	Overdue  int64   `json:"overdue,omitzero"`  // what should have been paid by now
	Balance  int64   `json:"balance"`           // what is still to be paid
}

// Entry is a line of an account.
type Entry struct {
	On   domain.Date `json:"on"`
	Kind string      `json:"kind"` // invoice, cancellation, credit, payment, reversal, refund or waiver
	Ref  string      `json:"ref"`  // the id of the invoice, payment, refund or credit note
	// what the fee is for, or why it was cancelled, credited, refunded, waived or reversed
	Text    string       `json:"text,omitzero"`
	Method  string       `json:"method,omitzero"` // of a payment
	Year    domain.Label `json:"year,omitzero"`
	Term    domain.Label `json:"term,omitzero"`
	DueOn   domain.Date  `json:"due_on,omitzero"`
	Charge  int64        `json:"charge,omitzero"`
	Credit  int64        `json:"credit,omitzero"`
	Balance int64        `json:"balance"`
}

// Encode returns the data of a document as the parameters of its delivery, a JSON object.
func Encode[T ReportCard | Receipt | FeeStatement](data T) jsontext.Value {
	encoded, err := json.Marshal(data)
	if err != nil {
		panic(err) // plain fields, whose texts have been validated
	}
	return encoded
}

// Decode is the inverse of [Encode]. Unknown parameters are ignored, so that an older program can
// render what a newer one has planned.
func Decode[T ReportCard | Receipt | FeeStatement](params jsontext.Value) (data T, err error) {
	if err := json.Unmarshal(params, &data); err != nil {
		return data, fmt.Errorf("read the data of a document: %w", err)
	}
	return data, nil
}
