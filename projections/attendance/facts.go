package attendance

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about attendance that the rules of messages look up. Each function looks up many
// students at once, of any schools, and returns the counts, or none, for each of them in their
// order.

const countFactsSQL read.SQL = `-- attendance.facts
SELECT q.n, a.present, a.late, a.absent_excused, a.absent_unexcused
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.attendance_students a ON a.school = q.school AND a.student_id = q.id`

// CountFacts counts all marks of students.
func CountFacts(ctx context.Context, tx pgx.Tx, schools, studentIDs []string) ([][]Counts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), countFactsSQL, (*Counts).addresses,
		schools, studentIDs)
}

// Marks are stored by month, so a period is cut out of the months that it touches.
const countFactsWithinSQL read.SQL = `-- attendance.facts_within
SELECT q.n, count(*) FILTER (WHERE k.status = 'present'),
	count(*) FILTER (WHERE k.status = 'late'),
	count(*) FILTER (WHERE k.status = 'absent_excused'),
	count(*) FILTER (WHERE k.status = 'absent_unexcused')
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
	AS q (school, id, since, until, n)
CROSS JOIN generate_series(date_trunc('month', q.since::timestamp), q.until::timestamp,
	interval '1 month') AS first
JOIN schoolbell.attendance_months m
	ON m.school = q.school AND m.month = first::date AND m.student_id = q.id
CROSS JOIN schoolbell.marks_of(m.month, m.marks) k
WHERE k.date BETWEEN q.since::date AND q.until::date
GROUP BY q.n`

// CountFactsWithin counts the marks of students between two dates each, for example 2026-09-01,
// both included.
func CountFactsWithin(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, from, to []string,
) ([][]Counts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), countFactsWithinSQL, (*Counts).addresses,
		schools, studentIDs, from, to)
}

// AbsenceFacts say that a session became an unexcused absence by a mark, or none any more.
type AbsenceFacts struct {
	Position int64
	Session  string
	Absent   bool
}

const absenceFactsSQL read.SQL = `-- attendance.facts_of_absence
SELECT q.n, a.position, a.session, a.absent
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, on_day, n)
JOIN schoolbell.attendance_absences a
	ON a.school = q.school AND a.student_id = q.id AND a.date = q.on_day::date
ORDER BY q.n, a.position`

// AbsenceFactsOf returns how the unexcused absence of students on a day each began and ended, in
// the order of the log.
func AbsenceFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, days []string,
) ([][]AbsenceFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), absenceFactsSQL, func(a *AbsenceFacts) []any {
		return []any{&a.Position, &a.Session, &a.Absent}
	}, schools, studentIDs, days)
}

const sheetsSQL read.SQL = `-- attendance.sheets
SELECT q.n, m.marks
FROM unnest($2::text[], $3::date[]) WITH ORDINALITY AS q (id, month, n)
JOIN attendance_months m ON m.school = $1 AND m.month = q.month AND m.student_id = q.id`

// Held returns the mark that a school has for the student, date and session of each of those given,
// without its reason; nil where it has none.
func Held(
	ctx context.Context, tx pgx.Tx, school string, of []*attendance.Marked,
) ([]*attendance.Marked, error) {
	type month struct {
		student string
		first   domain.Date
	}
	index := make(map[month]int)
	var students, firsts []string
	for _, m := range of {
		key := month{m.StudentID, m.Date.Month()}
		if _, ok := index[key]; !ok {
			index[key] = len(students)
			students, firsts = append(students, key.student), append(firsts, key.first.String())
		}
	}
	texts, err := read.PerKey(ctx, tx, len(students), sheetsSQL,
		func(s *string) []any { return []any{s} }, school, students, firsts)
	if err != nil {
		return nil, err
	}
	sheets := make([]sheet, len(texts))
	for i, text := range texts {
		if len(text) > 0 {
			if sheets[i], err = parseSheet(nil, text[0]); err != nil {
				return nil, err
			}
		}
	}
	held := make([]*attendance.Marked, len(of))
	for i, m := range of {
		first := m.Date.Month()
		day := int(m.Date-first) + 1
		for _, have := range sheets[index[month{m.StudentID, first}]] {
			if have.day == day && have.session == m.Session {
				held[i] = &attendance.Marked{
					StudentID: m.StudentID, ClassID: have.class, Date: m.Date,
					Session: have.session, Status: have.status,
				}
			}
		}
	}
	return held, nil
}
