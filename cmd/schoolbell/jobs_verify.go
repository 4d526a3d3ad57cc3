package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/consumers/verify"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// ledgerTarget is the database of the ledger, for the commands that the API does not have: they
// read everything, or decide about the consumers of all processes.
type ledgerTarget struct {
	tablesTarget `embed:""`
	JSON         bool `name:"json" help:"Print JSON."`
}

func (c ledgerTarget) pool(ctx context.Context) (*postgres.Pool, error) {
	url, err := c.url()
	if err != nil {
		return nil, err
	}
	return postgres.NewPool(ctx, postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: 4})
}

type jobsVerifyCommand struct {
	ledgerTarget `embed:""`

	Kafka config.Kafka `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (default: that of the serve on the data directory)"`
}

func (*jobsVerifyCommand) Help() string {
	return `Reads the whole log, plans every event again with the facts of the time when it was planned, and compares
the plans with the ledger. Exits with 1 when a delivery is missing, surplus or different. It changes
nothing.`
}

func (c *jobsVerifyCommand) Run(ctx context.Context, io streams) error {
	servers, err := kafkaOf(c.Kafka, c.Data)
	if err != nil {
		return err
	}
	database, err := c.url()
	if err != nil {
		return err
	}
	log, err := openLog(ctx, servers, database)
	if err != nil {
		return err
	}
	defer log.Close()
	pool, err := c.pool(ctx)
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

// verifyJobs verifies the plans of all partitions.
func verifyJobs(
	ctx context.Context, log *kafka.Log, pool *postgres.Pool,
) (*verify.Result, error) {
	planners, err := consumers.NewPlanners(plan.Planners()...)
	if err != nil {
		return nil, err
	}
	stored, err := ledger.New(ledger.Config{Pool: pool.Conns()})
	if err != nil {
		return nil, err
	}
	topic, err := log.Topic(ctx)
	if err != nil {
		return nil, err
	}
	name, err := checkpoint.LogID(ctx, pool.Conns(), program.ConsumersGroup)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // nothing has been planned yet
		return nil, err
	}
	v := &verify.Verification{
		Planners: planners, Settings: ledger.NewSettings(pool.Conns()), Log: log, LogID: name,
		Decode: cloudevents.Decode,
	}
	all := &verify.Result{Findings: []verify.Finding{}}
	for partition := range topic.Partitions {
		held, err := stored.Partition(ctx, partition)
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
		fmt.Fprintf(io.out, "%s %s of school %s, event %s at %s, rule %s %s\n",
			f.Kind, f.ID, f.School, f.EventID, f.Position, f.Planner, f.Detail)
	}
	_, err := fmt.Fprintf(io.out, "%d events cause %d deliveries; %d dead letters; %d findings.\n",
		checked.Events, checked.Deliveries, checked.DeadLetters, len(checked.Findings))
	return err
}

type jobsResetCommand struct {
	ledgerTarget `embed:""`
	To           string `required:"" placeholder:"POSITION" help:"Where to start: a position of one partition, for example 7:1042-k3f9a, or start for all partitions."`
	Again        bool   `help:"Also plan events that caused no delivery, and deliveries missing from the ledger."`
	Yes          bool   `help:"Do not ask for confirmation."`
}

func (*jobsResetCommand) Help() string {
	return `The consumers notice within 15 seconds. Deliveries that are planned stay as they are and are sent once; an
event that caused no delivery causes none now. With --again it does, according to the current facts: this
is for deliveries that jobs verify reports as missing, and may send messages about the distant past.

Example:

  schoolbell jobs reset --to 7:1042-k3f9a`
}

func (c *jobsResetCommand) Run(ctx context.Context, io streams) error {
	var named domain.LogPosition
	if c.To != "start" {
		if err := named.UnmarshalText([]byte(c.To)); err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
	}
	consequence := "The consumers will read the log again."
	if c.Again {
		consequence += " Events of the past may cause deliveries now."
	}
	if err := confirm(io, c.Yes, consequence); err != nil {
		return err
	}
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	var to *domain.Position
	if c.To != "start" {
		log, err := checkpoint.LogID(ctx, pool.Conns(), program.ConsumersGroup)
		if err != nil {
			return err
		}
		at, err := named.In(log)
		if err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		to = &at
	}
	positions := checkpoint.NewGroups(pool.Conns(), router.ErrFenced, nil)
	n, err := positions.Reset(ctx, program.ConsumersGroup, to, c.Again)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]int{"partitions": n})
	}
	_, err = fmt.Fprintf(io.out, "%s will be read again.\n", quantity(n, "partition", "partitions"))
	return err
}
