// Package calendar is what a school has said of its years, their terms, and single days. Which days
// are school days follows from it by the arithmetic of the domain's package of the same name, when a
// result is made: no fold of another read model looks at it.
//
// Of what is said twice the later event holds, by its time, so that any order of arrival gives the
// same calendar. The first change for another attribute of a day is a field of dayRow, of the
// migration and of [Day].
package calendar

import (
	"cmp"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("calendar", 1,
	years, days,
	projections.On(yearSet),
	projections.On(daySet),
)

var (
	years = projections.NewTable[yearKey, yearRow]("calendar_years")
	days  = projections.NewTable[dayKey, dayRow]("calendar_days")
)

type yearKey struct {
	School string       `db:"school"`
	Year   domain.Label `db:"year"`
}

type yearRow struct {
	From     domain.Date     `db:"first_on"`
	To       domain.Date     `db:"last_on"`
	Terms    []calendar.Term `db:"terms"`
	SetAt    int64           `db:"set_at"`
	Source   string          `db:"source"`
	SourceID string          `db:"event_id"`
}

type dayKey struct {
	School  string      `db:"school"`
	Date    domain.Date `db:"date"`
	ClassID string      `db:"class_id"` // "" is the school
}

type dayRow struct {
	Kind     string `db:"kind"`
	Note     string `db:"note"`
	SetAt    int64  `db:"set_at"`
	Source   string `db:"source"`
	SourceID string `db:"event_id"`
}

// before reports that an event was said before what a row holds.
func before(e *domain.Envelope, setAt int64, source, id string) bool {
	return cmp.Or(cmp.Compare(e.Time.UnixMicro(), setAt), cmp.Compare(e.Source, source),
		cmp.Compare(e.ID, id)) < 0
}

func yearSet(b *projections.Batch, e *domain.Envelope, m *calendar.YearSet) error {
	key := yearKey{e.School, m.Year}
	row, exists := years.Get(b, key)
	if !exists || !before(e, row.SetAt, row.Source, row.SourceID) {
		years.Put(b, key, yearRow{m.From, m.To, m.Terms, e.Time.UnixMicro(), e.Source, e.ID})
	}
	return nil
}

func daySet(b *projections.Batch, e *domain.Envelope, m *calendar.DaySet) error {
	classes := m.ClassIDs
	if len(classes) == 0 {
		classes = []string{""}
	}
	for _, class := range classes {
		key := dayKey{e.School, m.Date, class}
		row, exists := days.Get(b, key)
		if !exists || !before(e, row.SetAt, row.Source, row.SourceID) {
			days.Put(b, key, dayRow{m.Kind, m.Note, e.Time.UnixMicro(), e.Source, e.ID})
		}
	}
	return nil
}
