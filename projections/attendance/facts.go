package attendance

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about attendance that the rules of messages look up. Each function looks up many
// students at once, of any schools, and returns what there is of each of them, in their order.

// Marks are stored by month, so a period is cut out of the months that it touches.
const markFactsSQL read.SQL = `-- attendance.facts_of_marks
SELECT q.n, k.date, k.class_id, k.session, k.status
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
	AS q (school, id, since, until, n)
CROSS JOIN generate_series(date_trunc('month', q.since::timestamp), q.until::timestamp,
	interval '1 month') AS first
JOIN schoolbell.attendance_months m
	ON m.school = q.school AND m.month = first::date AND m.student_id = q.id
CROSS JOIN schoolbell.marks_of(m.month, m.marks) k
WHERE k.date BETWEEN q.since::date AND q.until::date
ORDER BY q.n, k.date, k.session COLLATE "C"`

// MarkFacts returns the marks of students between two dates each, for example 2026-09-01, both
// included, in the order of days and sessions.
func MarkFacts(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, from, to []string,
) ([][]presence.Mark, error) {
	return read.PerKey(ctx, tx, len(studentIDs), markFactsSQL, func(m *presence.Mark) []any {
		return []any{&m.Date, &m.ClassID, &m.Session.Session, &m.Status}
	}, schools, studentIDs, from, to)
}

// A mark of a section is one of the student's home class on its day.
const classDaysSQL read.SQL = `-- attendance.facts_of_class_days
SELECT q.n, d.date
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
	AS q (school, id, since, until, n)
CROSS JOIN LATERAL (
	SELECT a.date FROM schoolbell.attendance_days a
	WHERE a.school = q.school AND a.class_id = q.id
		AND a.date BETWEEN q.since::date AND q.until::date
	UNION
	SELECT k.date FROM schoolbell.once_in_home(q.school, q.id) h
	CROSS JOIN generate_series(date_trunc('month', q.since::timestamp), q.until::timestamp,
		interval '1 month') AS first
	JOIN schoolbell.attendance_months m
		ON m.school = q.school AND m.month = first::date AND m.student_id = h.student_id
	CROSS JOIN schoolbell.marks_of(m.month, m.marks) k
	JOIN schoolbell.sections(q.school) c ON c.class_id = k.class_id
	CROSS JOIN schoolbell.home_on(q.school, h.student_id, k.date) o
	WHERE o.class_id = q.id AND k.date BETWEEN q.since::date AND q.until::date
) d ORDER BY q.n, d.date`

// ClassDays returns on which days home classes have marks, between two dates each.
func ClassDays(
	ctx context.Context, tx pgx.Tx, schools, classIDs, from, to []string,
) ([][]domain.Date, error) {
	return read.PerKey(ctx, tx, len(classIDs), classDaysSQL,
		func(d *domain.Date) []any { return []any{d} }, schools, classIDs, from, to)
}

const countFactsSQL read.SQL = `-- attendance.facts_of_counts
SELECT q.n, sum(a.present + a.late)::bigint,
	sum(a.present + a.late + a.absent_excused + a.absent_unexcused)::bigint
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) WITH ORDINALITY
	AS q (school, id, since, until, n)
JOIN schoolbell.attendance_days a
	ON a.school = q.school AND a.date BETWEEN q.since::date AND q.until::date
GROUP BY q.n`

// CountFact counts marks: all, and those that say that somebody was there.
type CountFact struct{ There, Marks int64 }

// CountFacts counts the marks of schools between two dates each. The ids are not looked at.
func CountFacts(
	ctx context.Context, tx pgx.Tx, schools, ids, from, to []string,
) ([][]CountFact, error) {
	return read.PerKey(ctx, tx, len(schools), countFactsSQL,
		func(c *CountFact) []any { return []any{&c.There, &c.Marks} }, schools, ids, from, to)
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
