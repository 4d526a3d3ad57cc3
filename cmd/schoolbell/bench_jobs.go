package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/internal/cloudevents"
	"github.com/schoolbell/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type benchJobsCommand struct {
	Kafka    config.Kafka    `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are named)"`
	Database config.Database `embed:"" prefix:"database-" envprefix:"SCHOOLBELL_DATABASE_" group:"PostgreSQL (embedded unless a URL is given)"`

	Deliveries int           `default:"100000" placeholder:"N" help:"Deliveries to plan and to do."`
	Schools    int           `default:"20" placeholder:"N" help:"Schools that they belong to."`
	Rate       int           `default:"200" placeholder:"N" help:"Deliveries a second while the pick-up is measured."`
	Pickup     time.Duration `default:"10s" placeholder:"TIME" help:"How long the pick-up is measured."`
	JSON       bool          `name:"json" help:"Print JSON."`
}

func (*benchJobsCommand) Help() string {
	return `Uses a topic and a database of its own, and removes them.

Example:

  schoolbell bench jobs --deliveries 200000`
}

func (c *benchJobsCommand) Run(ctx context.Context, io streams) (err error) {
	if c.Deliveries < 1 || c.Schools < 1 || c.Rate < 1 || c.Pickup <= 0 {
		return usageError{errors.New("--deliveries, --schools, --rate and --pickup must be more than nothing")}
	}
	dir, err := os.MkdirTemp("", "schoolbell-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	silent := slog.New(slog.DiscardHandler)
	s, err := startServers(ctx, &config.Config{Data: dir, Kafka: c.Kafka, Database: c.Database, Redis: config.Redis{URL: "redis://none"}}, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	log, err := openBenchLog(ctx, c.Kafka, s.brokers, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.DeleteTopic(context.WithoutCancel(ctx)), log.Close()) }()
	address, discard, err := freshDatabase(ctx, s.databaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, discard()) }()
	pool, err := postgres.NewPool(ctx, c.Database.Jobs(address))
	if err != nil {
		return err
	}
	defer pool.Close()
	return report(ctx, io, c.JSON, &bench.Jobs{
		Pool: pool.Conns(), Log: log, Encode: cloudevents.Encode, Deliveries: c.Deliveries, Schools: c.Schools, Rate: c.Rate, Pickup: c.Pickup,
		Progress: stages(io),
	})
}

// freshDatabase makes a migrated database beside the one of a URL.
func freshDatabase(ctx context.Context, address string) (fresh string, discard func() error, err error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", nil, fmt.Errorf("parse database URL: %w", err)
	}
	name := fmt.Sprintf("schoolbell_bench_jobs_%d", os.Getpid())
	exec := func(ctx context.Context, sql string) error {
		conn, err := pgx.Connect(ctx, address)
		if err != nil {
			return fmt.Errorf("connect to database: %w", err)
		}
		defer conn.Close(context.WithoutCancel(ctx))
		_, err = conn.Exec(ctx, sql)
		return err
	}
	if err := exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, fmt.Errorf("make database: %w", err)
	}
	discard = func() error {
		return exec(context.WithoutCancel(ctx), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
	}
	u.Path = "/" + name
	if err := postgres.Migrate(ctx, u.String()); err != nil {
		return "", nil, errors.Join(err, discard())
	}
	return u.String(), discard, nil
}
