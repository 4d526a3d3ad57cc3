package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// Managed services make a database read-only when its disk is full, and move its primary. The
// connections of that time stay read-only for as long as they live, so the first write that fails
// must end all of them.
func TestAPoolHealsFromConnectionsThatAreReadOnly(t *testing.T) {
	t.Parallel()
	store := openStore(t, storetest.Set(false))
	pool, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: store.url, Role: postgres.Projector, MaxConns: 4})
	require.NoError(t, err)
	defer pool.Close()
	write := func() error {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		_, err = conn.Exec(t.Context(), `UPDATE test_pupils SET school = school`)
		return err
	}
	require.NoError(t, write())

	database, err := pgx.ParseConfig(store.url)
	require.NoError(t, err)
	exec(t, store.url, fmt.Sprintf("ALTER DATABASE %s SET default_transaction_read_only = on",
		database.Database))
	pool.Conns().Reset() // the server closes them when it fails over
	var held []*pgxpool.Conn
	for range 4 {
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		held = append(held, conn)
	}
	for _, conn := range held {
		conn.Release()
	}
	var refused *pgconn.PgError
	require.ErrorAs(t, write(), &refused)
	require.Equal(t, "25006", refused.Code)
	require.True(t, postgres.Retryable(refused))
	for range 4 { // while it lasts, each attempt is with a new connection
		require.Error(t, write())
	}
	require.NoError(t, pool.Ping(t.Context()), "reading works, and leaves no connection behind")

	exec(t, store.url+"&default_transaction_read_only=off",
		fmt.Sprintf("ALTER DATABASE %s RESET default_transaction_read_only", database.Database))
	for range 4 {
		require.NoError(t, write(), "no connection of that time is left")
	}
}

func TestAChangedPasswordIsReadFromItsFile(t *testing.T) {
	t.Parallel()
	at := devtest.EmptyPostgres(t)
	u, err := url.Parse(at)
	require.NoError(t, err)
	role := "renewed_" + filepath.Base(u.Path)
	exec(t, at, fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD 'first'", role))
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), at)
		require.NoError(t, err)
		defer conn.Close(context.Background())
		_, err = conn.Exec(context.Background(), "DROP ROLE "+role)
		require.NoError(t, err)
	})
	passfile := filepath.Join(t.TempDir(), "pgpass")
	save := func(password string) {
		require.NoError(t, os.WriteFile(passfile, []byte("*:*:*:*:"+password+"\n"), 0o600))
	}
	save("first")
	u.User = url.User(role)
	query := u.Query()
	query.Set("passfile", passfile)
	u.RawQuery = query.Encode()
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: u.String()})
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, pool.Ping(t.Context()))

	exec(t, at, fmt.Sprintf("ALTER ROLE %s PASSWORD 'second'", role))
	pool.Conns().Reset() // connections end at the latest after 40 minutes
	require.Error(t, pool.Ping(t.Context()), "the server must ask for the password")
	save("second")
	require.NoError(t, pool.Ping(t.Context()))
}

func TestPgBouncerInSessionModeServesEveryRole(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "pgbouncer")
	direct := devtest.EmptyPostgres(t)
	pooled := devtest.PgBouncer(t, direct, "session")
	require.NoError(t, postgres.Migrate(t.Context(), pooled))
	require.NoError(t, postgres.Migrate(t.Context(), pooled), "which changes nothing")
	for _, role := range []postgres.Role{postgres.Projector, postgres.API, postgres.Jobs} {
		// One after the other, so that a session of the server is used again by another role.
		pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: pooled, Role: role})
		require.NoError(t, err)
		var acting, path string
		require.NoError(t, pool.Conns().QueryRow(t.Context(),
			`SELECT current_user, current_setting('search_path')`).Scan(&acting, &path))
		require.Equal(t, string(role), acting)
		require.Equal(t, `"schoolbell", public`, path)
		pool.Close()
	}
	storetest.Run(t, func(t *testing.T, set *projections.Set) storetest.Store {
		pooled := devtest.PgBouncer(t, devtest.EmptyPostgres(t), "session")
		require.NoError(t, postgres.Migrate(t.Context(), pooled))
		return openStoreAt(t, set, pooled)
	})
}

func TestPgBouncerThatSharesSessionsIsRefused(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "pgbouncer")
	for _, mode := range []string{"transaction", "statement"} {
		direct := devtest.EmptyPostgres(t)
		err := postgres.Migrate(t.Context(), devtest.PgBouncer(t, direct, mode))
		require.ErrorIs(t, err, postgres.ErrPooledTransactions, mode)
		require.ErrorContains(t, err, "pool_mode = session", "it says what to do")
	}
}
