package devtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

func TestMain(m *testing.M) { devtest.Main(m) }

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	for range 2 {
		conn, err := pgx.Connect(t.Context(), devtest.Postgres(t))
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `CREATE TABLE same_name (n int)`)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
}

func TestNamesOutsideASCIIAreLetters(t *testing.T) {
	t.Parallel()
	conn, err := pgx.Connect(t.Context(), devtest.EmptyPostgres(t))
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var lower, first string
	require.NoError(t, conn.QueryRow(t.Context(),
		`SELECT lower('ÉLODIE'), min(x) FROM unnest(ARRAY['a', 'B', 'é']) x`).Scan(&lower, &first))
	require.Equal(t, "élodie", lower)
	require.Equal(t, "B", first, "order is by bytes")
}
