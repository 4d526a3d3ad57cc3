package imports

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"reflect"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
)

// factBatch is how many facts of a kind are looked up at once.
const factBatch = 1000

func isFact(kind Kind) bool {
	switch kind {
	case KindMark, KindScore, KindAssessment, KindYear, KindDay:
		return true
	}
	return false
}

// factKey names a mark, a score or an assessment in 16 bytes: a district has millions.
type factKey [16]byte

func factKeyOf(row *Row) factKey {
	var id struct {
		Student    string `json:"student_id"`
		Assessment string `json:"assessment_id"`
		Date       string `json:"date"`
		Session    string `json:"session"`
	}
	_ = json.Unmarshal(row.Data, &id) // a row that is not valid is refused later
	if row.Kind == KindYear || row.Kind == KindDay {
		return calendarKeyOf(row)
	}
	sum := sha256.Sum256([]byte(fmt.Sprint(row.Kind, "\n", id.Student, "\n", id.Assessment, "\n",
		id.Date, "\n", id.Session)))
	return factKey(sum[:])
}

// calendarKeyOf names a year, or a day of some classes.
func calendarKeyOf(row *Row) factKey {
	var id struct {
		Year    domain.Label `json:"year"`
		Date    string       `json:"date"`
		Classes []string     `json:"class_ids"`
	}
	_ = json.Unmarshal(row.Data, &id) // as above
	sum := sha256.Sum256([]byte(fmt.Sprintf("%s\n%s\n%s\n%q", row.Kind, id.Year, id.Date, id.Classes)))
	return factKey(sum[:])
}

// compareFacts compares the calendar, marks, scores and assessments of a package, which it reads again, with
// the tables. There are many of them, so only a batch is held at a time.
func (c *comparison) compareFacts(r io.Reader, tables Tables) error {
	if c.facts == 0 {
		return nil
	}
	assessments := batch[Assessment, *Assessment]{
		kind: KindAssessment, first: assessment.TypeScheduled, lookUp: tables.Assessments,
		again: func(a *Assessment) (string, domain.Event) { return assessment.TypeScheduled, a },
	}
	scores := batch[Score, *Score]{
		kind: KindScore, first: assessment.TypeScored, lookUp: tables.Scores,
		again: func(s *Score) (string, domain.Event) {
			return assessment.TypeScoreCorrected, (*assessment.ScoreCorrected)(s)
		},
	}
	marks := batch[Mark, *Mark]{
		kind: KindMark, first: attendance.TypeMarked, lookUp: tables.Marks,
		again: func(m *Mark) (string, domain.Event) {
			return attendance.TypeCorrected, (*attendance.Corrected)(m)
		},
	}
	years := batch[Year, *Year]{
		kind: KindYear, first: calendar.TypeYearSet, lookUp: tables.Years,
		again: func(y *Year) (string, domain.Event) { return calendar.TypeYearSet, y },
	}
	days := batch[Day, *Day]{
		kind: KindDay, first: calendar.TypeDaySet, lookUp: tables.Days,
		again: func(d *Day) (string, domain.Event) { return calendar.TypeDaySet, d },
	}
	flush := func() error { // an assessment before its scores
		return errors.Join(years.flush(c), days.flush(c), assessments.flush(c), scores.flush(c),
			marks.flush(c))
	}
	_, err := scan(r, func(row *Row, _ int) error {
		if !isFact(row.Kind) || row.Refused != "" {
			return nil
		}
		if key := factKeyOf(row); c.repeated[key] > 1 {
			c.repeated[key]--
			return nil
		}
		switch row.Kind {
		case KindYear:
			years.take(c, row)
		case KindDay:
			days.take(c, row)
		case KindAssessment:
			assessments.take(c, row)
		case KindScore:
			scores.take(c, row)
		default:
			marks.take(c, row)
		}
		if len(years.rows)+len(days.rows)+len(assessments.rows)+len(scores.rows)+
			len(marks.rows) < factBatch {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return err
}

// batch are rows of one kind that wait to be compared.
type batch[T any, P interface {
	*T
	domain.Event
}] struct {
	kind   Kind
	first  string // the type of a row's first event
	again  func(*T) (string, domain.Event)
	lookUp func([]*T) ([]*T, error)
	rows   []*T
	times  []time.Time
}

func (b *batch[T, P]) take(c *comparison, row *Row) {
	v := new(T)
	if reason := decode(row, P(v), c.today); reason != "" {
		c.refused.add(row.Kind, reason, row.At)
		return
	}
	b.rows, b.times = append(b.rows, v), append(b.times, row.Time)
}

func (b *batch[T, P]) flush(c *comparison) error {
	have, err := b.lookUp(b.rows)
	if err != nil {
		return err
	}
	for i, row := range b.rows {
		same := have[i] != nil && reflect.DeepEqual(have[i], withoutReason(row))
		c.count(b.kind, have[i] == nil, !same)
		switch {
		case have[i] == nil:
			c.say(b.first, b.times[i], P(row))
		case !same:
			wireType, data := b.again(row)
			c.say(wireType, time.Time{}, data)
		}
	}
	b.rows, b.times = nil, nil
	return c.err
}

// withoutReason leaves out what the tables do not hold of a row: the reason of a mark.
func withoutReason[T any](row *T) *T {
	m, ok := any(row).(*Mark)
	if !ok {
		return row
	}
	bare := *m
	bare.Reason = ""
	return any(&bare).(*T)
}
