package main

import (
	"context"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// jobsRepairCommand is for after somebody has deleted jobs from River's table, or restored it from another moment.
type jobsRepairCommand struct {
	jobsTarget `embed:""`
	After      time.Duration `default:"10m" placeholder:"TIME" help:"Only those that nothing has happened to for so long."`
}

func (*jobsRepairCommand) Help() string {
	return `Looks through the whole ledger for deliveries that are to be done and have lost their jobs, as when River's table was restored
from another moment, and gives them new ones. It is safe at any time: what is done already is not done again.`
}

func (c *jobsRepairCommand) Run(ctx context.Context, io streams) error {
	l, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	n, err := l.Repair(ctx, c.After)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]int{"repaired": n})
	}
	_, err = fmt.Fprintf(io.out, "%d deliveries had no job and have one now.\n", n)
	return err
}

type jobsResetCommand struct {
	jobsTarget `embed:""`
	To         string `required:"" placeholder:"POSITION" help:"From where on the log is read once more: a position of one partition, as in 7:1042, or start for all of them."`
	Again      bool   `help:"Plan also the events from which nothing has followed, and what is missing from the ledger."`
	Yes        bool   `help:"Do not ask."`
}

func (*jobsResetCommand) Help() string {
	return `Has the consumers read the log once more. They notice within a quarter of a minute. What was planned stays as it is, and is done once.
From an event that nothing followed from, nothing follows now. With --again it does, by what is known today: this is for
deliveries that jobs verify calls missing, and may tell people of what is long past.

Example:

  schoolbell jobs reset --to 7:1042`
}

func (c *jobsResetCommand) Run(ctx context.Context, io streams) error {
	var to *domain.Position
	if c.To != "start" {
		at, err := domain.ParsePosition(c.To)
		if err != nil {
			return usageError{fmt.Errorf("--to: %w", err)}
		}
		to = &at
	}
	question := "The consumers will read the log once more."
	if c.Again {
		question += " Events of long ago may lead to deliveries now."
	}
	if err := confirm(io, c.Yes, question); err != nil {
		return err
	}
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	n, err := checkpoint.NewGroups(pool.Conns(), router.ErrFenced).Reset(ctx, program.ConsumersGroup, to, c.Again)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]int{"partitions": n})
	}
	_, err = fmt.Fprintf(io.out, "%d partitions are read once more.\n", n)
	return err
}
