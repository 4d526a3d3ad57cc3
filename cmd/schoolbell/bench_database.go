package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
)

// benchDatabases creates a database for each round of a benchmark.
type benchDatabases struct {
	url string // of a database on the same server
	set *projections.Set
}

// fresh returns a store on an empty database, and a function that drops it.
func (b *benchDatabases) fresh(ctx context.Context) (projections.Store, func() error, error) {
	store, _, discard, err := b.open(ctx)
	return store, discard, err
}

// live returns a store on an empty database, and functions that rebuild in it and drop it.
func (b *benchDatabases) live(
	ctx context.Context, cfg projections.Config,
) (projections.Store, bench.RebuildFunc, func() error, error) {
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

func (b *benchDatabases) open(
	ctx context.Context,
) (store projections.Store, address string, discard func() error, err error) {
	address, drop, err := b.create(ctx)
	if err != nil {
		return nil, "", nil, err
	}
	pool, err := postgres.NewPool(ctx, config.Database{}.Projector(address))
	if err != nil {
		return nil, "", nil, errors.Join(err, drop())
	}
	return postgres.NewProjectionStore(pool, b.set, program.SetName), address, func() error {
		pool.Close()
		return drop()
	}, nil
}

// create returns the address of a new database with the schema, and a function that drops it.
func (b *benchDatabases) create(ctx context.Context) (address string, drop func() error, err error) {
	name := fmt.Sprintf("schoolbell_bench_%d", time.Now().UnixNano())
	if err := b.exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, fmt.Errorf("create database for the benchmark: %w", err)
	}
	drop = func() error {
		err := b.exec(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
		if err != nil {
			return fmt.Errorf("drop database of the benchmark: %w", err)
		}
		return nil
	}
	at, err := url.Parse(b.url)
	if err != nil {
		return "", nil, fmt.Errorf("parse database URL: %w", errors.Join(err, drop()))
	}
	at.Path = "/" + name
	if err := postgres.Migrate(ctx, at.String()); err != nil {
		return "", nil, errors.Join(err, drop())
	}
	return at.String(), drop, nil
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
