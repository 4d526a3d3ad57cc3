package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/students"
)

// wireProjections runs the engine that folds the log into the tables.
func (p *program) wireProjections(
	ctx context.Context, set *projections.Set, notifiers []projections.Notifier,
) error {
	pool, err := p.openPool(
		ctx, "projections database", p.cfg.Database.Projector(p.servers.DatabaseURL),
	)
	if err != nil {
		return err
	}
	store := postgres.NewProjectionStore(pool, set, SetName)
	store.DeadLetters = p.deadLetters
	cfg := FoldConfig(set, p.events, p.log)
	cfg.MaxParked = p.cfg.Projections.MaxParked
	renewal := &renewal{
		store: store, log: p.log,
		shadow: postgres.Shadow{URL: p.servers.DatabaseURL, Engine: cfg, Notifiers: notifiers},
	}
	cfg.Group, cfg.Store, cfg.Notifiers = p.events, store, notifiers
	cfg.GroupID, cfg.Reader = eventlog.GroupID(SetName, p.topic.Name), p.reader
	cfg.Metrics, cfg.Tracer = p.registry, p.tracers.Tracer("schoolbell/projections")
	engine, err := projections.NewEngine(cfg)
	if err != nil {
		return err
	}
	// Optional: the other partitions advance, and reads say how far their tables are.
	p.health.Add(
		telemetry.Check{Name: "projections", Optional: true, Probe: func(context.Context) error {
			return errors.Join(renewal.report(), partitionProblems(engine))
		}},
	)
	p.task(func(ctx context.Context) error { return renewal.run(ctx, engine.Run) })
	return nil
}

// FoldConfig is what every engine that folds the log has in common, whether into the live tables
// or into shadow tables. The caller adds a store.
func FoldConfig(set *projections.Set, log projections.Log, logger *slog.Logger) projections.Config {
	b := ThisBuild()
	return projections.Config{
		Name: SetName, Set: set, Log: log, Decode: cloudevents.Decode,
		Build: b.Version + " " + b.Revision, Logger: logger,
	}
}

// partitionProblems says which partitions do not advance, and why, and whether schools do not.
func partitionProblems(engine *projections.Engine) error {
	var faults []error
	parked := 0
	for _, s := range engine.Status() {
		parked += s.ParkedSchools
		switch s.State {
		case projections.Failing, projections.Refused:
			faults = append(
				faults, fmt.Errorf("partition %d is %s: %s", s.Partition, s.State, s.Reason),
			)
		}
	}
	if parked > 0 {
		faults = append(faults, fmt.Errorf("schools that are parked whole: %d; `schoolbell "+
			"parked list` says which and why", parked))
	}
	return errors.Join(faults...)
}

// wireQueries serves the read models from the tables.
func (p *program) wireQueries(ctx context.Context, deps *httpapi.Deps) (err error) {
	p.tables, err = p.openPool(ctx, "tables", p.cfg.Database.API(p.servers.DatabaseURL))
	if err != nil {
		return err
	}
	deps.Tables = p.tables
	deps.Positions = checkpoint.NewPositions(p.tables.Acquire, SetName)
	deps.Queries = catalog.Queries()
	deps.Directory = students.ConnectionsOf
	schools := newDays(p.tables, settingsMaxAge)
	deps.Today, deps.Policy, deps.Numbers = schools.today, schools.policy, schools.numbers
	return nil
}

// importHold is how long the events of an import wait for room: nobody waits for a response, as with
// a producer.
const importHold = 5 * time.Second

// wireImports lets offices bring in what other systems hold. It takes the tables to compare with and
// the log to write to.
func (p *program) wireImports(deps *httpapi.Deps) {
	if !p.cfg.Has(config.RoleIngest) {
		return
	}
	deps.Imports = imports.New(imports.Config{
		Database: p.tables, Log: p.events, Partitions: p.topic.Partitions, Set: SetName,
		Positions: deps.Positions, Today: deps.Today, EndShare: p.cfg.API.EndShare,
		Metrics: p.registry,
		Writer: ingest.Writer{
			Log: p.appender, Limit: p.cfg.API.AppendLimit, Pacer: p.pacer, Hold: importHold,
		},
	})
}
