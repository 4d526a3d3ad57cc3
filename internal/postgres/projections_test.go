package postgres_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// testStore is the store on a database of its own that has the tables of the test projections.
type testStore struct {
	*postgres.ProjectionStore
	*postgres.LogIndex
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
	return testStore{
		postgres.NewProjectionStore(pool, set, "test"), postgres.NewLogIndex(pool, "test"), t, url,
	}
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

// A record is passed over and reported, or neither.
func TestP9_UnusableRecordsAreDeadLettersOfTheirCommit(t *testing.T) {
	t.Parallel()
	store := openStore(t, storetest.Set(false))
	owner, err := pgx.Connect(t.Context(), store.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, owner.Close(context.Background())) })
	claim, err := store.Claim(t.Context(), 1, "topic")
	require.NoError(t, err)
	commit := &projections.Commit{From: 0, To: 9, Unusable: []projections.UnusableRecord{
		{Record: eventlog.Record{
			Position: domain.Position{Partition: 1, Offset: 3},
			Key:      []byte("sch\x00ool\xff"), Value: []byte("\x00hello"),
		}, Last: 3, Reason: errors.New("no event")},
		{
			Record: eventlog.Record{Position: domain.Position{Partition: 1, Offset: 5}}, Last: 8,
			Reason: errors.New("inflates"),
		},
	}}
	zombie := claim
	claim, err = store.Claim(t.Context(), 1, "topic")
	require.NoError(t, err)
	require.ErrorIs(t, store.Commit(t.Context(), zombie, commit), projections.ErrFenced)
	letters, err := deadletter.List(t.Context(), owner, deadletter.Filter{})
	require.NoError(t, err)
	require.Empty(t, letters)

	require.NoError(t, store.Commit(t.Context(), claim, commit))
	letters, err = deadletter.List(t.Context(), owner, deadletter.Filter{Kind: deadletter.Log})
	require.NoError(t, err)
	require.Len(t, letters, 2)
	slices.SortFunc(letters, func(a, b deadletter.Letter) int {
		return int(a.Position.Offset - b.Position.Offset)
	})
	require.Equal(t, "sch\uFFFDool\uFFFD", letters[0].School)
	require.Equal(t, "no event", letters[0].Reason())
	whole, err := deadletter.Get(t.Context(), owner, letters[0].ID)
	require.NoError(t, err)
	require.Equal(t, []byte("\x00hello"), whole.Record.Value)
	require.Equal(t, domain.Position{Partition: 1, Offset: 5}, letters[1].Position)
	require.EqualValues(t, 8, letters[1].Last)
	claim, err = store.Claim(t.Context(), 1, "topic")
	require.NoError(t, err)
	require.EqualValues(t, 9, claim.Next)
}
