package attendance

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Chronic is a student who is chronically absent.
type Chronic struct {
	StudentID  string   `json:"student_id"`
	GivenName  string   `json:"given_name"`
	FamilyName string   `json:"family_name"`
	ClassID    string   `json:"class_id" doc:"The home class that the student is in now"`
	Marks      int64    `json:"marks"`
	Absent     int64    `json:"absent" doc:"Marks of absence"`
	Rate       *float64 `json:"rate"`
	Streaks
}

// Streaks are runs of days on which a student was absent. A day counts when the student has marks
// for it and all of them are absences; days without a mark, as weekends, neither count nor end a
// streak.
type Streaks struct {
	AbsentDays    int64 `json:"absent_days" doc:"Days of absence"`
	CurrentStreak int64 `json:"current_streak" doc:"Days of absence up to the last recorded day"`
	LongestStreak int64 `json:"longest_streak" doc:"The most days of absence one after the other"`
}

// maxChronic is how many students a result names.
const maxChronic = 200

// allTimeSQL reads the students' own counts, which cover all days and classes.
const allTimeSQL read.SQL = `-- attendance.chronic
SELECT student_id, present + late + absent_excused + absent_unexcused,
	absent_excused + absent_unexcused
FROM attendance_students
WHERE school = $1 AND 10 * (absent_excused + absent_unexcused) > present + late + absent_excused +
	absent_unexcused`

// chronic returns those students who are chronically absent whom the caller may see, the lowest rate
// first, and how many there are in all.
func chronic(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *input, f *filing,
) ([]Chronic, int64, error) {
	school := scope.School
	allTime := in.From.IsZero() && in.To.IsZero() && in.Class == ""
	var found []Chronic
	var runs map[string]*run
	var err error
	if allTime {
		found, err = read.All(ctx, tx, allTimeSQL,
			func(c *Chronic) []any { return []any{&c.StudentID, &c.Marks, &c.Absent} }, school)
	} else if runs, err = within(ctx, tx, school, in, f); err == nil {
		for id, r := range runs {
			found = append(found, Chronic{StudentID: id, Marks: r.marks, Absent: r.absent})
		}
	}
	if err != nil {
		return nil, 0, err
	}
	minMarks := int64(cmp.Or(in.MinMarks, chronicMarks))
	found = slices.DeleteFunc(found,
		func(c Chronic) bool { return c.Marks < minMarks || 10*c.Absent <= c.Marks })
	slices.SortFunc(found, func(a, b Chronic) int {
		return cmp.Or(cmp.Compare(b.Absent*a.Marks, a.Absent*b.Marks),
			strings.Compare(a.StudentID, b.StudentID))
	})
	count := int64(len(found))
	if among := scope.Access.Among(access.Names | access.Attendance); among != nil {
		found = slices.DeleteFunc(found,
			func(c Chronic) bool { return !slices.Contains(among, c.StudentID) })
	}
	found = found[:min(len(found), maxChronic)]
	if len(found) == 0 {
		return nil, count, nil
	}
	ids := make([]string, len(found))
	for i := range found {
		ids[i] = found[i].StudentID
	}
	if allTime {
		if runs, err = ofStudents(ctx, tx, school, ids); err != nil {
			return nil, 0, err
		}
	}
	named, err := students.Names(ctx, tx, school, ids, scope.Today)
	if err != nil {
		return nil, 0, err
	}
	for i := range found {
		c := &found[i]
		s := named[c.StudentID] // none for a student who has marks and was never enrolled
		c.GivenName, c.FamilyName, c.ClassID = s.GivenName, s.FamilyName, s.ClassID
		c.Rate = read.Ratio(c.Marks-c.Absent, c.Marks)
		c.Streaks = runs[c.StudentID].streaks()
	}
	return found, count, nil
}

// run counts the marks and streaks of a student. It is shown the marks in their order.
type run struct {
	marks, absent          int64
	days, current, longest int64 // of absence, without the day that has not ended
	date                   domain.Date
	away                   bool // all marks of the date so far are absences
}

