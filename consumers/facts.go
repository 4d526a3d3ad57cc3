package consumers

import (
	"context"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// FactSource is where the answers of [Facts] come from.
type FactSource interface {
	// Snapshot begins to read what is known at one moment.
	Snapshot(ctx context.Context) (Snapshot, error)
}

// Snapshot is what is known at one moment. It is for one goroutine.
type Snapshot interface {
	// Next returns the offset of the first event of a partition that is not known yet.
	Next(ctx context.Context, partition int32) (int64, error)
	// Answer fills in the answers to questions.
	Answer(ctx context.Context, questions []*Question) error
	Close()
}

// QuestionKind is one of the methods of [Facts].
type QuestionKind int

// The kinds, with the type of their answers.
const (
	AskStudent          QuestionKind = iota // Student
	AskGuardians                            // []Guardian
	AskGuardian                             // Guardian
	AskClass                                // []Student
	AskClasses                              // []string
	AskStaff                                // []Staff
	AskInvoice                              // Invoice
	AskPayment                              // Payment
	AskAccount                              // []Movement
	AskAttendance                           // Attendance
	AskAttendanceWithin                     // Attendance
	AskScores                               // []Score
	AskRemarks                              // []Remark
	AskAverages                             // []Average
	AskRank                                 // Rank
	AskPublished                            // []Published

	Questions // how many kinds there are
)

// Question is what a planner wants to know.
type Question struct {
	Asked
	Answer any // nil until it is answered, and of the kind's type from then on
}

// Asked tells questions apart.
type Asked struct {
	Kind        QuestionKind
	School      string
	ID, ClassID string
	Year, Term  domain.Label
	From, To    domain.Date
}

// factCache holds the questions of a batch of events. What has not been answered yet is answered with nothing, and noted.
type factCache struct {
	questions map[Asked]*Question
	open      []*Question
}

func newFactCache() *factCache { return &factCache{questions: map[Asked]*Question{}} }

// resolve has all open questions answered.
func (m *factCache) resolve(ctx context.Context, s Snapshot) error {
	if err := s.Answer(ctx, m.open); err != nil {
		return err
	}
	m.open = m.open[:0]
	return nil
}

// known is the view of one event on a memory.
type known struct {
	*factCache
	school string
	now    time.Time
	missed bool // something asked for was not there yet
	asked  bool // anything was asked for
}

func ask[T any](k *known, a Asked) T {
	a.School = k.school
	k.asked = true
	q := k.questions[a]
	if q == nil {
		q = &Question{Asked: a}
		k.questions[a] = q
		k.open = append(k.open, q)
	}
	answer, ok := q.Answer.(T)
	if q.Answer == nil {
		k.missed = true
	} else if !ok {
		panic("consumers: an answer has the wrong type")
	}
	return answer
}

func (k *known) Now() time.Time { return k.now }

func (k *known) Student(id string) Student { return ask[Student](k, Asked{Kind: AskStudent, ID: id}) }

func (k *known) Guardians(studentID string) []Guardian {
	return ask[[]Guardian](k, Asked{Kind: AskGuardians, ID: studentID})
}

func (k *known) Guardian(id string) Guardian {
	return ask[Guardian](k, Asked{Kind: AskGuardian, ID: id})
}

func (k *known) Class(classID string) []Student {
	return ask[[]Student](k, Asked{Kind: AskClass, ID: classID})
}

func (k *known) Classes() []string { return ask[[]string](k, Asked{Kind: AskClasses}) }

func (k *known) Staff() []Staff { return ask[[]Staff](k, Asked{Kind: AskStaff}) }

func (k *known) Invoice(id string) Invoice { return ask[Invoice](k, Asked{Kind: AskInvoice, ID: id}) }

func (k *known) Payment(id string) Payment { return ask[Payment](k, Asked{Kind: AskPayment, ID: id}) }

func (k *known) Account(studentID string) []Movement {
	return ask[[]Movement](k, Asked{Kind: AskAccount, ID: studentID})
}

func (k *known) Attendance(studentID string) Attendance {
	return ask[Attendance](k, Asked{Kind: AskAttendance, ID: studentID})
}

func (k *known) AttendanceWithin(studentID string, from, to domain.Date) Attendance {
	return ask[Attendance](k, Asked{Kind: AskAttendanceWithin, ID: studentID, From: max(from, to.AddDays(1-LongestPeriod)), To: to})
}

func (k *known) Scores(studentID string, year, term domain.Label) []Score {
	return ask[[]Score](k, Asked{Kind: AskScores, ID: studentID, Year: year, Term: term})
}

func (k *known) Remarks(studentID string, year, term domain.Label) []Remark {
	return ask[[]Remark](k, Asked{Kind: AskRemarks, ID: studentID, Year: year, Term: term})
}

func (k *known) Averages(classID string, year, term domain.Label) []Average {
	return ask[[]Average](k, Asked{Kind: AskAverages, ClassID: classID, Year: year, Term: term})
}

func (k *known) Rank(studentID, classID string, year, term domain.Label) Rank {
	return ask[Rank](k, Asked{Kind: AskRank, ID: studentID, ClassID: classID, Year: year, Term: term})
}

func (k *known) Published(classID string, year domain.Label) []Published {
	return ask[[]Published](k, Asked{Kind: AskPublished, ClassID: classID, Year: year})
}
