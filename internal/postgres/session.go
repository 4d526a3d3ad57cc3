package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// settings are a connection's, by name. They are set by a statement after connecting and not with
// the connection's first message, of which PgBouncer refuses all but a few.
type settings map[string]string

// apply sets them for as long as the connection lasts.
func (s settings) apply(ctx context.Context, conn *pgx.Conn) error {
	calls := make([]string, 0, len(s))
	for _, name := range slices.Sorted(maps.Keys(s)) {
		calls = append(calls, fmt.Sprintf("set_config('%s', '%s', false)", name,
			strings.ReplaceAll(s[name], "'", "''")))
	}
	// in one round trip, without preparing it
	_, err := conn.PgConn().Exec(ctx, "SELECT "+strings.Join(calls, ", ")).ReadAll()
	if err != nil {
		return fmt.Errorf("set up database connection: %w", err)
	}
	return nil
}

// readOnlyCode is the SQLSTATE of writing where nothing can be written at the moment: on a server
// that has become a standby, or whose operator or provider has closed it for writing.
const readOnlyCode = "25006"

// readOnly remembers when a server was last met that was read-only. It may have healed since, and
// another one may have taken its place; an open connection does not notice either.
type readOnly struct{ at atomic.Int64 } // in nanoseconds since 1970

// suspectFor is how long no connection is used again. It is longer than the pause between two
// attempts to write, so that none is left over from before the server healed.
const suspectFor = 10 * time.Second

// watch has the connections of a pool closed, when one of them meets such a server, by reset.
func (r *readOnly) watch(c *pgxpool.Config, reset func()) {
	next := c.ConnConfig.OnPgError
	c.ConnConfig.OnPgError = func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		if e.Code == readOnlyCode {
			r.at.Store(time.Now().UnixNano())
			reset()
			return false
		}
		return next(conn, e)
	}
	c.AfterRelease = func(*pgx.Conn) bool {
		return time.Since(time.Unix(0, r.at.Load())) > suspectFor
	}
}

// renewPassword reads the password again before each connection, so that one that has changed in a
// passfile is used without a restart.
func renewPassword(url string) func(context.Context, *pgx.ConnConfig) error {
	return func(_ context.Context, c *pgx.ConnConfig) error {
		fresh, err := pgx.ParseConfig(url)
		if err != nil {
			return fmt.Errorf("parse database URL: %w", err)
		}
		c.Password = fresh.Password
		return nil
	}
}

// ErrPooledTransactions is the error of a database behind a pooler that gives a connection another
// session of the server for each transaction. Roles, prepared statements and locks, which are what
// keeps schools apart and rebuilds alone, belong to a session.
var ErrPooledTransactions = errors.New("the database is behind a pooler that shares sessions " +
	"between transactions (PgBouncer with pool_mode = transaction or statement): set pool_mode = " +
	"session for this database, or connect to PostgreSQL directly")

// CheckSessions fails with [ErrPooledTransactions] when connections to the database do not have
// sessions of their own.
func CheckSessions(ctx context.Context, url string) error {
	one, err := connect(ctx, url, "schoolbell")
	if err != nil {
		return err
	}
	defer one.Close(context.WithoutCancel(ctx))
	pid, err := sessionOf(ctx, one)
	if err != nil || pid == one.PgConn().PID() {
		return err // without a pooler, the server's process is the one that took the connection
	}
	other, err := connect(ctx, url, "schoolbell")
	if err != nil {
		return err
	}
	defer other.Close(context.WithoutCancel(ctx))
	if _, err := other.PgConn().Exec(ctx, "BEGIN").ReadAll(); err != nil {
		return fmt.Errorf("%w: %w", ErrPooledTransactions, err) // the mode "statement" refuses it
	}
	// The pooler gives the transaction the session that became free last, if it was free.
	theirs, err := sessionOf(ctx, other)
	if err != nil {
		return err
	}
	ours, err := sessionOf(ctx, one)
	if err != nil {
		return err
	}
	if theirs == pid || ours != pid {
		return ErrPooledTransactions
	}
	return nil
}

func connect(ctx context.Context, url, name string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	c.ConnectTimeout = connectTimeout
	c.RuntimeParams["application_name"] = name
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("connect to database: %w", err)
	}
	return conn, nil
}

// sessionOf returns the process of the server that runs the connection's statements.
func sessionOf(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	if err != nil {
		return 0, fmt.Errorf("read the session of a database connection: %w", err)
	}
	return pid, nil
}
