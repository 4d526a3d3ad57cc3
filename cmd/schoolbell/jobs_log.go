package main

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// jobsLog is the ledger's database, and the log that its deliveries follow from.
type jobsLog struct {
	jobsTarget `embed:""`
	Kafka      config.Kafka `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (that of the serve on the data directory unless brokers are named)"`
}

// with opens both for as long as do takes.
func (c *jobsLog) with(ctx context.Context, do func(*kafka.Log, *postgres.Pool) error) (err error) {
	brokers := c.Kafka.Brokers
	if len(brokers) == 0 {
		at, err := program.ReadAddress(c.Data)
		if err != nil {
			return err
		}
		brokers = at.Brokers
	}
	kafkaConfig, err := c.Kafka.Config(brokers)
	if err != nil {
		return usageError{err}
	}
	kafkaConfig.Partitions = 0 // the topic is there
	log, err := kafka.Open(ctx, kafkaConfig, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(log, pool)
}

// withEngine plans events as serve does, for as long as do takes.
func withEngine(ctx context.Context, pool *postgres.Pool, do func(context.Context, *consumers.Engine) error) error {
	planners, err := consumers.NewPlanners(plan.Planners()...)
	if err != nil {
		return err
	}
	kept, err := ledger.New(ledger.Config{Pool: pool.Conns()})
	if err != nil {
		return err
	}
	engine, err := consumers.NewEngine(consumers.Config{
		Planners: planners, Facts: facts.New(pool, program.SetName).Snapshot,
		Settings: ledger.NewSettings(pool.Conns()), Ledger: kept,
	})
	if err != nil {
		return err
	}
	ctx, done := context.WithCancel(ctx)
	defer done()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return engine.Run(ctx) })
	g.Go(func() error {
		defer done()
		return do(ctx, engine)
	})
	return g.Wait()
}
