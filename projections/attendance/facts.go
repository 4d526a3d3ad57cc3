package attendance

import (
	"context"

	"github.com/jackc/pgx/v5"

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

// CountFactsWithin counts the marks of students between two dates each, for example 2026-09-01, both
// included.
func CountFactsWithin(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, from, to []string,
) ([][]Counts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), countFactsWithinSQL, (*Counts).addresses,
		schools, studentIDs, from, to)
}
