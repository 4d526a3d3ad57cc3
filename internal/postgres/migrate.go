package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/schoolbell/schoolbell/migrations"
	"github.com/schoolbell/schoolbell/projections"
)

// Migrate brings the schema up to date. Any number of processes may call it at the same time: one
// does the work, the others wait. The user of the URL becomes the owner of everything; it must be
// allowed to create a schema in the database, and roles if they do not exist yet. It fails with
// [ErrLegacySchema] or [ErrNewerSchema] when the schema is not one that this program can bring up
// to date, and then changes nothing.
func Migrate(ctx context.Context, url string) error {
	if err := CheckSessions(ctx, url); err != nil {
		return err
	}
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("parse database URL: %w", err)
	}
	cfg.ConnectTimeout = connectTimeout
	cfg.RuntimeParams["application_name"] = "schoolbell migrate"
	db := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(settings{
		"search_path":         searchPath(liveSchema),
		"client_min_messages": "warning",
	}.apply))
	defer db.Close()

	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer conn.Close() // which releases the lock
	if err := lockMigrations(ctx, conn); err != nil {
		return err
	}
	if _, err := conn.ExecContext(ctx, `CREATE SCHEMA IF NOT EXISTS schoolbell`); err != nil {
		return fmt.Errorf("create schema: %w", err)
	}
	if err := refuseLegacy(ctx, conn); err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithTableName(liveSchema+".schema_versions"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > target {
		return fmt.Errorf("%w: its schema has version %d, this program's is %d", ErrNewerSchema,
			current, target)
	}
	// A dump has no roles: where they do not exist, the next migration could not name them.
	if current > 0 {
		if err := withConn(ctx, url, makeRoles); err != nil {
			return err
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate database: %w", err)
	}
	if err := migrateRiver(ctx, url); err != nil {
		return err
	}
	return withConn(ctx, url, repairAccess)
}

// withConn calls do with a connection of its own, as the URL's user.
func withConn(ctx context.Context, url string, do func(context.Context, *pgx.Conn) error) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("parse database URL: %w", err)
	}
	cfg.ConnectTimeout = connectTimeout
	cfg.RuntimeParams["application_name"] = "schoolbell migrate"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("connect to database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(ctx, conn)
}

// CheckSchema says what of a database is not as this program needs it, one line each: its version,
// roles, policies and grants, and the columns of some tables. It changes nothing.
func CheckSchema(ctx context.Context, url string, tables []projections.AnyTable) (faults []string, err error) {
	err = withConn(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		var exists bool
		if err := conn.QueryRow(ctx,
			`SELECT to_regclass('schoolbell.schema_versions') IS NOT NULL`).Scan(&exists); err != nil {
			return fmt.Errorf("look for the schema: %w", err)
		}
		if !exists {
			faults = append(faults, "the database has no schema yet")
			return nil
		}
		if faults, err = checkVersion(ctx, conn); err != nil {
			return err
		}
		missing, err := MissingAccess(ctx, conn)
		if err != nil {
			return err
		}
		columns, err := missingColumns(ctx, conn, tables)
		faults = append(append(faults, missing...), columns...)
		return err
	})
	return faults, err
}

