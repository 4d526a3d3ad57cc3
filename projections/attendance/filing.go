package attendance

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/students"
)

// filing says for which class a mark counts. The fold counts it for the class that the event names,
// which is what happened; but the numbers of a school are by home class, also where a period's
// register is that of a section. Which home class that is may become known, or be corrected, after
// the mark: so it is decided when the result is made.
type filing struct {
	all      []string        // sections of the school
	sections map[string]bool // those whose marks count for home classes
	homes    students.Homes
}

// classOf returns the class for which a mark counts: of a section the student's home class on the
// day, and the section itself for a student whom the directory does not know.
func (f *filing) classOf(studentID string, date domain.Date, class string) string {
	if f.sections[class] {
		if home := f.homes.On(studentID, date); home != "" {
			return home
		}
	}
	return class
}

// file moves the marks of sections to home classes.
func (b *basis) file(ctx context.Context, tx pgx.Tx) error {
	if len(b.sections) == 0 {
		return nil
	}
	counts := make(map[dayKey]Counts, len(b.days))
	for _, d := range b.days {
		counts[dayKey{Date: d.date, ClassID: d.classID}] = d.Counts
	}
	move := func(date domain.Date, class, status string, n int64) {
		key := dayKey{Date: date, ClassID: class}
		c := counts[key]
		c.add(status, n)
		if counts[key] = c; c == (Counts{}) { // all marks of the section have moved
			delete(counts, key)
		}
	}
	err := eachMark(ctx, tx, withinSQL, b.From, b.until,
		func(studentID string, date domain.Date, m *mark) {
			if home := b.classOf(studentID, date, m.class); home != m.class {
				move(date, m.class, m.status, -1)
				move(date, home, m.status, +1)
			}
		}, b.scope.School, b.From.Month(), b.until.Month())
	b.days = b.days[:0]
	for key, c := range counts {
		b.days = append(b.days, classDay{key.Date, key.ClassID, c})
	}
	slices.SortFunc(b.days, func(x, y classDay) int {
		return cmp.Or(cmp.Compare(x.date, y.date), strings.Compare(x.classID, y.classID))
	})
	return err
}

const withinSQL read.SQL = `-- attendance.within
SELECT student_id, month, marks FROM attendance_months WHERE school = $1 AND month BETWEEN $2
	AND $3 ORDER BY month`

// awaySQL reads no more of the sheets than the days with an absence.
const awaySQL read.SQL = `-- attendance.away
SELECT student_id, month, split_part(marks, E'\n', 1) FROM attendance_months
WHERE school = $1 AND month BETWEEN $2 AND $3 ORDER BY month`

// ofStudentsSQL finds each sheet by its key.
const ofStudentsSQL read.SQL = `-- attendance.of_students
SELECT m.student_id, m.month, m.marks
FROM generate_series($3::date, $4::date, interval '1 month') AS first
JOIN attendance_months m ON m.school = $1 AND m.month = first::date AND m.student_id = ANY($2)
ORDER BY m.month`

// eachSheet calls visit with the sheets that a statement returns; each is good until the next one.
func eachSheet(
	ctx context.Context, tx pgx.Tx, s read.SQL,
	visit func(studentID string, first domain.Date, s sheet), args ...any,
) error {
	type month struct {
		studentID, marks string
		first            domain.Date
	}
	var marks sheet
	var failed error
	err := read.Each(ctx, tx, s, func(m *month) []any {
		return []any{&m.studentID, &m.first, &m.marks}
	}, func(m month) {
		var err error
		if marks, err = parseSheet(marks[:0], m.marks); err != nil {
			failed = cmp.Or(failed, err)
			return
		}
		visit(m.studentID, m.first, marks)
	}, args...)
	return cmp.Or(err, failed)
}

// eachMark calls visit with the marks in a range of days of the sheets that a statement returns: of
// each student in the order of days, when the statement orders the sheets by month.
func eachMark(
	ctx context.Context, tx pgx.Tx, s read.SQL, from, to domain.Date,
	visit func(studentID string, date domain.Date, m *mark), args ...any,
) error {
	return eachSheet(ctx, tx, s, func(studentID string, first domain.Date, s sheet) {
		for i := range s {
			if date := first.AddDays(s[i].day - 1); date >= from && date <= to {
				visit(studentID, date, &s[i])
			}
		}
	}, args...)
}
