package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type benchJobsCommand struct {
	Kafka    config.Kafka    `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are named)"`
	Database config.Database `embed:"" prefix:"database-" envprefix:"SCHOOLBELL_DATABASE_" group:"PostgreSQL (embedded unless a URL is given)"`

	Deliveries int           `default:"50000" placeholder:"N" help:"Deliveries to plan and to do in a round."`
	Rounds     int           `default:"3" placeholder:"N" help:"Rounds; their median is reported."`
	Schools    int           `default:"20" placeholder:"N" help:"Schools that they belong to."`
	Rate       int           `default:"200" placeholder:"N" help:"Deliveries a second while the pick-up is measured."`
	Pickup     time.Duration `default:"5s" placeholder:"TIME" help:"How long the pick-up is measured in a round."`
	Peers      string        `placeholder:"DIR" help:"Folder with the built bench/peers, whose bullmq is measured beside ours, on a Redis of its own."`
	Fsync      string        `default:"everysec" enum:"always,everysec,no" help:"When that Redis has what it appends to its file on disk: ${enum}."`
	JSON       bool          `name:"json" help:"Print JSON."`
}

func (*benchJobsCommand) Help() string {
	return `Uses a topic and a database of its own, and removes them.

Example:

  schoolbell bench jobs --deliveries 200000

What is planned and what is done is on disk here. BullMQ stands on a Redis that keeps an append-only file, which reaches
the disk once a second by default, and with --fsync=always before each answer.`
}

func (c *benchJobsCommand) Run(ctx context.Context, io streams) (err error) {
	if c.Deliveries < 1 || c.Rounds < 1 || c.Schools < 1 || c.Rate < 1 || c.Pickup <= 0 {
		return usageError{errors.New("--deliveries, --rounds, --schools, --rate and --pickup must be more than nothing")}
	}
	dir, err := os.MkdirTemp("", "schoolbell-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	silent := slog.New(slog.DiscardHandler)
	s, err := program.StartServers(ctx, &config.Config{Data: dir, Kafka: c.Kafka, Database: c.Database, Redis: config.Redis{URL: "redis://none"}}, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	log, err := openBenchLog(ctx, c.Kafka, s.Brokers, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.DeleteTopic(context.WithoutCancel(ctx)), log.Close()) }()
	address, discard, err := freshDatabase(ctx, s.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, discard()) }()
	pool, err := postgres.NewPool(ctx, c.Database.Jobs(address))
	if err != nil {
		return err
	}
	defer pool.Close()
	peer, stop, err := c.startPeer(ctx, dir)
	if err != nil {
		return err
	}
	defer stop()
	return report(ctx, io, c.JSON, &bench.Jobs{
		Pool: pool.Conns(), Log: log, Encode: cloudevents.Encode, Peer: peer, Deliveries: c.Deliveries, Rounds: c.Rounds, Schools: c.Schools,
		Rate: c.Rate, Pickup: c.Pickup, Progress: printStages(io),
	})
}

// startPeer starts the Redis that BullMQ is measured on, if it is.
func (c *benchJobsCommand) startPeer(ctx context.Context, dir string) (peer *bench.JobsPeer, stop func(), err error) {
	if c.Peers == "" {
		return nil, func() {}, nil
	}
	server, err := devstack.StartRedisServer(ctx, devstack.RedisServerConfig{Dir: dir, Sync: c.Fsync})
	if err != nil {
		return nil, nil, err
	}
	return &bench.JobsPeer{
		Name: "BullMQ", Setup: "BullMQ on Redis with appendfsync " + c.Fsync, Port: server.Port(),
		Command: []string{"node", filepath.Join(c.Peers, "bullmq", "bench.js")},
	}, server.Stop, nil
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
