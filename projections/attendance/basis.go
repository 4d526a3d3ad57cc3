package attendance

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	days "github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// basis is what the numbers of a request are made with.
type basis struct {
	presence.Basis
	scope *query.Scope
	years []days.YearSet
	year  days.YearSet // of the window
	until domain.Date  // the last day of the request, which may be to come
	days  []classDay   // what was marked up to then
	filing
}

// isSection reports that a class is one whose members are not those of a home class.
func (b *basis) isSection(class string) bool { return slices.Contains(b.all, class) }

// classDay are the marks that count for a class on a day.
type classDay struct {
	date    domain.Date
	classID string
	Counts
}

// window returns the basis of a window of days: the current school year up to today, unless the
// request says otherwise. It has no marks and no mode yet.
func window(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, from, to domain.Date,
) (*basis, error) {
	b := &basis{scope: scope}
	b.Rules, b.Mode, b.Today = scope.Settings.Attendance, scope.Settings.Attendance.Mode, scope.Today
	var err error
	if b.years, err = calendar.Years(ctx, tx, scope.School); err != nil {
		return nil, err
	}
	in := scope.Today
	switch {
	case !from.IsZero():
		in = from
	case !to.IsZero():
		in = to
	}
	b.year = days.YearOf(b.years, scope.Settings.YearFrom, in)
	if b.From, b.until = from, to; from.IsZero() {
		b.From = b.year.From
	}
	if to.IsZero() {
		b.until = max(b.year.To, scope.Today)
	}
	if b.From > b.until {
		return nil, fmt.Errorf("%w: from is after to", query.ErrInput)
	}
	b.To = min(b.until, scope.Today)
	b.Calendar, err = calendar.Of(ctx, tx, scope, b.years, b.From, max(b.From, b.To))
	return b, err
}

// prepare returns the basis of a window for a class, or for all of the school.
func prepare(
	ctx context.Context, tx pgx.Tx, scope *query.Scope, from, to domain.Date, class string,
) (*basis, error) {
	b, err := window(ctx, tx, scope, from, to)
	if err != nil {
		return nil, err
	}
	if b.homes, err = students.AllHomes(ctx, tx, scope.School); err != nil {
		return nil, err
	}
	if err = b.loadDays(ctx, tx, class); err != nil {
		return nil, err
	}
	return b, b.decide(ctx, tx)
}

const daysSQL read.SQL = `-- attendance.days
SELECT date, class_id, present, late, absent_excused, absent_unexcused
FROM attendance_days WHERE school = $1 AND date BETWEEN $2 AND $3 /*where*/
ORDER BY date, class_id`

// loadDays reads what was marked on each day for a class, or for all, and tells the calendar, which
// may follow from it.
func (b *basis) loadDays(ctx context.Context, tx pgx.Tx, class string) error {
	var err error
	if b.all, err = students.Sections(ctx, tx, b.scope.School); err != nil {
		return err
	}
	args, where := []any{b.scope.School, b.From, b.until}, ""
	if class != "" && (len(b.all) == 0 || b.isSection(class)) {
		args, where = append(args, class), "class_id = $4"
	}
	b.days, err = read.All(ctx, tx, daysSQL.With(where), func(d *classDay) []any {
		return append([]any{&d.date, &d.classID}, d.addresses()...)
	}, args...)
	if err != nil {
		return err
	}
	if !b.isSection(class) {
		b.sections = map[string]bool{}
		for _, d := range b.days {
			if b.isSection(d.classID) {
				b.sections[d.classID] = true
			}
		}
		if err := b.file(ctx, tx); err != nil {
			return err
		}
	}
	if class != "" {
		b.days = slices.DeleteFunc(b.days, func(d classDay) bool { return d.classID != class })
	}
	for _, d := range b.days {
		b.Calendar.Mark(d.classID, d.date)
		b.Calendar.Mark("", d.date)
	}
	return nil
}

const modeSQL read.SQL = `-- attendance.mode
SELECT coalesce(sum(present + late), 0)::bigint,
	coalesce(sum(present + late + absent_excused + absent_unexcused), 0)::bigint
FROM attendance_days WHERE school = $1 AND date BETWEEN $2 AND $3`

// decide guesses the mode when the school has not said it, by the marks of the year up to today.
func (b *basis) decide(ctx context.Context, tx pgx.Tx) error {
	if b.Mode != "" {
		return nil
	}
	type sums struct{ there, marks int64 }
	all, _, err := read.One(ctx, tx, modeSQL, func(s *sums) []any {
		return []any{&s.there, &s.marks}
	}, b.scope.School, b.year.From, min(b.year.To, b.Today))
	b.Mode, b.Guessed = presence.GuessMode(all.there, all.marks), true
	return err
}

// addresses are those of the columns of counts.
func (c *Counts) addresses() []any {
	return []any{&c.Present, &c.Late, &c.AbsentExcused, &c.AbsentUnexcused}
}
