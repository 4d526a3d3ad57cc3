package program

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/realtime"
)

func TestRightsComeFromTheDirectory(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	for _, sql := range []string{
		`SET ROLE schoolbell_projector`,
		`SET search_path = schoolbell`,
		`INSERT INTO students (school, student_id, given_name, family_name, sort_name, class_id, grade_level, photo_url, status) VALUES
			('north', 'ann', 'Ann', 'A', 'a ann', '7a', '7', '', 'enrolled'), ('north', 'bob', 'Bob', 'A', 'a bob', '7b', '7', '', 'enrolled'),
			('north', 'cid', 'Cid', 'C', 'c cid', '7a', '7', '', 'withdrawn'), ('south', 'ann', 'Ann', 'S', 's ann', '7a', '7', '', 'enrolled')`,
		`INSERT INTO student_guardians VALUES ('north', 'ann', 'mum', 'mother', true), ('north', 'cid', 'mum', 'mother', true), ('south', 'ann', 'dad', 'father', true)`,
		`INSERT INTO staff VALUES ('north', 'may', 'May', 'teacher', '["7a", "9c"]', '[]')`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: url, Role: postgres.API})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var awaited []domain.Position
	grants := rights(pool, func(_ context.Context, at domain.Position) error {
		awaited = append(awaited, at)
		if at.Offset > 5 {
			return errors.New("not yet")
		}
		return nil
	})
	none := domain.Position{Offset: -1}
	for user, want := range map[string]realtime.Grants{
		"mum": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{"ann"},
			Classes: []string{"7a"},
		},
		"dad": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
		"bob": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{"bob"},
			Classes: []string{"7b"},
		},
		"cid": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
		"may": {
			Teaches: []string{"7a", "9c"}, Pupils: []string{"ann"}, Children: []string{},
			Classes: []string{},
		},
		"nobody": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
	} {
		got, err := grants(t.Context(), "north", user, none)
		require.NoError(t, err)
		require.Equal(t, want, got, user)
	}
	require.Empty(t, awaited)
	_, err = grants(t.Context(), "north", "mum", domain.Position{Partition: 1, Offset: 5})
	require.NoError(t, err)
	require.Equal(t, []domain.Position{{Partition: 1, Offset: 5}}, awaited)
	_, err = grants(t.Context(), "north", "mum", domain.Position{Partition: 1, Offset: 6})
	require.ErrorContains(t, err, "not yet")
}
