package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/projections"
)

// wireProjections folds the log into the tables.
func (p *program) wireProjections(ctx context.Context, set *projections.Set, notifiers []projections.Notifier) error {
	pool, err := p.openPool(ctx, "projections database", p.cfg.Database.Projector(p.servers.databaseURL))
	if err != nil {
		return err
	}
	store := postgres.NewProjectionStore(pool, set, setName)
	cfg := foldConfig(set, p.events, p.log)
	renewal := &renewal{store: store, shadow: postgres.Shadow{URL: p.servers.databaseURL, Engine: cfg, Notifiers: notifiers}, log: p.log}
	cfg.Group, cfg.Store, cfg.Notifiers = p.events, store, notifiers
	cfg.Metrics, cfg.Tracer = p.registry, p.tracers.Tracer("schoolbell/projections")
	engine, err := projections.NewEngine(cfg)
	if err != nil {
		return err
	}
	p.health.Add(telemetry.Check{Name: "projections", Optional: true, Probe: func(context.Context) error {
		return errors.Join(renewal.report(), partitionProblems(engine))
	}})
	p.task(func(ctx context.Context) error { return renewal.run(ctx, engine.Run) })
	return nil
}

// foldConfig is what all engines that fold the log have in common, be it into the live tables or beside them.
func foldConfig(set *projections.Set, log projections.Log, logger *slog.Logger) projections.Config {
	b := thisBuild()
	return projections.Config{
		Name: setName, Set: set, Log: log, Decode: cloudevents.Decode, Build: b.Version + " " + b.Revision, Logger: logger,
	}
}

// partitionProblems tells which partitions do not move, and why.
func partitionProblems(engine *projections.Engine) error {
	var faults []error
	for _, s := range engine.Status() {
		switch s.State {
		case projections.Paused, projections.Failing, projections.Refused:
			faults = append(faults, fmt.Errorf("partition %d is %s: %s", s.Partition, s.State, s.Reason))
		}
	}
	return errors.Join(faults...)
}
