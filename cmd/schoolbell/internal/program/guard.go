package program

import (
	"context"
	"errors"
	"fmt"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// ErrLogChanged ends a program whose log is no longer the one that it started with. Much of what it
// holds in memory is of the old one; the same program, run again, begins with the log as it is.
var ErrLogChanged = errors.New("the log is not the one that this process started with")

// wireGuard makes sure that the log is the one that was read, from now on.
func (p *program) wireGuard(ctx context.Context) error {
	pool, err := postgres.NewPool(ctx, postgres.Config{
		URL: p.servers.DatabaseURL, Role: postgres.Projector, MaxConns: 1,
	})
	if err != nil {
		return err
	}
	p.onClose(func() error { pool.Close(); return nil })
	p.guard, err = checkpoint.NewGuard(ctx, checkpoint.GuardConfig{
		Querier: pool.Conns(), Log: p.events, Topic: p.topic,
		Consumers: []string{SetName, ConsumersGroup}, Logger: p.log, Metrics: p.registry,
	})
	if err != nil {
		return fmt.Errorf("compare the log with what was read of it: %w", err)
	}
	p.appender = p.guard.Appender(p.events)
	p.task(func(ctx context.Context) error {
		if err := p.guard.Run(ctx); errors.Is(err, checkpoint.ErrAccepted) {
			return fmt.Errorf("%w: %w", ErrLogChanged, err)
		}
		return nil
	})
	// Optional: the other partitions are written and read, and the tables are served as they are.
	p.health.Add(telemetry.Check{
		Name: "log identity", Optional: true,
		Probe: func(context.Context) error { return p.guard.Report() },
	})
	return nil
}

// followLog runs what fails when the log no longer has what it has read of it.
func followLog(run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		err := run(ctx)
		if errors.Is(err, eventlog.ErrOffsetOutOfRange) {
			return fmt.Errorf("%w: %w", ErrLogChanged, err)
		}
		return err
	}
}
