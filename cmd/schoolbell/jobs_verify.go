package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/internal/cloudevents"
	"github.com/schoolbell/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/knowledge"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type jobsVerifyCommand struct {
	jobsTarget `embed:""`
	Kafka      config.Kafka `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (that of the serve on the data directory unless brokers are named)"`
}

func (*jobsVerifyCommand) Help() string {
	return `Reads the whole log, plans every event again with what was known when it was planned, and compares the plans with the
ledger. Exits with 1 when a delivery is missing, surplus or different. Changes nothing.`
}

func (c *jobsVerifyCommand) Run(ctx context.Context, io streams) (err error) {
	url, brokers := c.DatabaseURL, c.Kafka.Brokers
	if url == "" || len(brokers) == 0 {
		at, err := readAddress(c.Data)
		if err != nil {
			return err
		}
		if url == "" {
			url = at.Database
		}
		if len(brokers) == 0 {
			brokers = at.Brokers
		}
	}
	kafkaConfig, err := c.Kafka.Config(brokers)
	if err != nil {
		return usageError{err}
	}
	log, err := kafka.Open(ctx, kafkaConfig, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: 2})
	if err != nil {
		return err
	}
	defer pool.Close()
	checked, err := verifyJobs(ctx, log, pool)
	if err != nil {
		return err
	}
	if err := printChecked(io, c.JSON, checked); err != nil {
		return err
	}
	if len(checked.Findings) > 0 {
		return exitCode(exitFailed)
	}
	return nil
}

// verifyJobs checks all partitions.
func verifyJobs(ctx context.Context, log *kafka.Log, pool *postgres.Pool) (*consumers.Checked, error) {
	planners, err := consumers.NewPlanners(plan.Planners()...)
	if err != nil {
		return nil, err
	}
	kept, err := ledger.New(ledger.Config{Pool: pool.Conns()})
	if err != nil {
		return nil, err
	}
	topic, err := log.Topic(ctx)
	if err != nil {
		return nil, err
	}
	v := &consumers.Verification{
		Planners: planners, Settings: ledger.NewSettings(pool.Conns()), Log: log, Decode: cloudevents.Decode,
		History: func() consumers.History { return knowledge.NewHistory() },
	}
	all := &consumers.Checked{Findings: []consumers.Finding{}}
	for partition := range topic.Partitions {
		held, err := kept.Kept(ctx, partition)
		if err != nil {
			return nil, err
		}
		checked, err := v.Partition(ctx, partition, held)
		if err != nil {
			return nil, fmt.Errorf("verify partition %d: %w", partition, err)
		}
		all.Events += checked.Events
		all.Deliveries += checked.Deliveries
		all.Aside += checked.Aside
		all.Findings = append(all.Findings, checked.Findings...)
	}
	return all, nil
}

func printChecked(io streams, asJSON bool, checked *consumers.Checked) error {
	if asJSON {
		return printJSON(io.out, checked)
	}
	for _, f := range checked.Findings {
		fmt.Fprintf(io.out, "%s %s of school %s, event %s at %s, rule %s %s\n", f.Kind, f.ID, f.School, f.EventID, f.Position, f.Planner, f.Detail)
	}
	_, err := fmt.Fprintf(io.out, "%d events lead to %d deliveries; %d events are set aside; %d findings.\n",
		checked.Events, checked.Deliveries, checked.Aside, len(checked.Findings))
	return err
}