func (r *run) add(date domain.Date, absent bool) {
	if date != r.date {
		r.end()
		r.date, r.away = date, true
	}
	r.marks++
	if absent {
		r.absent++
	} else {
		r.away = false
	}
}

// end counts the day whose marks have all been shown.
func (r *run) end() {
	switch {
	case r.date.IsZero():
	case r.away:
		r.days++
		r.current++
		r.longest = max(r.longest, r.current)
	default:
		r.current = 0
	}
	r.date = 0
}

// streaks ends the run. There are none without a mark.
func (r *run) streaks() Streaks {
	if r == nil {
		return Streaks{}
	}
	r.end()
	return Streaks{AbsentDays: r.days, CurrentStreak: r.current, LongestStreak: r.longest}
}

const withinSQL read.SQL = `-- attendance.within
SELECT student_id, month, marks FROM attendance_months WHERE school = $1 AND month BETWEEN $2
	AND $3 ORDER BY month`

// within counts the marks of a range of days, or of a class, for each student who has any.
func within(
	ctx context.Context, tx pgx.Tx, school string, in *input, f *filing,
) (map[string]*run, error) {
	if f.first.IsZero() {
		return nil, nil
	}
	return readSheets(ctx, tx, withinSQL, f.first, f.last,
		func(studentID string, date domain.Date, m *mark) bool {
			return in.Class == "" || f.classOf(studentID, date, m) == in.Class
		}, school, f.first.Month(), f.last.Month())
}

// ofStudentsSQL finds each sheet by its key: the months come from the counts.
const ofStudentsSQL read.SQL = `-- attendance.of_students
WITH months AS MATERIALIZED (
	SELECT DISTINCT date_trunc('month', date)::date AS month FROM attendance_days WHERE school = $1
)
SELECT m.student_id, m.month, m.marks FROM months
JOIN attendance_months m ON m.school = $1 AND m.month = months.month AND m.student_id = ANY($2)
	ORDER BY m.month`

// ofStudents counts all marks of some students.
func ofStudents(
	ctx context.Context, tx pgx.Tx, school string, ids []string,
) (map[string]*run, error) {
	return readSheets(ctx, tx, ofStudentsSQL, read.FirstDay, read.LastDay,
		func(string, domain.Date, *mark) bool { return true }, school, ids)
}

// readSheets counts those marks of the sheets that a statement returns, by months, that are in a
// range of days and that counts says count.
func readSheets(
	ctx context.Context, tx pgx.Tx, s read.SQL, from, to domain.Date,
	counts func(studentID string, date domain.Date, m *mark) bool, args ...any,
) (map[string]*run, error) {
	runs := map[string]*run{}
	var r *run
	last := "" // a student's marks of a month come together
	err := eachMark(ctx, tx, s, from, to, func(studentID string, date domain.Date, m *mark) {
		if !counts(studentID, date, m) {
			return
		}
		if r == nil || studentID != last {
			if last, r = studentID, runs[studentID]; r == nil {
				r = &run{}
				runs[studentID] = r
			}
		}
		r.add(date, m.absent())
	}, args...)
	return runs, err
}

// eachMark calls visit with the marks in a range of days of the sheets that a statement returns.
func eachMark(
	ctx context.Context, tx pgx.Tx, s read.SQL, from, to domain.Date,
	visit func(studentID string, date domain.Date, m *mark), args ...any,
) error {
	type month struct {
		studentID, marks string
		first            domain.Date
	}
	months, err := read.All(ctx, tx, s,
		func(m *month) []any { return []any{&m.studentID, &m.first, &m.marks} }, args...)
	if err != nil {
		return err
	}
	var marks sheet
	for _, m := range months {
		if marks, err = parseSheet(marks[:0], m.marks); err != nil {
			return err
		}
		for i := range marks {
			date := m.first.AddDays(marks[i].day - 1)
			if date >= from && date <= to {
				visit(m.studentID, date, &marks[i])
			}
		}
	}
	return nil
}
