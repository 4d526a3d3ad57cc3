package calendar

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

const yearsSQL read.SQL = `-- calendar.years
SELECT year, first_on, last_on, terms FROM calendar_years WHERE school = $1 ORDER BY first_on, year`

// Years returns the school years that are set, by their first day.
func Years(ctx context.Context, tx pgx.Tx, school string) ([]calendar.YearSet, error) {
	return read.All(ctx, tx, yearsSQL, yearFields, school)
}

func yearFields(y *calendar.YearSet) []any { return []any{&y.Year, &y.From, &y.To, &y.Terms} }

// YearOn returns the school year of a day: one that is set, else by the month of the settings.
func YearOn(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, day domain.Date,
) (calendar.YearSet, error) {
	years, err := Years(ctx, tx, scope.School)
	return calendar.YearOf(years, scope.Settings.YearFrom, day), err
}

const daysSQL read.SQL = `-- calendar.days
SELECT date, class_id, kind, note FROM calendar_days
WHERE school = $1 AND date BETWEEN $2 AND $3 ORDER BY date, class_id`

type classDay struct {
	date                domain.Date
	classID, kind, note string
}

func daysBetween(
	ctx context.Context, tx pgx.Tx, school string, from, to domain.Date,
) ([]classDay, error) {
	return read.All(ctx, tx, daysSQL, func(d *classDay) []any {
		return []any{&d.date, &d.classID, &d.kind, &d.note}
	}, school, from, to)
}

// set is the fact that a row holds.
func (d *classDay) set() calendar.DaySet {
	s := calendar.DaySet{Date: d.date, Kind: d.kind}
	if d.classID != "" {
		s.ClassIDs = []string{d.classID}
	}
	return s
}

// Of returns the calendar of a window of days, by what is set and by the school's week.
func Of(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, years []calendar.YearSet,
	from, to domain.Date,
) (*calendar.Calendar, error) {
	first, last := from, to
	for _, y := range years {
		if y.From <= to && from <= y.To { // the days of a term count as a whole
			first, last = min(first, y.From), max(last, y.To)
		}
	}
	special, err := daysBetween(ctx, tx, scope.School, first, last)
	if err != nil {
		return nil, err
	}
	sets := make([]calendar.DaySet, len(special))
	for i := range special {
		sets[i] = special[i].set()
	}
	return calendar.New(years, sets, scope.Settings.Week, from, to), nil
}

// The facts that the rules of messages look up, of many schools at once.

const yearFactsSQL read.SQL = `-- calendar.facts_of_years
SELECT q.n, y.year, y.first_on, y.last_on, y.terms
FROM unnest($1::text[]) WITH ORDINALITY AS q (school, n)
JOIN schoolbell.calendar_years y ON y.school = q.school ORDER BY q.n, y.first_on, y.year`

// YearFacts returns the school years of each school.
func YearFacts(ctx context.Context, tx pgx.Tx, schools []string) ([][]calendar.YearSet, error) {
	return read.PerKey(ctx, tx, len(schools), yearFactsSQL, yearFields, schools)
}

const dayFactsSQL read.SQL = `-- calendar.facts_of_days
SELECT q.n, d.date, d.class_id, d.kind
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, first, last, n)
JOIN schoolbell.calendar_days d ON d.school = q.school
	AND d.date BETWEEN q.first::date AND q.last::date
ORDER BY q.n, d.date, d.class_id`

// DayFacts returns the single days of each school between two dates each.
func DayFacts(
	ctx context.Context, tx pgx.Tx, schools, from, to []string,
) ([][]calendar.DaySet, error) {
	found, err := read.PerKey(ctx, tx, len(schools), dayFactsSQL, func(d *classDay) []any {
		return []any{&d.date, &d.classID, &d.kind}
	}, schools, from, to)
	sets := make([][]calendar.DaySet, len(found))
	for i := range found {
		for k := range found[i] {
			sets[i] = append(sets[i], found[i][k].set())
		}
	}
	return sets, err
}
