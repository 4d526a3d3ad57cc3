package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"

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
	name := fmt.Sprintf("schoolbell_bench_%d", time.Now().UnixNano())
	if err := b.exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, nil, fmt.Errorf("create a database for the benchmark: %w", err)
	}
	discard := func() error {
		if err := b.exec(context.WithoutCancel(ctx), "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			return fmt.Errorf("drop the benchmark's database: %w", err)
		}
		return nil
	}
	at, err := url.Parse(b.url)
	if err != nil {
		return nil, nil, fmt.Errorf("parse database URL: %w", err)
	}
	at.Path = "/" + name
	if err := postgres.Migrate(ctx, at.String()); err != nil {
		return nil, nil, errors.Join(err, discard())
	}
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: at.String(), Role: postgres.Projector, MaxConns: 16, StatementTimeout: time.Minute})
	if err != nil {
		return nil, nil, errors.Join(err, discard())
	}
	return postgres.NewProjectionStore(pool, b.set, setName), func() error {
		pool.Close()
		return discard()
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
