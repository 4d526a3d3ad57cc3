package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

// benchCommand measures, each subcommand one thing.
type benchCommand struct {
	Project   benchProjectCommand   `cmd:"" help:"Events a second from the log to committed rows."`
	Rebuild   benchRebuildCommand   `cmd:"" help:"Events a second that tables are made anew from, and how long the live ones stand still."`
	Ingest    benchIngestCommand    `cmd:"" help:"Events a second accepted over HTTP, each durable before it is."`
	Query     benchQueryCommand     `cmd:"" help:"How fast dashboards are answered, from the cache and from the tables."`
	Freshness benchFreshnessCommand `cmd:"" help:"Time from an event's acceptance until its rows are visible."`
	Jobs      benchJobsCommand      `cmd:"" help:"Deliveries a second planned and done, and how soon one is picked up."`
	Realtime  benchRealtimeCommand  `cmd:"" help:"Deliveries a second to rooms of WebSockets, and what an idle connection costs."`

	RealtimeServer benchRealtimeServerCommand `cmd:"" hidden:""`
}

func (*benchCommand) Help() string {
	return `Each stands beside what could be done at best, in the same run. Without SCHOOLBELL_URL, and on whichever servers the
SCHOOLBELL_* variables do not name, they start what they need in a temporary directory.`
}

// benchmark is one of package bench.
type benchmark interface {
	Run(ctx context.Context) (*bench.Result, error)
}

// report runs a benchmark and prints what it has measured, also if that is not all.
func report(ctx context.Context, io streams, asJSON bool, b benchmark) error {
	result, err := b.Run(ctx)
	switch {
	case result == nil:
		return err
	case asJSON:
		return errors.Join(err, printJSON(io.out, result))
	default:
		return errors.Join(err, result.WriteTable(io.out))
	}
}

// printStages shows on standard error what is being done.
func printStages(io streams) func(string) {
	return func(stage string) { fmt.Fprintln(io.err, stage) }
}

// benchFold is what benchmarks of folding a log have in common.
type benchFold struct {
	Kafka    config.Kafka    `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are named)"`
	Database config.Database `embed:"" prefix:"database-" envprefix:"SCHOOLBELL_DATABASE_" group:"PostgreSQL (embedded unless a URL is given)"`

	Events int  `default:"300000" placeholder:"N" help:"Events to fold."`
	Rounds int  `default:"3" placeholder:"N" help:"Rounds of each side; their median is reported."`
	JSON   bool `name:"json" help:"Print JSON."`
}

type benchProjectCommand struct {
	benchFold `embed:""`
}

func (*benchProjectCommand) Help() string {
	return `Uses a topic and databases of its own, and removes them.

Example:

  schoolbell bench project --events 500000`
}

func (c *benchProjectCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, io, func(p *bench.Project, _ *benchDatabases) benchmark { return p })
}

type benchRebuildCommand struct {
	benchFold `embed:""`
}

func (*benchRebuildCommand) Help() string {
	return `Uses a topic and a database of its own, and removes them.

Example:

  schoolbell bench rebuild --events 1000000`
}

func (c *benchRebuildCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, io, func(p *bench.Project, databases *benchDatabases) benchmark {
		return &bench.Rebuild{Project: *p, Live: func(ctx context.Context) (projections.Store, bench.RebuildFunc, func() error, error) {
			return databases.live(ctx, program.FoldConfig(p.Set, p.Log, slog.New(slog.DiscardHandler)))
		}}
	})
}

// with prepares a log and databases, and reports what is made of them.
func (c *benchFold) with(ctx context.Context, io streams, prepare func(*bench.Project, *benchDatabases) benchmark) (err error) {
	if c.Events < 1 || c.Rounds < 1 {
		return usageError{errors.New("--events and --rounds must be at least 1")}
	}
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "schoolbell-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	silent := slog.New(slog.DiscardHandler)
	needed := &config.Config{Data: dir, Kafka: c.Kafka, Database: c.Database, Redis: config.Redis{URL: "redis://none"}}
	s, err := program.StartServers(ctx, needed, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	log, err := openBenchLog(ctx, c.Kafka, s.Brokers, silent)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, log.DeleteTopic(context.WithoutCancel(ctx)), log.Close())
	}()
	databases := &benchDatabases{url: s.DatabaseURL, set: set}
	return report(ctx, io, c.JSON, prepare(&bench.Project{
		Log: log, Set: set, Decode: cloudevents.Decode, Encode: cloudevents.Encode, Fresh: databases.fresh,
		School: simulate.Config{Schools: 8, Students: 800, Days: simulate.MaxDays, Seed: 1},
		Events: c.Events, Rounds: c.Rounds, Progress: printStages(io),
	}, databases))
}

// openBenchLog makes a topic that is removed after the benchmark.
func openBenchLog(ctx context.Context, k config.Kafka, brokers []string, log *slog.Logger) (*kafka.Log, error) {
	c, err := k.Config(brokers)
	if err != nil {
		return nil, err
	}
	c.Topic = fmt.Sprintf("%s.bench-%d", c.Topic, os.Getpid())
	return kafka.Open(ctx, c, log, nil)
}
