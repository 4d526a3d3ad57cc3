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

// Queries are the questions to the counts.
var Queries = []query.Endpoint{
	query.Query[Input, Answer]{
		Name:    "attendance",
		Path:    "/analytics/attendance",
		Summary: "Attendance of a school or a class",
		Description: "Counts and rates in a range of days, by day and by class, and the students who are chronically absent. " +
			"The rate is (present + late) / all marks that were recorded; where only exceptions are recorded, it says " +
			"nothing about those who were present.",
		Reads: []*projections.Projection{Projection, students.Projection},
		TTL:   5 * time.Minute,
		Roles: []query.Role{query.Admin, query.Teacher},
		Run:   analyse,
	},
}

// Input is what the answer is to be about.
type Input struct {
	From     read.Day `query:"from" doc:"First day, as 2026-09-01; from the first mark on when absent"`
	To       read.Day `query:"to" doc:"Last day; up to the last mark when absent"`
	Class    string   `query:"class" maxLength:"128" doc:"Only marks of this class"`
	MinMarks int      `query:"min_marks" minimum:"1" maximum:"10000" default:"10" doc:"From how many marks in the range on absence can be chronic"`
}

// Answer is attendance in a range of days.
type Answer struct {
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

// Class is one class.
type Class struct {
	ClassID string `json:"class_id"`
	Counts
	Rate *float64 `json:"rate"`
}

// Chronic is a student who is chronically absent.
type Chronic struct {
	StudentID  string   `json:"student_id"`
	GivenName  string   `json:"given_name"`
	FamilyName string   `json:"family_name"`
	ClassID    string   `json:"class_id" doc:"The class that the student is in now"`
	Marks      int64    `json:"marks"`
	Absent     int64    `json:"absent" doc:"Marks of absence"`
	Rate       *float64 `json:"rate"`
	Streaks
}

// Streaks are runs of days on which a student was absent. A day counts when the student has marks for it and all of them
// are absences; days without a mark, as weekends, neither count nor end a streak.
type Streaks struct {
	AbsentDays    int64 `json:"absent_days" doc:"Days of absence"`
	CurrentStreak int64 `json:"current_streak" doc:"Days of absence up to the last recorded day"`
	LongestStreak int64 `json:"longest_streak" doc:"The most days of absence one after the other"`
}

const byDaySQL read.SQL = `-- attendance.by_day
SELECT date, sum(present)::bigint, sum(late)::bigint, sum(absent_excused)::bigint, sum(absent_unexcused)::bigint
FROM attendance_days WHERE school = $1 AND date BETWEEN $2 AND $3 /*where*/
GROUP BY date ORDER BY date`

const byClassSQL read.SQL = `-- attendance.by_class
SELECT class_id, sum(present)::bigint, sum(late)::bigint, sum(absent_excused)::bigint, sum(absent_unexcused)::bigint
FROM attendance_days WHERE school = $1 AND date BETWEEN $2 AND $3 /*where*/
GROUP BY class_id ORDER BY class_id`

func analyse(ctx context.Context, tx pgx.Tx, asked query.Asked, in *Input) (*Answer, error) {
	from, to := read.Range(in.From.Date, in.To.Date)
	if from > to {
		return nil, fmt.Errorf("%w: from is after to", query.ErrInput)
	}
	args, inClass := []any{asked.School, from, to}, ""
	if in.Class != "" {
		args, inClass = append(args, in.Class), "class_id = $4"
	}
	a := &Answer{}
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
	return a, a.readChronic(ctx, tx, asked.School, in)
}

func (c *Counts) addresses() []any {
	return []any{&c.Present, &c.Late, &c.AbsentExcused, &c.AbsentUnexcused}
}

func (c *Counts) rate() *float64 { return read.Ratio(c.Marks()-c.Absent(), c.Marks()) }

// chronicEverSQL reads the students' own counts, which cover all days and classes.
const chronicEverSQL read.SQL = `-- attendance.chronic
WITH counts AS (
	SELECT student_id, present + late + absent_excused + absent_unexcused AS marks, absent_excused + absent_unexcused AS absent
	FROM attendance_students WHERE school = $1
), chronic AS (
	SELECT *, count(*) OVER () AS found FROM counts
	WHERE marks >= $2 AND 10 * absent > marks
	ORDER BY absent::float8 / marks DESC, student_id LIMIT 200
)` + chronicColumns

// chronicWithinSQL counts the marks of a range of days or of a class.
const chronicWithinSQL read.SQL = `-- attendance.chronic_within
WITH counts AS (
	SELECT student_id, count(*) AS marks, count(*) FILTER (WHERE status IN ('absent_excused', 'absent_unexcused')) AS absent
	FROM attendance_marks WHERE school = $1 AND date BETWEEN $3 AND $4 /*where*/ GROUP BY student_id
), chronic AS (
	SELECT *, count(*) OVER () AS found FROM counts
	WHERE marks >= $2 AND 10 * absent > marks
	ORDER BY absent::float8 / marks DESC, student_id LIMIT 200
)` + chronicColumns

const chronicColumns = `
SELECT c.student_id, coalesce(s.given_name, ''), coalesce(s.family_name, ''), coalesce(s.class_id, ''), c.marks, c.absent, c.found
FROM chronic c LEFT JOIN students s ON s.school = $1 AND s.student_id = c.student_id
ORDER BY c.absent::float8 / c.marks DESC, c.student_id`

// boundsSQL narrows an open range to the days of a class, so that not all marks of the school are read.
const boundsSQL read.SQL = `-- attendance.class_days
SELECT min(date), max(date) FROM attendance_days WHERE school = $1 AND class_id = $2 AND date BETWEEN $3 AND $4`

func (a *Answer) readChronic(ctx context.Context, tx pgx.Tx, school string, in *Input) error {
	minMarks := in.MinMarks
	if minMarks == 0 {
		minMarks = ChronicMarks
	}
	from, to := read.Range(in.From.Date, in.To.Date)
	statement, args := chronicEverSQL, []any{school, minMarks}
	if in.Class != "" {
		type bounds struct{ first, last domain.Date }
		b, _, err := read.One(ctx, tx, boundsSQL, func(b *bounds) []any { return []any{&b.first, &b.last} },
			school, in.Class, from, to)
		if err != nil || b.first.IsZero() {
			return err
		}
		statement, args = chronicWithinSQL.With("class_id = $5"), append(args, b.first, b.last, in.Class)
	} else if !in.From.IsZero() || !in.To.IsZero() {
		statement, args = chronicWithinSQL, append(args, from, to)
	}
	var err error
	a.Chronic, err = read.All(ctx, tx, statement, func(c *Chronic) []any {
		return []any{&c.StudentID, &c.GivenName, &c.FamilyName, &c.ClassID, &c.Marks, &c.Absent, &a.ChronicCount}
	}, args...)
	if err != nil {
		return err
	}
	ids := make([]string, len(a.Chronic))
	for i, c := range a.Chronic {
		ids[i] = c.StudentID
		a.Chronic[i].Rate = read.Ratio(c.Marks-c.Absent, c.Marks)
	}
	streaks, err := readStreaks(ctx, tx, school, ids, from, to, in.Class)
	for i := range a.Chronic {
		a.Chronic[i].Streaks = streaks[a.Chronic[i].StudentID]
	}
	return err
}

// streaksSQL finds each mark by its key: the days come from the counts. A run begins after each day of presence, so that
// the days of absence in it are a streak.
const streaksSQL read.SQL = `-- attendance.streaks
WITH days AS MATERIALIZED (
	SELECT DISTINCT date FROM attendance_days WHERE school = $1 AND date BETWEEN $3 AND $4
), recorded AS (
	SELECT m.student_id, m.date, bool_and(m.status IN ('absent_excused', 'absent_unexcused')) AS absent
	FROM days d JOIN attendance_marks m ON m.school = $1 AND m.date = d.date AND m.student_id = ANY($2) /*where*/
	GROUP BY m.student_id, m.date
), runs AS (
	SELECT student_id, absent, count(*) FILTER (WHERE NOT absent) OVER (PARTITION BY student_id ORDER BY date) AS run
	FROM recorded
), streaks AS (
	SELECT student_id, run, count(*) FILTER (WHERE absent) AS days FROM runs GROUP BY student_id, run
)
SELECT student_id, sum(days)::bigint, (array_agg(days ORDER BY run DESC))[1], max(days) FROM streaks GROUP BY student_id`

func readStreaks(ctx context.Context, tx pgx.Tx, school string, ids []string, from, to domain.Date, class string) (map[string]Streaks, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := []any{school, ids, from, to}
	if class != "" {
		args = append(args, class)
	}
	type ofStudent struct {
		Streaks
		id string
	}
	all, err := read.All(ctx, tx, streaksSQL.With(read.If(class != "", "m.class_id = $5")), func(s *ofStudent) []any {
		return []any{&s.id, &s.AbsentDays, &s.CurrentStreak, &s.LongestStreak}
	}, args...)
	if err != nil {
		return nil, err
	}
	by := make(map[string]Streaks, len(all))
	for _, s := range all {
		by[s.id] = s.Streaks
	}
	return by, nil
}

// Summary is a student's attendance over all days.
type Summary struct {
	Counts
	Rate    *float64 `json:"rate" doc:"(present + late) / marks; null without marks"`
	Chronic bool     `json:"chronic" doc:"The rate is below 0.9, from ten marks on"`
	Streaks
}

const studentSQL read.SQL = `-- attendance.student
SELECT present, late, absent_excused, absent_unexcused FROM attendance_students WHERE school = $1 AND student_id = $2`

// Summarise returns the attendance of one student.
func Summarise(ctx context.Context, tx pgx.Tx, school, studentID string) (Summary, error) {
	counts, _, err := read.One(ctx, tx, studentSQL, (*Counts).addresses, school, studentID)
	if err != nil {
		return Summary{}, err
	}
	streaks, err := readStreaks(ctx, tx, school, []string{studentID}, read.FirstDay, read.LastDay, "")
	return Summary{Counts: counts, Rate: counts.rate(), Chronic: counts.Chronic(), Streaks: streaks[studentID]}, err
}

const lastDaySQL read.SQL = `-- attendance.last_day
SELECT date, sum(present)::bigint, sum(late)::bigint, sum(absent_excused)::bigint, sum(absent_unexcused)::bigint
FROM attendance_days
WHERE school = $1 AND date = (SELECT max(date) FROM attendance_days WHERE school = $1 AND date <= $2)
GROUP BY date`

// LastDay returns the last day up to today that has marks; nil when there is none.
func LastDay(ctx context.Context, tx pgx.Tx, asked query.Asked) (*Day, error) {
	d, found, err := read.One(ctx, tx, lastDaySQL, func(d *Day) []any {
		return append([]any{&d.Date}, d.addresses()...)
	}, asked.School, asked.Today)
	if err != nil || !found {
		return nil, err
	}
	d.Rate = d.rate()
	return &d, nil
}
