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
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

// benchCommand measures; each subcommand measures one thing.
type benchCommand struct {
	Project   benchProjectCommand   `cmd:"" help:"Throughput from the log to committed rows."`
	Rebuild   benchRebuildCommand   `cmd:"" help:"Rebuild throughput, and how long the swap blocks."`
	Ingest    benchIngestCommand    `cmd:"" help:"Throughput of events over HTTP and through an inbox, each durable in the log."`
	Query     benchQueryCommand     `cmd:"" help:"Latency of dashboards, from the cache and from the tables."`
	Freshness benchFreshnessCommand `cmd:"" help:"Time from an event's acceptance until its rows are visible."`
	Jobs      benchJobsCommand      `cmd:"" help:"Throughput of planning and executing deliveries, and pick-up latency."`
	Realtime  benchRealtimeCommand  `cmd:"" help:"Throughput to rooms of WebSockets, and the cost of an idle connection."`

	RealtimeServer benchRealtimeServerCommand `cmd:"" hidden:""`
}

func (*benchCommand) Help() string {
	return `Each result is printed next to a ceiling measured in the same run. The benchmarks use the servers that
SCHOOLBELL_* variables name, and start the others, and Schoolbell itself unless SCHOOLBELL_URL is set, in a
temporary directory.`
}

// benchmark is one of package bench.
type benchmark interface {
	Run(ctx context.Context) (*bench.Result, error)
}

// report runs a benchmark and prints what it has measured, even if it failed halfway.
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

// printStages prints progress on standard error.
func printStages(io streams) func(string) {
	return func(stage string) { fmt.Fprintln(io.err, stage) }
}

// benchFold is what benchmarks of folding a log have in common.
type benchFold struct {
	Kafka    config.Kafka    `embed:"" prefix:"kafka-" envprefix:"SCHOOLBELL_KAFKA_" group:"Kafka (embedded unless brokers are given)"`
	Database config.Database `embed:"" prefix:"database-" envprefix:"SCHOOLBELL_DATABASE_" group:"PostgreSQL (embedded unless a URL is given)"`

	Events int  `default:"300000" placeholder:"N" help:"Events to fold."`
	Rounds int  `default:"3" placeholder:"N" help:"Rounds of each measurement; the median is reported."`
	JSON   bool `name:"json" help:"Print JSON."`
}

type benchProjectCommand struct {
	benchFold `embed:""`
}

func (*benchProjectCommand) Help() string {
	return `Creates its own topic and databases, and removes them.

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
	return `Creates its own topic and database, and removes them.

Example:

  schoolbell bench rebuild --events 1000000`
}

func (c *benchRebuildCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, io, func(p *bench.Project, databases *benchDatabases) benchmark {
		return &bench.Rebuild{
			Project: *p,
			Live: func(ctx context.Context) (projections.Store, bench.RebuildFunc, func() error, error) {
				return databases.live(
					ctx, program.FoldConfig(p.Set, p.Log, slog.New(slog.DiscardHandler)),
				)
			},
		}
	})
}

// with prepares a log and databases for a benchmark, and reports its result.
func (c *benchFold) with(
	ctx context.Context, io streams, prepare func(*bench.Project, *benchDatabases) benchmark,
) (err error) {
	if c.Events < 1 || c.Rounds < 1 {
		return usageError{errors.New("--events and --rounds must be at least 1")}
	}
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "schoolbell-bench-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	silent := slog.New(slog.DiscardHandler)
	needed := &config.Config{
		Data:     dir,
		Kafka:    c.Kafka,
		Database: c.Database,
		Redis:    config.Redis{URL: "redis://none"},
	}
	s, err := program.StartServers(ctx, needed, silent)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	log, err := openBenchLog(ctx, s.Kafka, silent)
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

// openBenchLog creates a topic, which the caller deletes after the benchmark.
func openBenchLog(
	ctx context.Context, k config.Kafka, log *slog.Logger,
) (*kafka.Log, error) {
	c, err := k.Config()
	if err != nil {
		return nil, err
	}
	c.Topic = fmt.Sprintf("%s.bench-%d", c.Topic, os.Getpid())
	return kafka.Open(ctx, c, log, nil)
}
