package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/alecthomas/kong"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

// benchTarget is the Schoolbell that a benchmark calls over HTTP: a running one, or its own.
type benchTarget struct {
	URL   string        `name:"url" env:"SCHOOLBELL_URL" placeholder:"URL" help:"Address of a running Schoolbell (default: start one for the benchmark)."`
	Token string        `env:"SCHOOLBELL_TOKEN" placeholder:"TOKEN" secret:"" help:"Operator's token."`
	For   time.Duration `default:"10s" placeholder:"TIME" help:"Duration of each measurement."`
	JSON  bool          `name:"json" help:"Print JSON."`
}

// with runs do against the target. The log is nil when the target was running already.
func (c *benchTarget) with(
	ctx context.Context, do func(context.Context, bench.Target, *benchLog) error,
) (err error) {
	if c.URL != "" {
		if c.Token == "" {
			return usageError{
				errors.New(
					"SCHOOLBELL_URL is set: set SCHOOLBELL_TOKEN too, to an operator's token",
				),
			}
		}
		return do(ctx, bench.Target{URL: c.URL, Token: c.Token}, nil)
	}
	dir, err := os.MkdirTemp("", "schoolbell-bench-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg, err := benchConfig(dir)
	if err != nil {
		return err
	}
	silent := slog.New(slog.DiscardHandler)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	started := make(chan program.Address, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(started)
		return program.Run(ctx, cfg, silent, func(at program.Address) { started <- at })
	})
	g.Go(func() error {
		defer stop()
		at, ok := <-started
		if !ok {
			return nil // Run returns why
		}
		token, err := operatorToken(dir)
		if err != nil {
			return err
		}
		kafkaConfig, err := at.Kafka(cfg.Kafka).Config()
		if err != nil {
			return err
		}
		log, err := kafka.Open(ctx, kafkaConfig, silent, nil)
		if err != nil {
			return err
		}
		return errors.Join(do(ctx, bench.Target{URL: at.HTTP, Token: token}, &benchLog{log, kafkaConfig}), log.Close())
	})
	return g.Wait()
}

// benchLog is the log of a Schoolbell that was started for the benchmark.
type benchLog struct {
	*kafka.Log
	config kafka.Config
}

const benchInbox = "schoolbell.bench-inbox"

// inbox opens the Schoolbell's inbox for writing.
func (l *benchLog) inbox(ctx context.Context) (*kafka.Log, error) {
	c := l.config
	c.Topic = benchInbox
	return kafka.OpenAny(ctx, c, slog.New(slog.DiscardHandler))
}

// benchConfig is the configuration of `serve` with the servers of the environment, on free ports
// and without limits on the requests, events and connections of one user or school.
func benchConfig(dir string) (*config.Config, error) {
	var serve struct {
		config.Config `embed:""`
	}
	parser, err := kong.New(&serve, helpVars)
	if err != nil {
		return nil, fmt.Errorf("prepare configuration: %w", err)
	}
	if _, err := parser.Parse([]string{"--data", dir, "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0"}); err != nil {
		return nil, usageError{err}
	}
	serve.API.EventRate, serve.API.RequestRate, serve.Ingest.MaxLag = 1e9, 1e9, 0
	serve.Realtime.PerUser = serve.Realtime.Connections
	serve.Inboxes.Inbox = []string{
		benchInbox + ":announcement,assessment,attendance,class,fee,guardian,membership,staff,student",
	}
	return &serve.Config, nil
}

type benchIngestCommand struct {
	benchTarget `embed:""`

	Batch    int `default:"100" placeholder:"N" help:"Events per request, up to 1,000."`
	Parallel int `default:"16" placeholder:"N" help:"Concurrent requests."`
	Rounds   int `default:"3" placeholder:"N" help:"Rounds; the median is reported."`
}

func (c *benchIngestCommand) Run(ctx context.Context, io streams) error {
	if c.Batch < 1 || c.Batch > 1000 || c.Parallel < 1 || c.Rounds < 1 {
		return usageError{
			errors.New("--batch must be between 1 and 1000, --parallel and --rounds at least 1"),
		}
	}
	return c.with(ctx, func(ctx context.Context, target bench.Target, log *benchLog) error {
		b := &bench.Ingest{
			Target:   target,
			Batch:    c.Batch,
			Parallel: c.Parallel,
			For:      c.For,
			Rounds:   c.Rounds,
			Progress: printStages(io),
		}
		if log == nil {
			return report(ctx, io, c.JSON, b)
		}
		inbox, err := log.inbox(ctx)
		if err != nil {
			return err
		}
		b.Log, b.Inbox = log, inbox
		return errors.Join(report(ctx, io, c.JSON, b), inbox.Close())
	})
}

type benchQueryCommand struct {
	benchTarget `embed:""`

	School   string `placeholder:"SCHOOL" help:"School to query (default: simulate one)."`
	Rate     int    `default:"2000" placeholder:"R" help:"Cached reads per second."`
	Parallel int    `default:"32" placeholder:"N" help:"Concurrent connections."`
}

func (c *benchQueryCommand) Run(ctx context.Context, io streams) error {
	if c.Rate < 1 || c.Parallel < 1 {
		return usageError{errors.New("--rate and --parallel must be at least 1")}
	}
	return c.with(ctx, func(ctx context.Context, target bench.Target, _ *benchLog) error {
		school := c.School
		if school == "" {
			printStages(io)("simulating a school of 1000 students")
			var err error
			if school, err = simulateFor(ctx, target); err != nil {
				return err
			}
		}
		return report(ctx, io, c.JSON, &bench.Query{
			Target: target, School: school, Rate: c.Rate, For: c.For, Parallel: c.Parallel, Progress: printStages(io),
		})
	})
}

// simulateFor publishes the events of a school, and returns its id.
func simulateFor(ctx context.Context, target bench.Target) (string, error) {
	api, err := client.New(client.Config{URL: target.URL, Token: target.Token})
	if err != nil {
		return "", err
	}
	defer api.Close()
	school := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	sim := simulate.Config{Schools: 1, Students: 1000, Days: 60, Seed: 1}
	_, err = api.Stream(ctx, nil, func(s *client.Stream) error {
		for e := range sim.Events() {
			e.School = school
			if err := s.Send(e); err != nil {
				return err
			}
		}
		return nil
	})
	return school, err
}

type benchFreshnessCommand struct {
	benchTarget `embed:""`

	Rate     int `default:"5000" placeholder:"R" help:"Events per second."`
	Batch    int `default:"50" placeholder:"N" help:"Events per request."`
	Parallel int `default:"32" placeholder:"N" help:"Maximum concurrent requests."`
}

func (c *benchFreshnessCommand) Run(ctx context.Context, io streams) error {
	if c.Rate < 1 || c.Batch < 1 || c.Batch > 1000 || c.Parallel < 1 {
		return usageError{
			errors.New("--rate and --parallel must be at least 1, --batch between 1 and 1000"),
		}
	}
	return c.with(ctx, func(ctx context.Context, target bench.Target, _ *benchLog) error {
		return report(ctx, io, c.JSON, &bench.Freshness{
			Target: target, Rate: c.Rate, Batch: c.Batch, For: c.For, Parallel: c.Parallel, Progress: printStages(io),
		})
	})
}
