package program

import (
	"context"
	"errors"
	"fmt"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/facts"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/logo"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// ConsumersGroup is the group by which processes share the log's partitions for planning, and the
// name under which their checkpoints are stored.
const ConsumersGroup = "consumers"

// wireConsumers plans deliveries from events and executes them. The role api needs the ledger too,
// to serve and change deliveries, also in a process that plans none.
func (p *program) wireConsumers(ctx context.Context, deps *httpapi.Deps) error {
	pool, err := p.openPool(ctx, "jobs database", p.cfg.Database.Jobs(p.servers.DatabaseURL))
	if err != nil {
		return err
	}
	settings := ledger.NewSettings(pool.Conns())
	docs, err := p.wireDocuments(settings)
	if err != nil {
		return err
	}
	channels, err := p.wireChannels(pool.Conns(), settings, docs)
	if err != nil {
		return err
	}
	jobs, tables := p.cfg.Jobs, facts.New(pool, SetName)
	planners, err := consumers.NewPlanners(plan.Planners()...)
	if err != nil {
		return err
	}
	positions := deps.Positions // those of the queries, if they are in this process
	if positions == nil {
		positions = checkpoint.NewPositions(pool.Acquire, SetName)
		p.task(positions.Run)
	}
	checker := &consumers.Checker{
		Planners: planners, Facts: tables.Snapshot, Settings: settings,
		Reach: checkpoint.Reach(p.events.Bounds, positions),
	}
	deliveries, err := ledger.New(ledger.Config{
		Pool: pool.Conns(), Group: ConsumersGroup, Encode: cloudevents.Encode, Log: p.appender,
		Source: p.events, Decode: cloudevents.Decode, Refused: p.guard.Refused,
		LogID: p.guard.ID(), DeadLetters: p.deadLetters,
		Providers: channels.providers, Check: checker.Check, Overdue: tables.Overdue,
		Settings: settings,
		Workers: map[string]int{
			ledger.QueueSMS:          jobs.SMS,
			ledger.QueuePDF:          jobs.PDF,
			ledger.QueueNotification: jobs.Notification,
		},
		Attempts: jobs.Attempts, SendTimeout: config.ProviderTimeout,
		StopTimeout: p.cfg.Grace / 2, Logger: p.log, Metrics: p.registry,
	})
	if err != nil {
		return err
	}
	engine, err := consumers.NewEngine(consumers.Config{
		Planners: planners, Facts: tables.Snapshot, Await: positions.Await, Settings: settings,
		Ledger: deliveries, Logger: p.log, Metrics: p.registry,
	})
	if err != nil {
		return err
	}
	p.task(engine.Run)
	if p.cfg.Has(config.RoleAPI) {
		deps.Consumers = channels.routes(deliveries, settings, planners)
		deps.Consumers.Replan = func(ctx context.Context, at domain.Position) error { return p.replan(ctx, engine, at) }
		letters, err := p.inboxLetters(ctx)
		if err != nil {
			return err
		}
		deps.Consumers.DeadLetters = letters.Pool
		deps.Consumers.RetryLetter = letters.Retry
		deps.Logos = &logo.Service{Store: docs.store, Settings: settings}
	}
	if !p.cfg.Has(config.RoleConsumers) {
		return nil
	}
	events, err := router.New(router.Config{
		Log: p.events, Topic: p.topic.Name, Group: ConsumersGroup, Planner: engine,
		Positions:   checkpoint.NewGroups(pool.Conns(), router.ErrFenced, p.events),
		DeadLetters: deliveries.AddDeadLetter, Reader: p.reader, Logger: p.log,
		Metrics: p.registry,
	})
	if err != nil {
		return err
	}
	// Optional: the other partitions are planned, and what is sent does not go through this process's
	// public side.
	p.health.Add(telemetry.Check{Name: "consumers", Optional: true, Probe: func(context.Context) error {
		var faults []error
		for _, s := range events.Status() {
			if s.State == router.Failing {
				faults = append(faults, fmt.Errorf("partition %d is failing, %d events behind: %s",
					s.Partition, s.Lag, s.Reason))
			}
		}
		return errors.Join(append(faults, deliveries.Closed())...)
	}})
	p.task(events.Run)
	p.task(deliveries.Run)
	return nil
}

// replan reads an event from the log and plans it. One that still cannot be read stays a dead letter.
func (p *program) replan(ctx context.Context, engine *consumers.Engine, at domain.Position) error {
	topic, err := p.events.Topic(ctx)
	if err != nil {
		return err
	}
	batch, err := p.events.Fetch(ctx, at.Partition, at.Offset, 1, 0)
	if err != nil {
		return err
	}
	for i := range batch.Records {
		rec := &batch.Records[i]
		if rec.Position != at {
			continue
		}
		event, err := eventlog.Decode(cloudevents.Decode, rec, topic.Partitions)
		if err != nil {
			return nil //nolint:nilerr // the dead letter has the reason
		}
		return engine.Plan(ctx,
			consumers.Event{Envelope: event, AppendedAt: rec.Time, Replan: true})
	}
	return eventlog.ErrOffsetOutOfRange
}
