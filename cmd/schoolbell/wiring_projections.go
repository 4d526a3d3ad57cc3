package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/schoolbell/schoolbell/internal/cloudevents"
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
	b := thisBuild()
	engine, err := projections.NewEngine(projections.Config{
		Name: setName, Set: set, Log: p.events, Group: p.events,
		Store: postgres.NewProjectionStore(pool, set, setName), Decode: cloudevents.Decode,
		Notifiers: notifiers, Build: b.Version + " " + b.Revision,
		Logger: p.log, Metrics: p.registry, Tracer: p.tracers.Tracer("schoolbell/projections"),
	})
	if err != nil {
		return err
	}
	p.health.Add(telemetry.Check{Name: "projections", Optional: true, Ask: func(context.Context) error { return troubles(engine) }})
	p.task(engine.Run)
	return nil
}

// troubles tells which partitions do not move, and why.
func troubles(engine *projections.Engine) error {
	var faults []error
	for _, s := range engine.Status() {
		switch s.State {
		case projections.Paused, projections.Failing, projections.Refused:
			faults = append(faults, fmt.Errorf("partition %d is %s: %s", s.Partition, s.State, s.Reason))
		}
	}
	return errors.Join(faults...)
}
