package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

type serveCommand struct {
	config.Config `embed:""`

	Demo bool `help:"Add a demonstration school whose term is simulated live."`
}

func (*serveCommand) Help() string {
	return `Kafka, PostgreSQL and Redis are embedded, with their data in --data, unless you give real ones:

  schoolbell serve --demo
  SCHOOLBELL_KAFKA_BROKERS=kafka:9092 \
  SCHOOLBELL_DATABASE_URL=postgres://schoolbell:secret@db/schoolbell \
  SCHOOLBELL_REDIS_URL=redis://cache:6379/0 schoolbell serve --roles=ingest,api

The first interrupt stops gracefully, the second one at once; accepted events survive both.`
}

func (c *serveCommand) Run(ctx context.Context, io streams) error {
	if err := c.Validate(); err != nil {
		return usageError{err}
	}
	log := telemetry.NewLogger(io.err, c.Log.Config())
	if c.Demo && !(c.Has(config.RoleIngest) && c.Has(config.RoleAPI)) {
		return usageError{errors.New("--demo needs the roles ingest and api")}
	}
	// Only when it stops for good: there is no way back to being active.
	defer context.AfterFunc(ctx, func() { notifyManager(ctx, log, daemon.SdNotifyStopping) })()
	for {
		err := c.serve(ctx, io, log)
		if ctx.Err() != nil || !errors.Is(err, program.ErrLogChanged) {
			return err
		}
		log.WarnContext(ctx, "starting again", "error", err)
	}
}

// serve runs the program once.
func (c *serveCommand) serve(ctx context.Context, io streams, log *slog.Logger) error {
	began := time.Now()
	started := make(chan program.Address, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(started)
		return program.Run(ctx, &c.Config, log, func(at program.Address) { started <- at })
	})
	g.Go(func() error {
		at, ok := <-started
		if !ok {
			return nil // Run returns why
		}
		at.School = "my-school"
		if c.Demo {
			at.School = simulate.DemoSchool
		}
		if err := at.Write(c.Data); err != nil {
			if c.Embedded() {
				return err
			}
			log.WarnContext(ctx, "other commands will not find this process", "error", err) // such as on a read-only disk
		}
		defer program.RemoveAddress(c.Data)
		log.InfoContext(ctx, "serving", "http", at.HTTP, "ops", at.Ops, "roles", c.Roles,
			"started_in", time.Since(began).Round(time.Millisecond))
		notifyManager(ctx, log, daemon.SdNotifyReady)
		if err := c.greet(ctx, io.out, log, at); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
	return g.Wait()
}
