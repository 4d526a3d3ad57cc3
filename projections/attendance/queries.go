package attendance

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Queries are those of the counts.
var Queries = []query.Endpoint{
	query.Query[input, Report]{
		Name:    "attendance",
		Path:    "/analytics/attendance",
		Summary: "Attendance of a school or a class",
		Description: "Counts and rates in a range of days, by day and by class, and the students " +
			"who are chronically absent. A mark of a section counts for the student's home class " +
			"on its day, unless the section is selected. The rate is (present + late) / " +
			"all marks that were recorded; where only exceptions are recorded, it says nothing " +
			"about those who were present. Of the students who are chronically absent teachers see " +
			"their own.",
		Reads:   []*projections.Projection{Projection, students.Projection},
		TTL:     5 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Office, query.Teacher, query.Analyst},
		ByScope: true,
		Indexes: []query.Index{
			{
				Name: "attendance_days_pkey", Statement: "attendance.by_day",
				Request: "/analytics/attendance?from=2026-10-01&to=2026-10-31",
			},
			{
				Name: "attendance_days_by_class", Statement: "attendance.by_class",
				Request: "/analytics/attendance?class=class-07",
			},
			{
				Name: "attendance_days_by_class", Statement: "attendance.class_days",
				Request: "/analytics/attendance?class=class-07",
			},
			{
				Name: "enrolments_pkey", Statement: "students.homes",
				Request: "/analytics/attendance?class=class-07",
			},
			{
				Name: "attendance_students_pkey", Statement: "attendance.chronic",
				Request: "/analytics/attendance",
			},
			{
				Name: "attendance_months_pkey", Statement: "attendance.within",
				Request: "/analytics/attendance?from=2026-10-01&to=2026-10-31",
			},
		},
		Run: analyse,
	},
}

// input selects what the result covers.
type input struct {
	From     read.Day `query:"from" doc:"First day, as 2026-09-01; from the first mark on when absent"`
	To       read.Day `query:"to" doc:"Last day; up to the last mark when absent"`
	Class    string   `query:"class" maxLength:"128" doc:"Only marks of the students of this home class, or of this section"`
	MinMarks int      `query:"min_marks" minimum:"1" maximum:"10000" default:"10" doc:"From how many marks in the range on absence can be chronic"`
}

// Report is attendance in a range of days.
type Report struct {
	Totals       Counts    `json:"totals"`
	Marks        int64     `json:"marks" doc:"How many marks there are"`
	Rate         *float64  `json:"rate" doc:"(present + late) / marks; null without marks"`
	ByDay        []Day     `json:"by_day"`
	ByClass      []Class   `json:"by_class"`
	Chronic      []Chronic `json:"chronic" doc:"Students with a rate below 0.9, the lowest first; at most 200"`
	ChronicCount int64     `json:"chronic_count" doc:"How many there are in all"`
}

// Day is one day.
type Day struct {
	Date domain.Date `json:"date"`
	Counts
	Rate *float64 `json:"rate"`
}

// Class is a home class, or the selected section.
type Class struct {
	ClassID string `json:"class_id"`
	Counts
	Rate *float64 `json:"rate"`
}

const byDaySQL read.SQL = `-- attendance.by_day
SELECT date, sum(present)::bigint, sum(late)::bigint, sum(absent_excused)::bigint,
	sum(absent_unexcused)::bigint
FROM attendance_days WHERE school = $1 AND date BETWEEN $2 AND $3 /*where*/
GROUP BY date ORDER BY date`

const byClassSQL read.SQL = `-- attendance.by_class
SELECT class_id, sum(present)::bigint, sum(late)::bigint, sum(absent_excused)::bigint,
	sum(absent_unexcused)::bigint
FROM attendance_days WHERE school = $1 AND date BETWEEN $2 AND $3 /*where*/
GROUP BY class_id ORDER BY class_id`

