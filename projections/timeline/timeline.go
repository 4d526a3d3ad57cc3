// Package timeline is what happened to a student, newest first: a line for each event whose
// declaration in its context says [domain.OnTimeline]. Its table is append-only, keyed by the
// position of the event, and holds what a line shows.
//
// A new event needs no change here: its line holds its data, for those who may see it. The first
// change for a line that shows less, or joins another fact, is a case in fold.
package timeline

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/fees"
)

// Projection is the read model.
var Projection = projections.New("timeline", 4,
	lines,
	projections.Reads(fees.Projection),
	projections.OnEvery(fold),
)

var lines = projections.NewAppendTable[key, row]("timeline")

type key struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
	Position  int64  `db:"position"`
}

type row struct {
	// the event's type without its frame, for example "attendance.marked"
	Fact string    `db:"fact"`
	At   time.Time `db:"at"`
	Data string    `db:"data"` // JSON
}

// What is stored of events that are frequent or hold more than a line needs. Others are stored
// whole.
type (
	score struct {
		AssessmentID string         `json:"assessment_id"`
		Subject      string         `json:"subject"`
		Score        domain.Decimal `json:"score"`
		MaxScore     domain.Decimal `json:"max_score"`
		ClassID      string         `json:"class_id"`
		Year         domain.Label   `json:"year"`
		Term         domain.Label   `json:"term"`
		Attempt      int64          `json:"attempt,omitzero"`
		Scale        string         `json:"scale,omitzero"`
	}
	link struct {
		GuardianID string `json:"guardian_id"`
		Name       string `json:"name"`
		Relation   string `json:"relation"`
	}
)

// fold adds the line of an event that its declaration puts on the timeline, see
// [domain.OnTimeline]. What a line holds is the event as it is, but for those below that are
// frequent, too long, or say only which invoice or payment they change.
func fold(b *projections.Batch, e *domain.Envelope) error {
	name, ok := names[reflect.TypeOf(e.Data)]
	if !ok {
		return nil
	}
	l := line{e.School, e.Data.Subject(), name, e.Position.Offset, e.Time}
	switch m := e.Data.(type) {
	case *attendance.Marked:
		return l.addMark(b, m)
	case *attendance.Corrected:
		return l.addMark(b, (*attendance.Marked)(m))
	case *assessment.Scored:
		return l.add(b, newScore(m))
	case *assessment.ScoreCorrected:
		return l.add(b, newScore((*assessment.Scored)(m)))
	case *guardian.Linked:
		return l.add(b, link{m.GuardianID, m.Name, m.Relation})
	case *membership.Started:
		if m.Role != membership.Student {
			return nil // the timeline is a student's
		}
		return l.add(b, m)
	}
	if strings.HasPrefix(name, "fee.") {
		return addMoney(b, l, e.Data)
	}
	return l.add(b, e.Data)
}

// names holds the facts that are on the timeline, by the type of their data: "attendance.marked".
var names = func() map[reflect.Type]string {
	m := map[reflect.Type]string{}
	for _, f := range catalog.Facts() {
		if f.Timeline {
			context, fact, _ := f.Name()
			m[reflect.PointerTo(f.GoType())] = context + "." + fact
		}
	}
	return m
}()

func newScore(m *assessment.Scored) score {
	return score{
		m.AssessmentID, m.SubjectName, m.Score, m.MaxScore, m.ClassID, m.Year, m.Term, m.Attempt, m.Scale,
	}
}

// line is one that is to be added.
type line struct {
	school, studentID, fact string
	position                int64
	at                      time.Time
}

func (l line) add(b *projections.Batch, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("write line of timeline: %w", err)
	}
	l.put(b, text)
	return nil
}

// addMark writes the JSON of a mark by hand: there are more marks than of everything else together.
func (l line) addMark(b *projections.Batch, m *attendance.Marked) (err error) {
	text := append(make([]byte, 0, 128), `{"date":"`...)
	text = m.Date.Time().AppendFormat(text, time.DateOnly)
	text = append(text, '"')
	for _, field := range [...]struct{ name, value string }{
		{`,"session":`, m.Session},
		{`,"status":`, m.Status},
		{`,"class_id":`, m.ClassID},
		{`,"reason":`, m.Reason},
	} {
		if field.value == "" {
			continue
		}
		text = append(text, field.name...)
		if text, err = jsontext.AppendQuote(text, field.value); err != nil {
			return fmt.Errorf("write line of timeline: %w", err)
		}
	}
	l.put(b, append(text, '}'))
	return nil
}

func (l line) put(b *projections.Batch, text []byte) {
	lines.Put(b, key{l.school, l.studentID, l.position}, row{l.fact, l.at.UTC(), string(text)})
}
