package devtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// Postgres returns the address of a migrated database that belongs to this test alone, and is
// dropped after it.
func Postgres(t testing.TB) string {
	t.Helper()
	return clone(t, templateDatabase)
}

// EmptyPostgres returns the address of a database without any table.
func EmptyPostgres(t testing.TB) string {
	t.Helper()
	return clone(t, "template1")
}

// Copy returns the address of a copy of a database as it is now, like one that was restored from a
// dump of this moment. Connections to the database are closed for it; pools open new ones.
func Copy(t testing.TB, of string) string {
	t.Helper()
	u, err := url.Parse(of)
	require.NoError(t, err)
	name := strings.TrimPrefix(u.Path, "/")
	require.NoError(t, shared.exec(context.Background(), `SELECT pg_terminate_backend(pid)
		FROM pg_stat_activity WHERE datname = '`+name+`'`))
	return clone(t, name)
}

func clone(t testing.TB, template string) string {
	t.Helper()
	require.NoError(t, shared.start())
	name := fmt.Sprintf("test_%d", shared.databases.Add(1))
	require.NoError(t,
		shared.exec(context.Background(), "CREATE DATABASE "+name+" TEMPLATE "+template))
	t.Cleanup(func() {
		if err := shared.exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("drop database: %v", err)
		}
	})
	return shared.address(name)
}

const templateDatabase = "schoolbell_template"

// server is the PostgreSQL of this test binary.
type server struct {
	once      sync.Once
	err       error
	postgres  *devstack.Postgres
	dir       string
	databases atomic.Int64

	mu    sync.Mutex // cloning takes the template for itself
	admin *pgx.Conn
}

var shared server

func (s *server) start() error {
	s.once.Do(func() { s.err = s.launch(context.Background()) })
	return s.err
}

func (s *server) launch(ctx context.Context) (err error) {
	s.dir = filepath.Join(os.TempDir(), dirPrefix+strconv.Itoa(os.Getpid()))
	removeLeftovers()
	if s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresConfig{Dir: s.dir, Database: templateDatabase, Unsafe: true}); err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, s.postgres.URL()); err != nil {
		return err
	}
	if s.admin, err = pgx.Connect(ctx, s.address("postgres")); err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	return nil
}

func (s *server) exec(ctx context.Context, sql string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.admin.Exec(ctx, sql)
	return err
}

func (s *server) address(database string) string {
	u, err := url.Parse(s.postgres.URL())
	if err != nil {
		panic(err) // it is made by url.URL
	}
	u.Path = "/" + database
	return u.String()
}

func (s *server) stop() error {
	if s.postgres == nil {
		return nil
	}
	if s.admin != nil {
		_ = s.admin.Close(context.Background()) // the server stops in any case
	}
	if err := s.postgres.Stop(); err != nil {
		return err
	}
	return os.RemoveAll(s.dir)
}

const dirPrefix = "schoolbell-test-"

// removeLeftovers removes the files of test binaries that did not end through Main.
func removeLeftovers() {
	dirs, _ := filepath.Glob(
		filepath.Join(os.TempDir(), dirPrefix+"*"),
	) // the only error is a malformed pattern
	for _, dir := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), dirPrefix))
		if err == nil && syscall.Kill(pid, 0) == syscall.ESRCH {
			_ = os.RemoveAll(dir) // one of another user may not be removable
		}
	}
}

// PgBouncer starts a pooler in front of a database for one test and returns the address of the
// database through it. The test must have called [Real].
func PgBouncer(t testing.TB, url, mode string) string {
	t.Helper()
	Program(t, "pgbouncer")
	b, err := devstack.StartPgBouncer(t.Context(), devstack.PgBouncerConfig{
		Dir: t.TempDir(), URL: url, Mode: mode,
	})
	require.NoError(t, err)
	t.Cleanup(b.Stop)
	return b.URL()
}
