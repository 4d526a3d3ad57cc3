package students

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections/read"
)

// connectionsSQL reads all lists in one round trip: every connection of a live client waits for it.
// Students who do not attend the school connect nobody with a class, nor does a class that is closed.
const connectionsSQL read.SQL = `-- students.connections
WITH closed AS MATERIALIZED (
	SELECT class_id FROM classes WHERE school = $1 AND closed_on <= $3
), teaches AS MATERIALIZED (
	SELECT class_id FROM (
		SELECT jsonb_array_elements_text(class_ids) AS class_id FROM assignments
		WHERE school = $1 AND staff_id = $2 AND starts <= $3 AND (ends IS NULL OR ends > $3)
		UNION SELECT class_id FROM memberships
		WHERE school = $1 AND person_id = $2 AND role <> 'student'
			AND starts <= $3 AND (ends IS NULL OR ends > $3)
	) named
	WHERE class_id NOT IN (SELECT class_id FROM closed) AND NOT EXISTS (
		SELECT FROM staff WHERE school = $1 AND staff_id = $2 AND left_on <= $3)
), own AS MATERIALIZED (
	SELECT student_id FROM student_guardians WHERE school = $1 AND guardian_id = $2
		AND starts <= $3 AND (ends IS NULL OR ends > $3)
	UNION SELECT $2 WHERE EXISTS (SELECT FROM students WHERE school = $1 AND student_id = $2)
		OR EXISTS (SELECT FROM enrolments WHERE school = $1 AND student_id = $2)
), children AS MATERIALIZED (
	SELECT student_id, class_id FROM enrolments
	WHERE school = $1 AND starts <= $3 AND (ends IS NULL OR ends > $3)
		AND student_id IN (SELECT student_id FROM own)
), away AS (
	SELECT student_id FROM own WHERE student_id NOT IN (SELECT student_id FROM children) AND (
		SELECT coalesce(bool_or(e.starts > $3 OR e.ends > $3::date - $4::int), true) FROM enrolments e
		WHERE e.school = $1 AND e.student_id = own.student_id)
)
SELECT
	coalesce((SELECT array_agg(class_id ORDER BY class_id) FROM teaches), '{}'),
	coalesce((SELECT array_agg(DISTINCT student_id ORDER BY student_id) FROM (
		SELECT e.student_id FROM enrolments e JOIN teaches USING (class_id)
		WHERE e.school = $1 AND e.starts <= $3 AND (e.ends IS NULL OR e.ends > $3)
		UNION ALL SELECT e.student_id FROM memberships m JOIN teaches USING (class_id)
		JOIN enrolments e ON e.school = $1 AND e.student_id = m.person_id
			AND e.starts <= $3 AND (e.ends IS NULL OR e.ends > $3)
		WHERE m.school = $1 AND m.role = 'student'
			AND m.starts <= $3 AND (m.ends IS NULL OR m.ends > $3)
	) taught), '{}'),
	coalesce((SELECT array_agg(student_id ORDER BY student_id) FROM children), '{}'),
	coalesce((SELECT array_agg(DISTINCT class_id ORDER BY class_id) FROM (
		SELECT class_id FROM children
		UNION SELECT m.class_id FROM memberships m JOIN children c ON m.person_id = c.student_id
		WHERE m.school = $1 AND m.role = 'student'
			AND m.starts <= $3 AND (m.ends IS NULL OR m.ends > $3)
	) named WHERE class_id NOT IN (SELECT class_id FROM closed)), '{}'),
	coalesce((SELECT array_agg(student_id ORDER BY student_id) FROM away), '{}')`

// ConnectionsOf returns what links a user with classes and students on a day. Its lists are empty
// rather than nil.
func ConnectionsOf(
	ctx context.Context, tx pgx.Tx, school, user string, on domain.Date, p access.Policy,
) (d access.Directory, err error) {
	err = tx.QueryRow(ctx, string(connectionsSQL), school, user, on.Time(), p.Days()).
		Scan(&d.Teaches, &d.Pupils, &d.Children, &d.Classes, &d.Away)
	if err != nil {
		return d, fmt.Errorf("read the connections of %q: %w", user, err)
	}
	return d, nil
}
