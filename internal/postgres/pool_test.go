package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := postgres.Config{Role: "root", MaxConns: -1, AcquireTimeout: -1}.Validate()
	require.EqualError(t, err, "database URL is required\n"+
		"unknown database role \"root\"\ndatabase connections: -1 is negative\ndatabase "+
		"acquire timeout: -1ns is negative")
	require.NotContains(t, postgres.Config{URL: "postgres://u:secret@h:x/d"}.Validate().Error(),
		"secret")
}

// P10: whatever a query asks for, it sees one school, and without a school nothing; nor can it
// write.
func TestP10_TheAPISeesOneSchool(t *testing.T) {
	t.Parallel()
	store := openStore(t, storetest.Set(false))
	claim, err := store.Claim(t.Context(), 0, "topic")
	require.NoError(t, err)
	batch := projections.NewBatch(storetest.Set(false), true)
	for i, school := range []string{"oak", "elm"} {
		e := storetest.Event(school, i, storetest.Enrol("ana", "7A"))
		e.Position = domain.Position{Offset: int64(i)}
		_, err := batch.Fold(e)
		require.NoError(t, err)
	}
	sets, _ := batch.Take(0)
	require.NoError(t, store.Commit(t.Context(), claim, &projections.Commit{To: 2, Rows: sets}))

	api, err := postgres.NewPool(t.Context(), postgres.Config{URL: store.url, Role: postgres.API})
	require.NoError(t, err)
	defer api.Close()
	for _, table := range []string{"test_kinds", "test_pupils", "test_journal"} {
		for _, school := range []string{"oak", ""} {
			require.NoError(t, api.Read(t.Context(), school, func(tx pgx.Tx) error {
				rows, err := tx.Query(t.Context(), "SELECT DISTINCT school FROM "+table)
				require.NoError(t, err)
				seen, err := pgx.CollectRows(rows, pgx.RowTo[string])
				require.NoError(t, err)
				if school == "" {
					require.Empty(t, seen)
				} else {
					require.Equal(t, []string{school}, seen)
				}
				at, err := checkpoint.Position(t.Context(), tx, "test", 0)
				require.Equal(t, domain.Position{Offset: 1}, at)
				return err
			}))
		}
		conn, err := api.Acquire(t.Context())
		require.NoError(t, err)
		var n int
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM "+table).Scan(&n))
		require.Zero(t, n, "the setting of an earlier transaction is gone")
		_, err = conn.Exec(t.Context(), "DELETE FROM "+table)
		require.ErrorContains(t, err, "permission denied")
		conn.Release()
	}
}

func TestAFullPoolIsBusy(t *testing.T) {
	t.Parallel()
	store := openStore(t, storetest.Set(false))
	pool, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: store.url, MaxConns: 1, AcquireTimeout: 20 * time.Millisecond})
	require.NoError(t, err)
	defer pool.Close()
	var conn *pgxpool.Conn
	// on a busy machine it takes longer to connect than this pool waits
	require.Eventually(t, func() bool {
		conn, err = pool.Acquire(t.Context())
		return err == nil
	}, 20*time.Second, time.Millisecond)
	_, err = pool.Acquire(t.Context())
	require.ErrorIs(t, err, postgres.ErrBusy)
	require.True(t, postgres.Retryable(err))
	conn.Release()
	require.NoError(t, pool.Ping(t.Context()))
}

func TestRetryable(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"40001": true, "40P01": true, "57P01": true,
		"53300": true, "23505": false, "42P01": false,
	} {
		err := fmt.Errorf("commit: %w", &pgconn.PgError{Code: code})
		require.Equal(t, want, postgres.Retryable(err), code)
	}
	unreachable, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: "postgres://nobody@127.0.0.1:1/none", ConnectTimeout: time.Second})
	require.NoError(t, err)
	defer unreachable.Close()
	require.True(t, postgres.Retryable(unreachable.Ping(t.Context())))
	require.False(t, postgres.Retryable(errors.New("something else")))
	require.False(t, postgres.Retryable(context.Canceled))
}
