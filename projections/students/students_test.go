package students_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/projections/projtest"
	"github.com/schoolbell/schoolbell/projections/students"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestScenarios(t *testing.T) {
	t.Parallel()
	projtest.Run(t, "testdata", students.Queries, students.Projection)
}

// The function that searches sees all schools, so it must itself filter by the one of the
// transaction.
func TestP10_SearchFindsNothingOutsideTheSchool(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), devtest.Postgres(t))
	require.NoError(t, err)
	defer conn.Close(context.Background())
	for _, school := range []string{"elm", "oak"} {
		for _, row := range []string{
			`INSERT INTO schoolbell.students (school, student_id, given_name, family_name,
				sort_name, search_name, class_id, grade_level, photo_url, first_on)
				VALUES ($1, 's1', 'Ada', 'King', 'king ada', 'king ada s1', '7A', '', '',
					'2026-08-01')`,
			`INSERT INTO schoolbell.enrolments
				VALUES ($1, 's1', '2026-08-01', NULL, '7A', '2026-08-01', NULL, '')`,
			`INSERT INTO schoolbell.assignments
				VALUES ($1, 't1', '2026-08-01', NULL, '["7A"]', '')`,
		} {
			_, err := conn.Exec(t.Context(), row, school)
			require.NoError(t, err)
		}
	}
	for school, want := range map[string]int{"oak": 1, "ash": 0, "": 0} {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		projtest.As(t, tx, school)
		for _, sql := range []string{
			`SELECT count(*) FROM search_students('%king%', '{}', '', 'enrolled', '2026-09-01', '', '', 10)`,
			`SELECT count(*) FROM assigned_to('7A', '2026-09-01')`,
		} {
			var found int
			require.NoError(t, tx.QueryRow(t.Context(), sql).Scan(&found))
			require.Equal(t, want, found, "%s as %q", sql, school)
		}
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

func TestP8_FoldsAlike(t *testing.T) {
	t.Parallel()
	projtest.FoldsAlike(t, students.Projection)
}
