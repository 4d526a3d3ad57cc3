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
		_, err := conn.Exec(t.Context(), `INSERT INTO schoolbell.students VALUES
			($1, 's1', 'Ada', 'King', 'king ada', NULL, '7A', '', '', 'enrolled', NULL, NULL)`, school)
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(),
			`INSERT INTO schoolbell.staff VALUES ($1, 't1', 'Grace', 'teacher', '["7A"]', '[]')`,
			school)
		require.NoError(t, err)
	}
	for school, want := range map[string]int{"oak": 1, "ash": 0, "": 0} {
		tx, err := conn.Begin(t.Context())
		require.NoError(t, err)
		projtest.As(t, tx, school)
		for _, sql := range []string{
			`SELECT count(*) FROM search_students('%king%', '{}', '', 'enrolled', '', '', 10)`,
			`SELECT count(*) FROM staff_of_class('7A')`,
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
