package main

import (
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/verify"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type jobsVerifyCommand struct {
	jobsLog `embed:""`
}

func (*jobsVerifyCommand) Help() string {
	return `Reads the whole log, plans every event again with what was known when it was planned, and compares the plans with the
ledger. Exits with 1 when a delivery is missing, surplus or different. Changes nothing.`
}

func (c *jobsVerifyCommand) Run(ctx context.Context, io streams) error {
	var checked *verify.Result
	if err := c.with(ctx, func(log *kafka.Log, pool *postgres.Pool) (err error) {
		checked, err = verifyJobs(ctx, log, pool)
		return err
	}); err != nil {
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
func verifyJobs(ctx context.Context, log *kafka.Log, pool *postgres.Pool) (*verify.Result, error) {
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
	v := &verify.Verification{
		Planners: planners, Settings: ledger.NewSettings(pool.Conns()), Log: log, Decode: cloudevents.Decode,
	}
	all := &verify.Result{Findings: []verify.Finding{}}
	for partition := range topic.Partitions {
		held, err := kept.Partition(ctx, partition)
		if err != nil {
			return nil, err
		}
		checked, err := v.Partition(ctx, partition, held)
		if err != nil {
			return nil, fmt.Errorf("verify partition %d: %w", partition, err)
		}
		all.Events += checked.Events
		all.Deliveries += checked.Deliveries
		all.DeadLetters += checked.DeadLetters
		all.Findings = append(all.Findings, checked.Findings...)
	}
	return all, nil
}

func printChecked(io streams, asJSON bool, checked *verify.Result) error {
	if asJSON {
		return printJSON(io.out, checked)
	}
	for _, f := range checked.Findings {
		fmt.Fprintf(io.out, "%s %s of school %s, event %s at %s, rule %s %s\n", f.Kind, f.ID, f.School, f.EventID, f.Position, f.Planner, f.Detail)
	}
	_, err := fmt.Fprintf(io.out, "%d events lead to %d deliveries; %d events are set aside; %d findings.\n",
		checked.Events, checked.Deliveries, checked.DeadLetters, len(checked.Findings))
	return err
}
