package calendar

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Queries is that of the calendar.
var Queries = []query.Endpoint{
	query.Query[input, Year]{
		Name:    "calendar",
		Path:    "/calendar",
		Summary: "The school's calendar",
		Description: "A school year with its terms, how many days of school each has, in all and " +
			"so far, and the single days that were set: the current year without parameters. Which " +
			"days are days of school is decided by what was set for a class, then for the school, " +
			"then in a term by the days of the week.",
		Reads: []*projections.Projection{Projection},
		TTL:   time.Hour,
		Roles: []query.Role{
			query.Admin, query.Office, query.Teacher, query.Accountant, query.Analyst,
			query.Guardian, query.Student,
		},
		Impersonal: true,
		Indexes: []query.Index{
			{Name: "calendar_years_pkey", Statement: "calendar.years", Request: "/calendar"},
			{Name: "calendar_days_pkey", Statement: "calendar.days", Request: "/calendar"},
		},
		Run: one,
	},
}

// input selects a year, or days.
type input struct {
	Year string   `query:"year" maxLength:"32" doc:"The name of a year that is set"`
	From read.Day `query:"from" doc:"The first of the days that are listed; that of the year when absent"`
	To   read.Day `query:"to" doc:"The last of them"`
}

// Year is a school year.
type Year struct {
	Calendar string       `json:"calendar" enum:"set,derived" doc:"derived when no year is set: a day is then one of school for a class when the class has a mark on it"`
	Year     domain.Label `json:"year"`
	From     domain.Date  `json:"from"`
	To       domain.Date  `json:"to" doc:"The last day"`
	Terms    []Term       `json:"terms"`
	Week     []string     `json:"week" doc:"The days of the week with school"`
	Days     []Day        `json:"days" doc:"The single days that were set"`
	Years    []Named      `json:"years" doc:"All years that are set"`
}

// Term is a term of the year.
type Term struct {
	Term              domain.Label `json:"term"`
	From              domain.Date  `json:"from"`
	To                domain.Date  `json:"to" doc:"The last day"`
	InstructionalDays float64      `json:"instructional_days" doc:"The days of school, as the school said or by the calendar; a half day is half of one"`
	SoFar             float64      `json:"so_far" doc:"Those up to today"`
	Said              bool         `json:"said" doc:"The school said how many days of school the term has: a part of the term is then the same part of them"`
}

// Day is a day that was set.
type Day struct {
	Date     domain.Date `json:"date"`
	Kind     string      `json:"kind" enum:"instructional,half,holiday,closed"`
	ClassIDs []string    `json:"class_ids,omitempty" doc:"Only for these classes"`
	Note     string      `json:"note,omitzero"`
}

// Named is a year.
type Named struct {
	Year domain.Label `json:"year"`
	From domain.Date  `json:"from"`
	To   domain.Date  `json:"to"`
}

func one(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Year, error) {
	years, err := Years(ctx, tx, scope.School)
	if err != nil {
		return nil, err
	}
	year := calendar.YearOf(years, scope.Settings.YearFrom, scope.Today)
	if in.Year != "" {
		i := slices.IndexFunc(years,
			func(y calendar.YearSet) bool { return string(y.Year) == in.Year })
		if i < 0 {
			return nil, query.ErrNotFound
		}
		year = years[i]
	}
	from, to := year.From, year.To
	if !in.From.IsZero() {
		from = in.From.Date
	}
	if !in.To.IsZero() {
		to = in.To.Date
	}
	if from > to {
		return nil, fmt.Errorf("%w: from is after to", query.ErrInput)
	}
	special, err := daysBetween(ctx, tx, scope.School, from, to)
	if err != nil {
		return nil, err
	}
	c, err := Of(ctx, tx, &scope, years, year.From, year.To)
	if err != nil {
		return nil, err
	}
	a := &Year{
		Calendar: Kind(c), Year: year.Year, From: year.From, To: year.To, Terms: []Term{},
		Days: listed(special), Years: []Named{}, Week: weekOf(scope.Settings.Week),
	}
	for _, y := range years {
		a.Years = append(a.Years, Named{y.Year, y.From, y.To})
	}
	for _, t := range year.Terms {
		var all, past exact.Sum
		c.Of("").Add(&all, t.From, t.To, 1)
		c.Of("").Add(&past, t.From, min(t.To, scope.Today), 1)
		a.Terms = append(a.Terms, Term{
			t.Term, t.From, t.To, Shown(&all), Shown(&past), t.InstructionalDays > 0,
		})
	}
	return a, nil
}

// Kind is how responses call a calendar.
func Kind(c *calendar.Calendar) string {
	if c.Derived() {
		return "derived"
	}
	return "set"
}

// Shown is a number of days as responses show it, to two digits.
func Shown(days *exact.Sum) float64 { return exact.Round(days.Rat(), 2) }

// listed joins the classes of which the same was said.
func listed(special []classDay) []Day {
	all := []Day{}
	for _, d := range special {
		last := len(all) - 1
		if d.classID != "" && last >= 0 && len(all[last].ClassIDs) > 0 && all[last].Date == d.date &&
			all[last].Kind == d.kind && all[last].Note == d.note {
			all[last].ClassIDs = append(all[last].ClassIDs, d.classID)
			continue
		}
		all = append(all, Day{Date: d.date, Kind: d.kind, Note: d.note})
		if d.classID != "" {
			all[last+1].ClassIDs = []string{d.classID}
		}
	}
	return all
}

func weekOf(w calendar.Week) []string {
	names := []string{}
	for _, d := range w.Days() {
		names = append(names, calendar.WeekdayName(d))
	}
	return names
}
