package postgres_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// Of two versions of the program only the one whose folds made the tables may write to
// them.
func TestP8_TablesAreWrittenByOneVersionOfTheFolds(t *testing.T) {
	t.Parallel()
	old := openStore(t, storetest.Set(false))
	pool, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: old.url, Role: postgres.Projector})
	require.NoError(t, err)
	defer pool.Close()
	newer := postgres.NewProjectionStore(pool, storetest.Set(true), "test")
	require.Empty(t, outdated(t, newer), "nothing has been folded")

	claim, err := old.Claim(t.Context(), 0, "topic")
	require.NoError(t, err)
	require.Equal(t, []string{"pupils", "marks", "counts"}, outdated(t, newer))
	var fault *projections.VersionError
	_, err = newer.Claim(t.Context(), 0, "topic")
	require.ErrorAs(t, err, &fault)
	require.Equal(t, projections.VersionError{Projection: "pupils", Tables: 1, Folds: 2}, *fault)
	require.NoError(t, old.Commit(t.Context(), claim, &projections.Commit{To: 1}),
		"a claim that was refused fences no other")

	exec(t, old.url, `UPDATE schoolbell.fold_versions SET version = 2
		WHERE projection <> 'log_index'`)
	_, err = newer.Claim(t.Context(), 1, "topic")
	require.NoError(t, err)
	_, err = old.Claim(t.Context(), 0, "topic")
	require.ErrorAs(t, err, &fault)
	require.Equal(t, projections.VersionError{Projection: "pupils", Tables: 2, Folds: 1}, *fault)
	_, err = old.Outdated(t.Context())
	require.ErrorAs(t, err, &fault, "nor may it rebuild them")

	exec(t, old.url, `INSERT INTO schoolbell.fold_versions VALUES ('test', 'later', 1)`)
	_, err = newer.Claim(t.Context(), 1, "topic")
	require.ErrorAs(t, err, &fault)
	require.Equal(t, projections.VersionError{Projection: "later", Tables: 1}, *fault)
}

func outdated(t *testing.T, store *postgres.ProjectionStore) []string {
	names, err := store.Outdated(t.Context())
	require.NoError(t, err)
	return names
}
