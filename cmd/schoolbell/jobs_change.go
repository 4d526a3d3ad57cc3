package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
)

// jobsChange is what is to be done to deliveries that are named, or picked.
type jobsChange struct {
	jobsTarget `embed:""`
	jobsFilter `embed:""`
	Yes        bool     `help:"Do not ask."`
	IDs        []string `arg:"" optional:"" name:"id" help:"The deliveries; else those that the flags pick."`
}

// run does something to each delivery, and says to how many.
func (c *jobsChange) run(ctx context.Context, io streams, what string, do func(l *ledger.Ledger, id string) error) error {
	if len(c.IDs) == 0 && c.jobsFilter == (jobsFilter{}) {
		return usageError{errors.New("name deliveries, or pick them by flags")}
	}
	if len(c.IDs) == 0 {
		if err := confirm(io, c.Yes, "Every delivery that the flags pick will be "+what+"."); err != nil {
			return err
		}
	}
	l, closeLedger, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closeLedger()
	ids, changed := c.IDs, 0
	for f := c.filter(); ; {
		if len(c.IDs) == 0 {
			entries, err := l.List(ctx, f)
			if err != nil {
				return err
			}
			ids = ids[:0]
			for _, e := range entries {
				ids = append(ids, e.ID)
			}
		}
		for _, id := range ids {
			var state *ledger.StateError
			switch err := do(l, id); {
			case errors.As(err, &state) && len(c.IDs) == 0: // it has moved on, or the filter was wide
			case err != nil:
				return err
			default:
				changed++
			}
			f.After = id
		}
		if len(c.IDs) > 0 || len(ids) == 0 {
			break
		}
	}
	if c.JSON {
		return printJSON(io.out, map[string]int{what: changed})
	}
	_, err = fmt.Fprintf(io.out, "%s %s.\n", quantity(changed, "delivery", "deliveries"), what)
	return err
}

func operator() string { return cmp.Or(os.Getenv("USER"), "operator") }

type jobsRetryCommand struct {
	jobsChange `embed:""`
}

func (*jobsRetryCommand) Help() string {
	return `Whoever retries a delivery that is unknown may have it done twice; so it is asked about, one by one, unless --yes is said.

Example:

  schoolbell jobs retry --state dead --queue sms --yes`
}

func (c *jobsRetryCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "retried", func(l *ledger.Ledger, id string) error {
		if !c.Yes {
			e, err := l.Show(ctx, id)
			if err != nil {
				return err
			}
			if e.State == consumers.Unknown {
				if err := confirm(io, false, "Delivery "+id+" may have been done already, and may be done twice."); err != nil {
					return err
				}
			}
		}
		return l.Retry(ctx, id, operator())
	})
}

type jobsDiscardCommand struct {
	jobsChange `embed:""`
}

func (c *jobsDiscardCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "discarded", func(l *ledger.Ledger, id string) error { return l.Discard(ctx, id, operator()) })
}

type jobsCancelCommand struct {
	jobsChange `embed:""`
}

func (c *jobsCancelCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "cancelled", func(l *ledger.Ledger, id string) error { return l.Cancel(ctx, id, operator()) })
}
