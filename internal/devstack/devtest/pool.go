package devtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/postgres"
)

// Pool connects to a database in a role until the test ends.
func Pool(t testing.TB, url string, role postgres.Role) *postgres.Pool {
	t.Helper()
	p, err := postgres.NewPool(t.Context(), postgres.Config{URL: url, Role: role})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}
