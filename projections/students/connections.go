package students

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Connections are what links one user of a school with classes and students on a day.
type Connections struct {
	Teaches  []string // home classes and sections that the user works with
	Pupils   []string // students in those classes
	Children []string // students whose guardian the user is, or who are the user
	Classes  []string // home classes and sections of those children
}

// connectionsSQL reads all four lists in one round trip: every connection of a live client waits
// for it. Students who have left the school connect nobody, nor does a class that is closed.
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
), children AS MATERIALIZED (
	SELECT student_id, class_id FROM enrolments
	WHERE school = $1 AND starts <= $3 AND (ends IS NULL OR ends > $3) AND student_id IN (
		SELECT student_id FROM student_guardians WHERE school = $1 AND guardian_id = $2
			AND starts <= $3 AND (ends IS NULL OR ends > $3)
		UNION ALL SELECT $2)
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
	) named WHERE class_id NOT IN (SELECT class_id FROM closed)), '{}')`

// ConnectionsOf returns the connections of a user on a day, whose lists are empty rather than nil.
func ConnectionsOf(
	ctx context.Context, tx pgx.Tx, school, user string, on domain.Date,
) (c Connections, err error) {
	err = tx.QueryRow(ctx, string(connectionsSQL), school, user, on.Time()).
		Scan(&c.Teaches, &c.Pupils, &c.Children, &c.Classes)
	if err != nil {
		return c, fmt.Errorf("read the connections of %q: %w", user, err)
	}
	return c, nil
}

const isGuardianSQL read.SQL = `-- students.is_guardian
SELECT EXISTS (SELECT FROM student_guardians WHERE school = $1 AND student_id = $2
	AND guardian_id = $3 AND starts <= $4 AND (ends IS NULL OR ends > $4))`

// IsGuardian reports whether a guardian is linked to a student on a day, and so may see what
// concerns them.
func IsGuardian(
	ctx context.Context, tx pgx.Tx, school, guardianID, studentID string, on domain.Date,
) (bool, error) {
	is, _, err := read.One(ctx, tx, isGuardianSQL, func(is *bool) []any { return []any{is} },
		school, studentID, guardianID, on)
	return is, err
}
