package attendance

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Summary is a student's attendance in the current school year.
type Summary struct {
	Basis
	Counts
	Rates
	Chronic bool `json:"chronic" doc:"Absent 10 % or more of at least 10 days in membership, or what the school has decided"`
	Severe  bool `json:"severe" doc:"The same for 50 %"`
	presence.Streaks
	Planned int64 `json:"planned" doc:"Marks of days to come, which count from their day on"`
}

// Summarise returns the attendance of one student.
func Summarise(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, studentID string,
) (*Summary, error) {
	b, err := window(ctx, tx, scope, 0, 0)
	if err != nil {
		return nil, err
	}
	if b.homes, err = students.HomesOf(ctx, tx, scope.School, []string{studentID}); err != nil {
		return nil, err
	}
	if err := b.decide(ctx, tx); err != nil {
		return nil, err
	}
	var marks []presence.Mark
	s := &Summary{}
	err = eachMark(ctx, tx, ofStudentsSQL, b.From, b.until,
		func(_ string, date domain.Date, k *mark) {
			if date > b.To {
				s.Planned++
				return
			}
			marks = append(marks, k.on(date))
		}, scope.School, []string{studentID}, b.From.Month(), b.until.Month())
	if err != nil {
		return nil, err
	}
	stays := b.homes.Stays(studentID)
	if err := b.derive(ctx, tx, stays, marks); err != nil {
		return nil, err
	}
	record := b.Record(stays, marks)
	b.EachDay(b.Stays(stays, marks), marks, func(d presence.Day) {
		for _, k := range marks {
			if k.Date == d.Date {
				s.add(k.Status, 1)
			}
		}
	})
	s.Basis, s.Rates = b.described(), b.rates(&totals{Record: record})
	s.Streaks = b.Streaks(stays, marks)
	if b.HasRates() {
		s.Chronic, s.Severe = b.IsChronic(&record), b.IsSevere(&record)
	}
	return s, nil
}

// derive tells a calendar that is derived on which days the classes of a student have marks.
func (b *basis) derive(
	ctx context.Context, tx pgx.Tx, stays []presence.Stay, marks []presence.Mark,
) error {
	if !b.Calendar.Derived() {
		return nil
	}
	if stays == nil { // whom nobody has enrolled: the student's own marks
		for _, m := range marks {
			b.Calendar.Mark(m.ClassID, m.Date)
		}
	}
	var classes []string
	for _, s := range stays {
		if !slices.Contains(classes, s.ClassID) {
			classes = append(classes, s.ClassID)
		}
	}
	for _, class := range classes {
		days, err := ClassDays(ctx, tx, []string{b.scope.School}, []string{class},
			[]string{b.From.String()}, []string{b.To.String()})
		if err != nil {
			return err
		}
		for _, day := range days[0] {
			b.Calendar.Mark(class, day)
		}
	}
	return nil
}