func checkVersion(ctx context.Context, conn *pgx.Conn) (faults []string, err error) {
	var has int64
	if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0)
		FROM schoolbell.schema_versions WHERE is_applied`).Scan(&has); err != nil {
		return nil, fmt.Errorf("read schema version: %w", err)
	}
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return nil, err
	}
	wants, err := goose.NumericComponent(names[len(names)-1])
	switch {
	case err != nil:
		return nil, fmt.Errorf("read migrations: %w", err)
	case has < wants:
		faults = append(faults, fmt.Sprintf("the schema has version %d, this program's is %d", has, wants))
	case has > wants:
		faults = append(faults, fmt.Sprintf("the schema has version %d, newer than this program's, %d: "+
			"use a newer program", has, wants))
	}
	return faults, nil
}

func missingColumns(
	ctx context.Context, conn *pgx.Conn, tables []projections.AnyTable,
) ([]string, error) {
	var names, columns []string
	for _, t := range tables {
		for _, c := range t.Schema().Columns {
			names, columns = append(names, t.Schema().Name), append(columns, c.Name)
		}
	}
	rows, _ := conn.Query(ctx, `
		SELECT 'schoolbell.' || u.name || ': column ' || u.col || ' is missing'
		FROM unnest($1::text[], $2::text[]) AS u (name, col)
		WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('schoolbell.' || u.name)
			AND attname = u.col AND NOT attisdropped)`, names, columns)
	missing, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("look for columns: %w", err)
	}
	return missing, nil
}

// ErrNewerSchema is the error of migrating a database that a newer program has migrated.
var ErrNewerSchema = errors.New(
	"this database belongs to a newer version of Schoolbell: start that one")

// ErrLegacySchema is the error of migrating a database from before the first release, whose
// migrations were folded into one file per owner.
var ErrLegacySchema = errors.New("this database was made by a version before v0.1.0; its schema " +
	"cannot be migrated. Keep it, and start this version on an empty database: the read models " +
	"are rebuilt from the log, but deliveries, settings and inboxes are only in the old one")

// refuseLegacy looks for the table in which versions before v0.1.0 counted their migrations.
func refuseLegacy(ctx context.Context, conn *sql.Conn) error {
	var legacy bool
	err := conn.QueryRowContext(ctx,
		`SELECT to_regclass('schoolbell.migrations') IS NOT NULL`).Scan(&legacy)
	if err != nil {
		return fmt.Errorf("look for an older schema: %w", err)
	}
	if legacy {
		return ErrLegacySchema
	}
	return nil
}

// riverSchema is where River stores its jobs.
const riverSchema = "schoolbell_river"

// migrateRiver brings River's own tables up to date.
func migrateRiver(ctx context.Context, url string) error {
	pool, err := NewPool(ctx, Config{URL: url, MaxConns: 2})
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool.pool), &rivermigrate.Config{
		Schema: riverSchema, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return fmt.Errorf("read River's migrations: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate River: %w", err)
	}
	// They find jobs by their content, which nothing here does, or by their kind, which nearly all
	// have in common; and each job updates them three times.
	if _, err := pool.pool.Exec(ctx, `DROP INDEX IF EXISTS schoolbell_river.river_job_args_index,
		schoolbell_river.river_job_metadata_index,
		schoolbell_river.river_job_kind`); err != nil {
		return fmt.Errorf("drop River's unused indexes: %w", err)
	}
	// Each job leaves three dead rows within a moment. Vacuum runs by their number, whatever the
	// size of the table, so that fetching the next job does not scan them.
	if _, err := pool.pool.Exec(ctx, `ALTER TABLE schoolbell_river.river_job SET (
		autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
		autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000)`); err != nil {
		return fmt.Errorf("set how River's table is cleaned: %w", err)
	}
	return nil
}

const (
	migrationLockID       = 0x5363686f6f6c // "School"
	migrationLockInterval = 50 * time.Millisecond
)

// lockMigrations lets one process at a time migrate a database, for as long as the connection
// lasts. It polls instead of waiting inside PostgreSQL, because CREATE INDEX CONCURRENTLY waits for
// every transaction that waits there. (goose has such a lock too, but polls only once a second, and
// after it has created its table.)
func lockMigrations(ctx context.Context, conn *sql.Conn) error {
	for {
		var locked bool
		if err := conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock($1)`,
			migrationLockID).Scan(&locked); err != nil {
			return fmt.Errorf("take migration lock: %w", err)
		}
		if locked {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for migration lock: %w", context.Cause(ctx))
		case <-time.After(migrationLockInterval):
		}
	}
}
