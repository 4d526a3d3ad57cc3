package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Role is the database role that a pool's connections take on. Migration 0001 creates them.
type Role string

// The roles.
const (
	// Owner is the role that the URL names. Row-level security binds it as well, so it sees no rows
	// of schools.
	Owner Role = ""
	// Projector may write all read models.
	Projector Role = "schoolbell_projector"
	// API may read the rows of the school that its transaction names.
	API Role = "schoolbell_api"
	// Jobs may write the ledger of deliveries and River's tables, and read what planners need.
	Jobs Role = "schoolbell_jobs"
)

// Config says how to connect to a database. A zero value means the default in parentheses.
type Config struct {
	URL            string        // postgres://user:password@host:port/database?sslmode=…
	Role           Role          // (the one in the URL)
	Schema         string        // first on the search path (schoolbell)
	MaxConns       int32         // limit of connections (8)
	ConnectTimeout time.Duration // for opening a connection (5 s)
	// for getting a connection from the pool (2 s; 30 s for the projector, which has no client to
	// refuse)
	AcquireTimeout   time.Duration
	StatementTimeout time.Duration // the server ends a statement that takes longer (30 s)
}

// Validate reports all faults at once.
func (c Config) Validate() error {
	var faults []error
	if c.URL == "" {
		faults = append(faults, errors.New("database URL is required"))
	} else if _, err := pgxpool.ParseConfig(c.URL); err != nil {
		faults = append(faults, errors.New("database URL is malformed: want "+
			"postgres://user:password@host:port/database"))
	}
	switch c.Role {
	case Owner, Projector, API, Jobs:
	default:
		faults = append(faults, fmt.Errorf("unknown database role %q", c.Role))
	}
	if c.MaxConns < 0 {
		faults = append(faults, fmt.Errorf("database connections: %d is negative", c.MaxConns))
	}
	for _, t := range []struct {
		name  string
		value time.Duration
	}{
		{"connect", c.ConnectTimeout},
		{"acquire", c.AcquireTimeout},
		{"statement", c.StatementTimeout},
	} {
		if t.value < 0 {
			faults = append(faults,
				fmt.Errorf("database %s timeout: %s is negative", t.name, t.value))
		}
	}
	return errors.Join(faults...)
}

// ErrBusy is returned when no connection became free in time. It is for a 503, not for waiting
// longer.
var ErrBusy = fmt.Errorf("all database connections are in use: %w", context.DeadlineExceeded)

// Pool holds connections to one database in one role.
type Pool struct {
	pool    *pgxpool.Pool
	acquire time.Duration
}

// NewPool prepares a pool; connections are opened when needed.
func NewPool(ctx context.Context, cfg Config) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	acquire := 2 * time.Second
	if cfg.Role == Projector {
		acquire = 30 * time.Second
	}
	c.MaxConns = cmp.Or(cfg.MaxConns, 8)
	c.MaxConnLifetime = 30 * time.Minute
	c.MaxConnLifetimeJitter = 10 * time.Minute // else all connections end together
	c.MaxConnIdleTime = 5 * time.Minute
	c.PingTimeout = 2 * time.Second
	c.ConnConfig.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, connectTimeout)
	c.ConnConfig.RuntimeParams["application_name"] = "schoolbell"
	c.BeforeConnect = renewPassword(cfg.URL)
	params := settings{
		"search_path":                         searchPath(cmp.Or(cfg.Schema, liveSchema)),
		"timezone":                            "UTC",
		"statement_timeout":                   milliseconds(cmp.Or(cfg.StatementTimeout, 30*time.Second)),
		"idle_in_transaction_session_timeout": "60000",
	}
	if cfg.Role != Owner {
		params["role"] = string(cfg.Role)
	}
	if cfg.Role == Projector {
		// When the server crashes, rows and position are lost together or not at all, and the log
		// still has the events, so a commit need not wait for the disk.
		params["synchronous_commit"] = "off"
		// The projector only looks rows up by their keys, thousands at a time, in tables that may
		// have been empty when the statement was planned: it must get index scans whatever the
		// statistics say.
		params["enable_seqscan"] = "off"
		params["enable_hashjoin"] = "off"
		params["enable_mergejoin"] = "off"
		params["plan_cache_mode"] = "force_generic_plan"
	}
	c.AfterConnect = params.apply
	var pool *pgxpool.Pool
	// What one connection met awaits the others, which are as old.
	new(readOnly).watch(c, func() { pool.Reset() })
	pool, err = pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	return &Pool{pool: pool, acquire: cmp.Or(cfg.AcquireTimeout, acquire)}, nil
}

// connectTimeout is how long opening a connection may take.
const connectTimeout = 5 * time.Second

// liveSchema holds everything but what is being rebuilt.
const liveSchema = "schoolbell"

// searchPath leaves out the live schema when another one is given: a table that is missing there
// must not be found here.
func searchPath(schema string) string { return pgx.Identifier{schema}.Sanitize() + ", public" }

// Close waits for the connections in use and closes all.
func (p *Pool) Close() { p.pool.Close() }

// Conns returns the pool of pgx, for libraries that want it.
func (p *Pool) Conns() *pgxpool.Pool { return p.pool }

// Stat counts connections, for metrics.
func (p *Pool) Stat() *pgxpool.Stat { return p.pool.Stat() }

// Acquire takes a connection out of the pool, to be returned with Release. It fails with [ErrBusy]
// when none is free in time.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, p.acquire)
	defer cancel()
	conn, err := p.pool.Acquire(limited)
	if err == nil {
		return conn, nil
	}
	if limited.Err() != nil && ctx.Err() == nil &&
		p.pool.Stat().TotalConns() >= p.pool.Config().MaxConns {
		return nil, ErrBusy
	}
	return nil, fmt.Errorf("connect to database: %w", err)
}

// Ping fails when the database is unreachable.
func (p *Pool) Ping(ctx context.Context) error {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return conn.Ping(ctx)
}

// beginReading begins a transaction on a snapshot. See
// [checkpoint.LockForReading] for the lock that comes before the snapshot.
const beginReading = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ` + checkpoint.LockForReading

// Read runs queries about one school on one snapshot: what fn sees is at one position of the log,
// which [checkpoint.Position] returns, and belongs to this school.
func (p *Pool) Read(ctx context.Context, school string, fn func(tx pgx.Tx) error) error {
	return p.inTx(ctx, pgx.TxOptions{BeginQuery: beginReading}, func(tx pgx.Tx) error {
		// The setting ends with the transaction, so the next one on this connection names its own.
		_, err := tx.Exec(ctx, `SELECT set_config('schoolbell.school', $1, true)`, school)
		if err != nil {
			return fmt.Errorf("name the school of the transaction: %w", err)
		}
		return fn(tx)
	})
}

// AsUser runs statements about what belongs to one user of a school, and commits them: fn sees and
// changes no other user's rows.
func (p *Pool) AsUser(ctx context.Context, school, user string, fn func(tx pgx.Tx) error) error {
	return p.inTx(ctx, pgx.TxOptions{}, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT set_config('schoolbell.school', $1, true),
			set_config('schoolbell.user', $2, true)`, school, user)
		if err != nil {
			return fmt.Errorf("name the user of the transaction: %w", err)
		}
		return fn(tx)
	})
}

// inTx runs fn in a transaction on a connection of the pool, and commits it unless fn fails.
func (p *Pool) inTx(ctx context.Context, options pgx.TxOptions, fn func(pgx.Tx) error) error {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginTxFunc(ctx, conn, options, fn)
}

func milliseconds(d time.Duration) string { return fmt.Sprint(d.Milliseconds()) }
