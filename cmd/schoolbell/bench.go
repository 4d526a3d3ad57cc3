package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/schoolbell/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/cloudevents"
	"github.com/schoolbell/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/internal/telemetry"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

type benchCommand struct {
	config.Config `embed:""`

	What   string        `arg:"" default:"all" enum:"ingest,project,query,freshness,all" help:"${enum}."`
	For    time.Duration `default:"10s" placeholder:"TIME" help:"How long each load lasts."`
	Rounds int           `default:"3" help:"Rounds of each side of a ratio; the median counts."`
	Events int           `default:"300000" help:"Events to project."`
	Rate   int           `default:"5000" help:"Events a second of freshness."`
	Reads  int           `default:"2000" help:"Reads a second of query."`
	JSON   bool          `name:"json" help:"Print JSON."`
}

func (*benchCommand) Help() string {
	return `Measures a Schoolbell of its own: on embedded servers in a temporary directory, or on the servers that are named, with a
topic and a database of its own, which it removes.

  ingest     events a second over HTTP, each durable before it is accepted, beside appending to the log directly
  project    events a second from the log to committed rows, beside the same rows only written, and one transaction per event
  query      latency of kept and of fresh answers at a steady rate
  freshness  time from accepted to visible at a steady rate

Examples:

  schoolbell bench project
  SCHOOLBELL_KAFKA_BROKERS=kafka:9092 schoolbell bench all --json > figures.json`
}

func (c *benchCommand) Run(ctx context.Context, io streams) (err error) {
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	log := telemetry.NewLogger(io.err, telemetry.LogConfig{Level: slog.LevelWarn})
	stack, err := startBenchStack(ctx, c.Config, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.close()) }()
	for _, b := range []struct {
		name string
		run  func(context.Context, *benchStack, func(string)) (*bench.Result, error)
	}{{"project", c.project}, {"ingest", c.ingest}, {"freshness", c.freshness}, {"query", c.query}} {
		if c.What != "all" && c.What != b.name {
			continue
		}
		result, err := b.run(ctx, stack, func(stage string) { fmt.Fprintf(io.err, "%s: %s\n", b.name, stage) })
		if err != nil {
			return fmt.Errorf("bench %s: %w", b.name, err)
		}
		if err := c.print(io.out, result); err != nil {
			return err
		}
	}
	return nil
}

func (c *benchCommand) print(out io.Writer, result *bench.Result) error {
	if c.JSON {
		return printJSON(out, result)
	}
	if err := result.WriteTable(out); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

func (c *benchCommand) ingest(ctx context.Context, s *benchStack, progress func(string)) (*bench.Result, error) {
	target, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	events, err := s.openLog(ctx)
	if err != nil {
		return nil, err
	}
	return (&bench.Ingest{
		Target: target, Log: events, Batch: 100, Parallel: 8, For: c.For, Rounds: c.Rounds, Progress: progress,
	}).Run(ctx)
}

func (c *benchCommand) freshness(ctx context.Context, s *benchStack, progress func(string)) (*bench.Result, error) {
	target, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	return (&bench.Freshness{Target: target, Rate: c.Rate, Batch: 10, For: c.For, Parallel: 16, Progress: progress}).Run(ctx)
}

func (c *benchCommand) query(ctx context.Context, s *benchStack, progress func(string)) (*bench.Result, error) {
	target, err := s.serve(ctx)
	if err != nil {
		return nil, err
	}
	api, err := client.New(client.Config{URL: target.URL, Token: target.Token})
	if err != nil {
		return nil, err
	}
	defer api.Close()
	progress("fill a school")
	year := simulate.Config{Schools: 1, Students: 1000, Days: 150, Seed: 1}
	_, err = api.Stream(ctx, nil, func(stream *client.Stream) error {
		for e := range year.Events() {
			if err := stream.Send(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return (&bench.Query{
		Target: target, School: simulate.SchoolID(0), Rate: c.Reads, For: c.For, Parallel: 32, Progress: progress,
	}).Run(ctx)
}

func (c *benchCommand) project(ctx context.Context, s *benchStack, progress func(string)) (*bench.Result, error) {
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return nil, err
	}
	events, err := s.openLog(ctx)
	if err != nil {
		return nil, err
	}
	return (&bench.Project{
		Log: events, Set: set, Decode: cloudevents.Decode, Encode: cloudevents.Encode,
		Fresh: func(ctx context.Context) (projections.Store, func() error, error) {
			url, drop, err := s.freshDatabase(ctx)
			if err != nil {
				return nil, nil, err
			}
			pool, err := postgres.NewPool(ctx, c.Database.Projector(url))
			if err != nil {
				return nil, nil, errors.Join(err, drop())
			}
			return postgres.NewProjectionStore(pool, set, setName), func() error { pool.Close(); return drop() }, nil
		},
		School: simulate.Config{Schools: 8, Students: 800, Days: 200, Seed: 1},
		Events: c.Events, Rounds: c.Rounds, Progress: progress,
	}).Run(ctx)
}
