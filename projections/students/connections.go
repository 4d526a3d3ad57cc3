package students

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Connections are what links one user of a school with classes and students.
type Connections struct {
	Teaches  []string // classes that the user teaches
	Pupils   []string // students in those classes
	Children []string // students whose guardian the user is, or who are the user
	Classes  []string // classes of those children
}

// connectionsSQL reads all four lists in one round trip: every connection of a live client waits
// for it. Students who have left the school connect nobody.
const connectionsSQL = `
WITH teaches AS MATERIALIZED (
	SELECT jsonb_array_elements_text(class_ids) AS class_id
	FROM staff WHERE school = $1 AND staff_id = $2
), children AS MATERIALIZED (
	SELECT student_id, class_id FROM students
	WHERE school = $1 AND status = 'enrolled' AND student_id IN (
		SELECT student_id FROM student_guardians WHERE school = $1 AND guardian_id = $2
		UNION ALL SELECT $2)
)
SELECT
	coalesce((SELECT array_agg(class_id) FROM teaches), '{}'),
	coalesce((SELECT array_agg(student_id) FROM students
		WHERE school = $1 AND status = 'enrolled'
		AND class_id IN (SELECT class_id FROM teaches)), '{}'),
	coalesce((SELECT array_agg(student_id) FROM children), '{}'),
	coalesce((SELECT array_agg(DISTINCT class_id) FROM children), '{}')`

// ConnectionsOf returns the connections of a user, whose lists are empty rather than nil.
func ConnectionsOf(ctx context.Context, tx pgx.Tx, school, user string) (c Connections, err error) {
	err = tx.QueryRow(ctx, connectionsSQL, school, user).
		Scan(&c.Teaches, &c.Pupils, &c.Children, &c.Classes)
	if err != nil {
		return c, fmt.Errorf("read the connections of %q: %w", user, err)
	}
	return c, nil
}
