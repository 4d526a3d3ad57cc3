package postgres_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// testStore is the store on a database of its own that has the tables of the test projections.
type testStore struct {
	*postgres.ProjectionStore
	t   *testing.T
	url string
}

func (s testStore) Dump() (projections.Dump, error) { return s.ProjectionStore.Dump(s.t.Context()) }

func openStore(t *testing.T, set *projections.Set) testStore {
	url := devtest.EmptyPostgres(t)
	require.NoError(t, postgres.Migrate(t.Context(), url))
	return openStoreAt(t, set, url)
}

func openStoreAt(t *testing.T, set *projections.Set, url string) testStore {
	exec(t, url, `SET search_path = schoolbell; `+storetest.DDL)
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: url, Role: postgres.Projector})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return testStore{postgres.NewProjectionStore(pool, set, "test"), t, url}
}

func TestProjectionStoreConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t,
		func(t *testing.T, set *projections.Set) storetest.Store { return openStore(t, set) })
}

// exec runs a statement as the owner.
func exec(t *testing.T, url, sql string) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), sql)
	require.NoError(t, err)
	require.NoError(t, owner.Close(t.Context()))
}
