package program

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
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
		`INSERT INTO enrolments (school, student_id, starts, ends, class_id, enrolled_on, source) VALUES
			('north', 'ann', '2026-08-01', NULL, '7a', '2026-08-01', ''), ('north', 'bob', '2026-08-01', NULL, '7b', '2026-08-01', ''),
			('north', 'cid', '2026-08-01', '2026-11-01', '7a', '2026-08-01', ''), ('north', 'dan', '2026-12-01', NULL, '7a', '2026-12-01', ''),
			('south', 'ann', '2026-08-01', NULL, '7a', '2026-08-01', '')`,
		`INSERT INTO student_guardians (school, student_id, guardian_id, starts, ends, relation, is_primary) VALUES
			('north', 'ann', 'mum', '2026-08-01', NULL, 'mother', true), ('north', 'cid', 'mum', '2026-08-01', NULL, 'mother', true),
			('north', 'bob', 'mum', '2026-08-01', '2026-11-19', 'aunt', false), ('south', 'ann', 'dad', '2026-08-01', NULL, 'father', true)`,
		`INSERT INTO assignments VALUES ('north', 'may', '2026-08-01', NULL, '["7a", "9c"]', ''), ('north', 'gil', '2026-08-01', NULL, '["7a"]', '')`,
		`INSERT INTO staff (school, staff_id, name, role, subjects, left_on) VALUES ('north', 'gil', 'Gil', 'teacher', '[]', '2026-11-20')`,
		`INSERT INTO memberships (school, membership_id, starts, ends, class_id, person_id, role, is_primary, source) VALUES
			('north', '1', '2026-08-01', NULL, 'mat', 'ann', 'student', false, ''), ('north', '2', '2026-08-01', NULL, 'mat', 'bob', 'student', false, ''),
			('north', '3', '2026-08-01', '2026-11-20', 'mat', 'cid', 'student', false, ''), ('north', '4', '2026-08-01', NULL, 'mat', 'tom', 'teacher', true, ''),
			('north', '5', '2026-08-01', NULL, 'old', 'tom', 'teacher', true, ''), ('north', '6', '2026-08-01', '2026-11-20', 'mat', 'ida', 'aide', false, '')`,
		`INSERT INTO classes VALUES ('north', 'old', 'Old', 'section', '', '[]', '[]', '', '[]', '', 'old', '2026-11-20', '')`,
	} {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: url, Role: postgres.API})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	var awaited []domain.Position
	day := newDays(pool, settingsMaxAge)
	day.now = func() time.Time { return time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC) }
	grants := rights(pool, func(_ context.Context, at domain.Position) error {
		awaited = append(awaited, at)
		if at.Offset > 5 {
			return errors.New("not yet")
		}
		return nil
	}, day)
	none := domain.Position{Offset: -1}
	for user, want := range map[string]access.Directory{
		"mum": { // cid has left the school this month
			Teaches: []string{}, Pupils: []string{}, Children: []string{"ann"},
			Classes: []string{"7a", "mat"}, Away: []string{"cid"},
		},
		"dad": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
		"bob": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{"bob"},
			Classes: []string{"7b", "mat"},
		},
		"cid": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{}, Away: []string{"cid"},
		},
		"may": {
			Teaches: []string{"7a", "9c"}, Pupils: []string{"ann"}, Children: []string{},
			Classes: []string{},
		},
		"tom": { // of a section of two home classes; another one is closed
			Teaches: []string{"mat"}, Pupils: []string{"ann", "bob"}, Children: []string{},
			Classes: []string{},
		},
		"ida": { // the membership has ended today
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
		"gil": { // has left today
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
		"dan": { // not yet: reads what there is, and has no rooms
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{}, Away: []string{"dan"},
		},
		"nobody": {
			Teaches: []string{}, Pupils: []string{}, Children: []string{},
			Classes: []string{},
		},
	} {
		got, err := grants(t.Context(), "north", user, none)
		require.NoError(t, err)
		if want.Away == nil {
			want.Away = []string{}
		}
		require.Equal(t, want, got.Directory, user)
	}
	require.Empty(t, awaited)
	_, err = grants(t.Context(), "north", "mum", domain.Position{Partition: 1, Offset: 5})
	require.NoError(t, err)
	require.Equal(t, []domain.Position{{Partition: 1, Offset: 5}}, awaited)
	_, err = grants(t.Context(), "north", "mum", domain.Position{Partition: 1, Offset: 6})
	require.ErrorContains(t, err, "not yet")
}