func analyse(ctx context.Context, tx pgx.Tx, scope query.Scope, in *input) (*Report, error) {
	from, to := read.Range(in.From.Date, in.To.Date)
	if from > to {
		return nil, fmt.Errorf("%w: from is after to", query.ErrInput)
	}
	args, inClass := []any{scope.School, from, to}, ""
	if in.Class != "" {
		args, inClass = append(args, in.Class), "class_id = $4"
	}
	a := &Report{}
	var err error
	a.ByDay, err = read.All(ctx, tx, byDaySQL.With(inClass), func(d *Day) []any {
		return append([]any{&d.Date}, d.addresses()...)
	}, args...)
	if err != nil {
		return nil, err
	}
	a.ByClass, err = read.All(ctx, tx, byClassSQL.With(inClass), func(c *Class) []any {
		return append([]any{&c.ClassID}, c.addresses()...)
	}, args...)
	if err != nil {
		return nil, err
	}
	f, err := fileMarks(ctx, tx, scope.School, in)
	if err != nil {
		return nil, err
	}
	if err = f.apply(ctx, tx, scope.School, in, a); err != nil {
		return nil, err
	}
	for i := range a.ByDay {
		d := &a.ByDay[i]
		d.Rate = d.rate()
		a.Totals.Present += d.Present
		a.Totals.Late += d.Late
		a.Totals.AbsentExcused += d.AbsentExcused
		a.Totals.AbsentUnexcused += d.AbsentUnexcused
	}
	for i := range a.ByClass {
		a.ByClass[i].Rate = a.ByClass[i].rate()
	}
	a.Marks, a.Rate = a.Totals.Marks(), a.Totals.rate()
	a.Chronic, a.ChronicCount, err = chronic(ctx, tx, scope, in, f)
	return a, err
}

func (c *Counts) addresses() []any {
	return []any{&c.Present, &c.Late, &c.AbsentExcused, &c.AbsentUnexcused}
}

func (c *Counts) rate() *float64 { return read.Ratio(c.Marks()-c.Absent(), c.Marks()) }

// Summary is a student's attendance over all days.
type Summary struct {
	Counts
	Rate    *float64 `json:"rate" doc:"(present + late) / marks; null without marks"`
	Chronic bool     `json:"chronic" doc:"The rate is below 0.9, from ten marks on"`
	Streaks
}

const studentSQL read.SQL = `-- attendance.student
SELECT present, late, absent_excused, absent_unexcused FROM attendance_students WHERE school = $1
	AND student_id = $2`

// Summarise returns the attendance of one student.
func Summarise(ctx context.Context, tx pgx.Tx, school, studentID string) (Summary, error) {
	counts, _, err := read.One(ctx, tx, studentSQL, (*Counts).addresses, school, studentID)
	if err != nil {
		return Summary{}, err
	}
	runs, err := ofStudents(ctx, tx, school, []string{studentID})
	return Summary{
		Counts: counts, Rate: counts.rate(), Chronic: counts.Chronic(),
		Streaks: runs[studentID].streaks(),
	}, err
}

const lastDaySQL read.SQL = `-- attendance.last_day
SELECT date, sum(present)::bigint, sum(late)::bigint, sum(absent_excused)::bigint,
	sum(absent_unexcused)::bigint
FROM attendance_days
WHERE school = $1 AND date = (SELECT max(date) FROM attendance_days WHERE school = $1
	AND date <= $2)
GROUP BY date`

// LastDay returns the last day up to today that has marks; nil when there is none.
func LastDay(ctx context.Context, tx pgx.Tx, scope query.Scope) (*Day, error) {
	d, found, err := read.One(ctx, tx, lastDaySQL, func(d *Day) []any {
		return append([]any{&d.Date}, d.addresses()...)
	}, scope.School, scope.Today)
	if err != nil || !found {
		return nil, err
	}
	d.Rate = d.rate()
	return &d, nil
}
