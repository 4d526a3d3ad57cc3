package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type deadLettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List the events that could not be planned, and why."`
	Retry deadLettersRetryCommand `cmd:"" help:"Plan them again."`
}

func (*deadLettersCommand) Help() string {
	return `An event from which a planner could not tell what follows, or that cannot be read, is set aside and holds nothing up. Once the
cause is mended it is planned again on command.`
}

type deadLettersListCommand struct {
	jobsTarget `embed:""`
	School     string `placeholder:"ID" help:"Only those of a school."`
}

func (c *deadLettersListCommand) Run(ctx context.Context, io streams) error {
	l, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	events, err := l.DeadLetters(ctx, c.School)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, append([]ledger.DeadLetter{}, events...))
	}
	if len(events) == 0 {
		_, err := fmt.Fprintln(io.out, "Nothing is set aside.")
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POSITION\tSCHOOL\tTYPE\tEVENT\tSINCE\tWHY")
	for _, e := range events {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.120s\n", e.Position, e.School, e.Type, e.EventID, e.At.Local().Format(time.DateTime), e.Reason)
	}
	return w.Flush()
}

type deadLettersRetryCommand struct {
	jobsLog   `embed:""`
	School    string   `placeholder:"ID" help:"Only those of a school."`
	Positions []string `arg:"" optional:"" name:"position" help:"Which, as in 7:1042; else all."`
}

func (*deadLettersRetryCommand) Help() string {
	return `Each is planned with what is known now, and what follows is done at once. Exits with 1 when some are still aside.

Examples:

  schoolbell jobs aside retry
  schoolbell jobs aside retry 7:1042`
}

// deadLettersRetried is what came of it.
type deadLettersRetried struct {
	Planned   int                 `json:"planned"`
	Remaining []ledger.DeadLetter `json:"aside"` // still
}

func (c *deadLettersRetryCommand) Run(ctx context.Context, io streams) error {
	var wanted []domain.Position
	for _, s := range c.Positions {
		at, err := domain.ParsePosition(s)
		if err != nil {
			return usageError{err}
		}
		wanted = append(wanted, at)
	}
	var tried deadLettersRetried
	err := c.with(ctx, func(log *kafka.Log, pool *postgres.Pool) error {
		l, err := ledger.New(ledger.Config{Pool: pool.Conns()})
		if err != nil {
			return err
		}
		events, err := l.DeadLetters(ctx, c.School)
		if err != nil {
			return err
		}
		events = slices.DeleteFunc(events, func(e ledger.DeadLetter) bool { return len(wanted) > 0 && !slices.Contains(wanted, e.Position) })
		if len(events) < len(wanted) {
			return errors.New("some of these positions are not set aside; jobs aside list tells which are")
		}
		if err := withEngine(ctx, pool, func(ctx context.Context, engine *consumers.Engine) error {
			for _, e := range events {
				if err := replan(ctx, log, engine, e.Position); err != nil {
					return fmt.Errorf("plan the event at %s: %w", e.Position, err)
				}
			}
			return nil
		}); err != nil {
			return err
		}
		still, err := l.DeadLetters(ctx, c.School)
		tried.Remaining = slices.DeleteFunc(still, func(e ledger.DeadLetter) bool {
			return !slices.ContainsFunc(events, func(was ledger.DeadLetter) bool { return was.Position == e.Position })
		})
		tried.Planned = len(events) - len(tried.Remaining)
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		tried.Remaining = append([]ledger.DeadLetter{}, tried.Remaining...)
		err = printJSON(io.out, tried)
	} else {
		for _, e := range tried.Remaining {
			fmt.Fprintf(io.out, "%s of school %s: %s\n", e.Position, e.School, e.Reason)
		}
		_, err = fmt.Fprintf(io.out, "%d events are planned now, %d are still aside.\n", tried.Planned, len(tried.Remaining))
	}
	if err == nil && len(tried.Remaining) > 0 {
		return exitCode(exitFailed)
	}
	return err
}

// replan reads an event from the log and plans it. One that still cannot be read stays where it is.
func replan(ctx context.Context, log eventlog.Fetcher, engine *consumers.Engine, at domain.Position) error {
	batch, err := log.Fetch(ctx, at.Partition, at.Offset, 1, 0)
	if err != nil {
		return err
	}
	for i := range batch.Records {
		if batch.Records[i].Position != at {
			continue
		}
		event, err := cloudevents.Decode(batch.Records[i])
		if err != nil {
			return nil //nolint:nilerr // the list says why
		}
		return engine.Plan(ctx, consumers.Event{Envelope: event, AppendedAt: batch.Records[i].Time, Replan: true})
	}
	return errors.New("the log does not hold it any more")
}
