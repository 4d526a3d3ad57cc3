package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type benchJobsCommand struct {
	Kafka    config.Kafka    `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are given)"`
	Database config.Database `embed:"" prefix:"database-" envprefix:"SCHOOLBELL_DATABASE_" group:"PostgreSQL (embedded unless a URL is given)"`

	Deliveries int           `default:"50000" placeholder:"N" help:"Deliveries to plan and execute in a round."`
	Rounds     int           `default:"3" placeholder:"N" help:"Rounds; the median is reported."`
	Schools    int           `default:"20" placeholder:"N" help:"Schools that the deliveries belong to."`
	Rate       int           `default:"200" placeholder:"N" help:"Deliveries per second while pick-up is measured."`
	Pickup     time.Duration `default:"5s" placeholder:"TIME" help:"How long pick-up is measured in a round."`
	Peers      string        `placeholder:"DIR" help:"Folder with the built bench/peers; BullMQ is measured too, on its own Redis."`
	Fsync      string        `default:"everysec" enum:"always,everysec,no" help:"When that Redis syncs its append-only file to disk: ${enum}."`
	JSON       bool          `name:"json" help:"Print JSON."`
}

func (*benchJobsCommand) Help() string {
	return `Creates its own topic and database, and removes them.

Example:

  schoolbell bench jobs --deliveries 200000

Plans and results are on disk here. BullMQ runs on a Redis with an append-only file, which is synced once a
second by default, and before each response with --fsync=always.`
}

func (c *benchJobsCommand) Run(ctx context.Context, io streams) (err error) {
	if c.Deliveries < 1 || c.Rounds < 1 || c.Schools < 1 || c.Rate < 1 || c.Pickup <= 0 {
		return usageError{
			errors.New(
				"--deliveries, --rounds, --schools, --rate and --pickup must be more than zero",
			),
		}
	}
	dir, err := os.MkdirTemp("", "schoolbell-bench-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	silent := slog.New(slog.DiscardHandler)
	s, err := program.StartServers(
		ctx,
		&config.Config{
			Data:     dir,
			Kafka:    c.Kafka,
			Database: c.Database,
			Redis:    config.Redis{URL: "redis://none"},
		},
		silent,
	)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	log, err := openBenchLog(ctx, s.Kafka, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.DeleteTopic(context.WithoutCancel(ctx)), log.Close()) }()
	address, discard, err := (&benchDatabases{url: s.DatabaseURL}).create(ctx)
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
		Pool: pool.Conns(), Log: log, Encode: cloudevents.Encode, Decode: cloudevents.Decode, Peer: peer, Deliveries: c.Deliveries, Rounds: c.Rounds, Schools: c.Schools,
		Rate: c.Rate, Pickup: c.Pickup, Progress: printStages(io),
	})
}

// startPeer starts the Redis that BullMQ is measured on, if it is measured.
func (c *benchJobsCommand) startPeer(
	ctx context.Context, dir string,
) (peer *bench.JobsPeer, stop func(), err error) {
	if c.Peers == "" {
		return nil, func() {}, nil
	}
	server, err := devstack.StartRedisServer(
		ctx, devstack.RedisServerConfig{Dir: dir, Sync: c.Fsync},
	)
	if err != nil {
		return nil, nil, err
	}
	return &bench.JobsPeer{
		Name: "BullMQ", Setup: "BullMQ on Redis with appendfsync " + c.Fsync, Port: server.Port(),
		Command: []string{"node", filepath.Join(c.Peers, "bullmq", "bench.js")},
	}, server.Stop, nil
}
