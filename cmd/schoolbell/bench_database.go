package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
)

// benchDatabases makes databases for one round of a benchmark each.
type benchDatabases struct {
	url string // of a database on the same server
	set *projections.Set
}

// fresh returns a store on an empty database, and how to remove it.
func (b *benchDatabases) fresh(ctx context.Context) (projections.Store, func() error, error) {
	store, _, discard, err := b.open(ctx)
	return store, discard, err
}

// live returns a store on an empty database, how to rebuild in it, and how to remove it.
func (b *benchDatabases) live(ctx context.Context, cfg projections.Config) (projections.Store, bench.RebuildFunc, func() error, error) {
	store, url, discard, err := b.open(ctx)
	return store, func(ctx context.Context, names ...string) (took, pause time.Duration, err error) {
		shadow := postgres.Shadow{URL: url, Engine: cfg, Projections: names}
		done, err := shadow.Rebuild(ctx)
		if err != nil {
			return 0, 0, err
		}
		return done.Took, done.Pause, nil
	}, discard, err
}

func (b *benchDatabases) open(ctx context.Context) (store projections.Store, address string, discard func() error, err error) {
	name := fmt.Sprintf("schoolbell_bench_%d", time.Now().UnixNano())
	if err := b.exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, "", nil, fmt.Errorf("create a database for the benchmark: %w", err)
	}
	drop := func() error {
		if err := b.exec(context.WithoutCancel(ctx), "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop the benchmark's database: %w", err)
		}
		return nil
	}
	at, err := url.Parse(b.url)
	if err != nil {
		return nil, "", nil, fmt.Errorf("parse database URL: %w", err)
	}
	at.Path = "/" + name
	if err := postgres.Migrate(ctx, at.String()); err != nil {
		return nil, "", nil, errors.Join(err, drop())
	}
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: at.String(), Role: postgres.Projector, MaxConns: 16, StatementTimeout: time.Minute})
	if err != nil {
		return nil, "", nil, errors.Join(err, drop())
	}
	return postgres.NewProjectionStore(pool, b.set, program.SetName), at.String(), func() error {
		pool.Close()
		return drop()
	}, nil
}

func (b *benchDatabases) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, b.url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}
