package devstack

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

func TestPostgresKeepsItsDataOverAStop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startPostgres(t, dir)
	execSQL(t, first, `CREATE TABLE stored AS SELECT 42 AS n`)
	require.NoError(t, first.Stop())
	require.NoError(t, first.Stop(), "stopping twice is harmless")

	second := startPostgres(t, dir)
	requireStored(t, second)
}

func TestPostgresKeepsItsDataOverAKillOfItsParent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child, lines := startChild(t, "postgres", dir)
	require.True(t, lines.Scan(), "the child reports when its data is committed")
	require.NoError(t, child.Process.Kill())
	_ = child.Wait()

	requireStored(t, startPostgres(t, dir))
}

func TestPostgresIsEndedWhenItsTimeIsUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// a durable one
	first, err := StartPostgres(t.Context(), PostgresConfig{Dir: dir})
	require.NoError(t, err)
	execSQL(t, first, `CREATE TABLE stored AS SELECT 42 AS n`)
	require.ErrorContains(t, first.StopWithin(0), "ended at once")
	requireStored(t, startPostgres(t, dir))
}

func postgresChild(dir string) error {
	p, err := StartPostgres(context.Background(), PostgresConfig{Dir: dir})
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(context.Background(), p.URL())
	if err != nil {
		return err
	}
	if _, err := conn.Exec(context.Background(), `CREATE TABLE stored AS SELECT 42 AS n`); err != nil {
		return err
	}
	fmt.Println("committed")
	select {}
}

func TestPostgresEndsAnOrphanOnItsData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	orphan := startPostgres(t, dir)
	execSQL(t, orphan, `CREATE TABLE stored AS SELECT 42 AS n`)

	requireStored(t, startPostgres(t, dir))
	select {
	case <-orphan.Done():
	default:
		t.Error("the orphan runs on")
	}
}

func TestPostgresIgnoresALockWhoseProcessIsAnothers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, startPostgres(t, dir).Stop())
	lock := filepath.Join(dir, "data", "postmaster.pid")
	for _, content := range []string{strconv.Itoa(os.Getpid()) + "\n", "", "torn"} {
		require.NoError(t, os.WriteFile(lock, []byte(content), 0o600))
		require.NoError(t, startPostgres(t, dir).Stop(), "lock %q", content)
	}
}

func TestPostgresFinishesAnInterruptedInitialisation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	require.NoError(t, os.Mkdir(data, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("15\n"), 0o600))

	execSQL(t, startPostgres(t, dir), `SELECT 1`)
}

func TestPostgresTellsWhyItDidNotStart(t *testing.T) {
	t.Parallel()
	_, err := StartPostgres(t.Context(), PostgresConfig{
		Dir: t.TempDir(), Unsafe: true, Settings: map[string]string{"shared_buffers": "many"},
	})
	require.ErrorContains(t, err, `invalid value for parameter "shared_buffers": "many"`)
}

func startPostgres(t *testing.T, dir string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), PostgresConfig{Dir: dir, Unsafe: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop() }) // some are ended by the test itself
	return p
}

func execSQL(t *testing.T, p *Postgres, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func requireStored(t *testing.T, p *Postgres) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL())
	require.NoError(t, err)
	defer conn.Close(t.Context())
	var n int
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT n FROM stored`).Scan(&n))
	require.Equal(t, 42, n)
}
