package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
)

// Rights answers from the directory who is connected with whom at a school. It is a [realtime.Rights].
type Rights struct {
	pool  *Pool
	await func(ctx context.Context, at domain.Position) error
}

var _ realtime.Rights = (*Rights)(nil)

// NewRights reads as the API does. Await returns when the tables have reached a position.
func NewRights(pool *Pool, await func(ctx context.Context, at domain.Position) error) *Rights {
	return &Rights{pool: pool, await: await}
}

// grantsQuery finds the classes that somebody teaches, the pupils in them, and the children that somebody answers for,
// or is, with their classes. Students who have left are nobody's any more.
const grantsQuery = `
WITH teaches AS MATERIALIZED (
	SELECT jsonb_array_elements_text(class_ids) AS class_id FROM staff WHERE school = $1 AND staff_id = $2
), children AS MATERIALIZED (
	SELECT student_id, class_id FROM students
	WHERE school = $1 AND status = 'enrolled' AND student_id IN (
		SELECT student_id FROM student_guardians WHERE school = $1 AND guardian_id = $2 UNION ALL SELECT $2)
)
SELECT
	coalesce((SELECT array_agg(class_id) FROM teaches), '{}'),
	coalesce((SELECT array_agg(student_id) FROM students
		WHERE school = $1 AND status = 'enrolled' AND class_id IN (SELECT class_id FROM teaches)), '{}'),
	coalesce((SELECT array_agg(student_id) FROM children), '{}'),
	coalesce((SELECT array_agg(DISTINCT class_id) FROM children), '{}')`

// Grants implements [realtime.Rights].
func (r *Rights) Grants(ctx context.Context, school, user string, at domain.Position) (g realtime.Grants, err error) {
	if at.Offset >= 0 {
		if err := r.await(ctx, at); err != nil {
			return g, fmt.Errorf("wait for the directory at %s: %w", at, err)
		}
	}
	err = r.pool.Read(ctx, school, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, grantsQuery, school, user).Scan(&g.Teaches, &g.Pupils, &g.Children, &g.Classes)
	})
	if err != nil {
		return g, fmt.Errorf("read the connections of %q: %w", user, err)
	}
	return g, nil
}
