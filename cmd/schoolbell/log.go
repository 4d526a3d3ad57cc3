package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type logCommand struct {
	Status logStatusCommand `cmd:"" help:"List the partitions that are refused, and what was decided about others."`
	Accept logAcceptCommand `cmd:"" help:"Accept the log as it is, and rebuild the tables from it."`
}

func (*logCommand) Help() string {
	return `With each position the digest of the last record is stored that was read. A log that does not have this record
was set back, cut, or is another one. Its partition is then neither read nor written, by any process, until an operator
has decided: restore the log as it was, or accept it as it is.`
}

type logStatusCommand struct {
	tablesTarget `embed:""`

	JSON bool `name:"json" help:"Print JSON."`
}

// logStatus is what is known about a log that is not the one that was read.
type logStatus struct {
	Refused  []*eventlog.Refusal   `json:"refused"`
	Accepted []checkpoint.Accepted `json:"accepted"`
}

func (c *logStatusCommand) Run(ctx context.Context, io streams) error {
	status, err := c.read(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, status)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	if len(status.Refused) == 0 {
		fmt.Fprintln(w, "No partition is refused.")
	} else {
		fmt.Fprintln(w, "REFUSED\tSINCE\tLOG\tREASON\tEXPECTED\tFOUND")
	}
	for _, r := range status.Refused {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Partition, r.Since.Format(time.RFC3339),
			r.TopicID, r.Reason, r.Expected, r.Found)
	}
	if len(status.Accepted) > 0 {
		fmt.Fprintln(w, "\nACCEPTED\tAT\tBY\tFROM\tREASON\tBECAUSE")
	}
	for _, d := range status.Accepted {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\n", d.Partition, d.At.Format(time.RFC3339),
			printable(d.By), d.Position, d.Reason, printable(d.Because))
	}
	return w.Flush()
}

func (c *logStatusCommand) read(ctx context.Context) (status logStatus, err error) {
	url, err := c.url()
	if err != nil {
		return status, err
	}
	pool, err := postgres.NewPool(ctx, postgres.Config{
		URL: url, Role: postgres.Projector, MaxConns: 1,
	})
	if err != nil {
		return status, usageError{err}
	}
	defer pool.Close()
	if status.Refused, err = checkpoint.Refusals(ctx, pool.Conns(), ""); err != nil {
		return status, err
	}
	status.Accepted, err = checkpoint.Decisions(ctx, pool.Conns())
	return status, err
}

type logAcceptCommand struct {
	shadowTarget `embed:""`

	Reason string `required:"" placeholder:"TEXT" help:"Why; it is stored with the decision."`
	By     string `placeholder:"NAME" help:"Who decides (default: the user of this machine)."`
	Yes    bool   `help:"Do not ask."`
}

func (*logAcceptCommand) Help() string {
	return `For all partitions that are refused: rebuilds the tables from the log as it is, next to the live ones, and swaps
them when the decision is stored. Nothing is sent because of events that the log has by then; messages follow from later
ones. If the log has been restored as it was, everything continues where it stood, and nothing is rebuilt. Every serve
then starts again by itself, and clients read the current state. Until the end nothing has changed, and you may interrupt
it at any moment.

Restoring the log as it was loses nothing, so look for a copy of it first.

Example:

  schoolbell log accept --reason "restored from the backup of last night, INC-482"`
}

func (c *logAcceptCommand) Run(ctx context.Context, io streams) error {
	by := cmp.Or(c.By, os.Getenv("USER"), "cli")
	var faults domain.Faults
	faults.Name("--reason", c.Reason)
	faults.Name("--by", by)
	if err := faults.Err(); err != nil {
		return usageError{err}
	}
	if err := confirm(io, c.Yes, "The tables will have only the events of this log, and nothing "+
		"is sent because of those that it has now. When another log is the right one, restore it, or "+
		"correct the settings, instead."); err != nil {
		return err
	}
	var done *postgres.AcceptResult
	err := c.with(ctx, io, func(b *postgres.Shadow) (err error) {
		done, err = b.Accept(ctx, postgres.Acceptance{
			Decision: checkpoint.Decision{
				By: by, Because: c.Reason,
				Consumers: []string{program.SetName, program.ConsumersGroup},
			},
			Forget: ledger.ForgetPositions,
		})
		return err
	})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, done)
	}
	if done.Rebuilt == nil {
		_, err = fmt.Fprintf(io.out, "The log has again what was read of it. Everything continues "+
			"where it stood, in partitions %v.\n", done.Partitions)
		return err
	}
	_, err = fmt.Fprintf(io.out, "The log is accepted in partitions %v. The tables are rebuilt from "+
		"%d events; messages follow from later ones.\n", done.Partitions, done.Rebuilt.Events)
	return err
}
