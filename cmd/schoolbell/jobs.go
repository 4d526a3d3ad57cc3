package main

import (
	"context"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// jobsCommand is about deliveries, each subcommand one thing to do about them.
type jobsCommand struct {
	List    jobsListCommand    `cmd:"" help:"List deliveries, the latest first."`
	Show    jobsShowCommand    `cmd:"" help:"Tell the whole story of one delivery."`
	Depth   jobsDepthCommand   `cmd:"" help:"Count what waits, by queue and priority."`
	Retry   jobsRetryCommand   `cmd:"" help:"Do deliveries again that are dead, failed, cancelled or unknown."`
	Discard jobsDiscardCommand `cmd:"" help:"Give up deliveries that are dead or unknown."`
	Cancel  jobsCancelCommand  `cmd:"" help:"Keep deliveries from being done that have not begun."`
	Pause   jobsPauseCommand   `cmd:"" help:"Stop a queue, in all processes."`
	Resume  jobsResumeCommand  `cmd:"" help:"Go on with a queue."`
	Verify  jobsVerifyCommand  `cmd:"" help:"Recompute every plan from the log and compare it with the ledger."`

	Settings jobsSettingsCommand `cmd:"" help:"Print or change what schools have decided."`
	Repair   jobsRepairCommand   `cmd:"" help:"Repair deliveries whose job was lost."`
	Reset    jobsResetCommand    `cmd:"" help:"Have the consumers read the log once more."`
}

func (*jobsCommand) Help() string {
	return `Examples:

  schoolbell jobs list --state dead
  schoolbell jobs show 3f0c9a…
  schoolbell jobs retry --state dead --queue sms
  schoolbell jobs pause sms`
}

// jobsTarget is the database of the ledger.
type jobsTarget struct {
	DatabaseURL string `name:"database-url" env:"SCHOOLBELL_DATABASE_URL" placeholder:"postgres://…" help:"Database; else that of the serve on the data directory."`
	Data        string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// pool connects to it.
func (c jobsTarget) pool(ctx context.Context) (*postgres.Pool, error) {
	url := c.DatabaseURL
	if url == "" {
		at, err := program.ReadAddress(c.Data)
		if err != nil {
			return nil, err
		}
		url = at.Database
	}
	return postgres.NewPool(ctx, postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: 4})
}

// open returns the ledger and what closes it.
func (c jobsTarget) open(ctx context.Context) (*ledger.Ledger, func(), error) {
	pool, err := c.pool(ctx)
	if err != nil {
		return nil, nil, err
	}
	l, err := ledger.New(ledger.Config{Pool: pool.Conns()})
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return l, pool.Close, nil
}

// jobsFilter picks deliveries.
type jobsFilter struct {
	School  string `placeholder:"ID" help:"Only those of a school."`
	State   string `placeholder:"STATE" enum:",planned,sending,unknown,dead,cancelled,sent,delivered,rendered,failed" default:"" help:"Only those that are planned, sending, unknown, dead, cancelled, sent, delivered, rendered or failed."`
	Queue   string `placeholder:"QUEUE" enum:",sms,pdf,notification" default:"" help:"Only those of a queue: sms, pdf or notification."`
	Event   string `placeholder:"ID" help:"Only those that follow from an event."`
	Planner string `placeholder:"NAME" help:"Only those of a planner."`
}

func (f jobsFilter) filter() ledger.Filter {
	return ledger.Filter{School: f.School, State: consumers.State(f.State), Queue: f.Queue, EventID: f.Event, Planner: f.Planner}
}

type jobsListCommand struct {
	jobsTarget `embed:""`
	jobsFilter `embed:""`
	After      string `placeholder:"ID" help:"Go on after this one."`
	Limit      int    `default:"50" placeholder:"N" help:"At most so many."`
}

func (c *jobsListCommand) Run(ctx context.Context, io streams) error {
	l, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	f := c.filter()
	f.After, f.Limit = c.After, c.Limit
	entries, err := l.List(ctx, f)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, entries)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSCHOOL\tPLANNED\tCHANNEL\tRECIPIENT\tRULE\tSTATE\tATTEMPTS\tERROR")
	for _, e := range entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.60s\n", e.ID, e.School, e.PlannedAt.Local().Format(time.DateTime),
			e.Channel, e.Recipient, e.Planner, e.State, e.Attempts, e.Error)
	}
	return w.Flush()
}

type jobsShowCommand struct {
	jobsTarget `embed:""`
	ID         string `arg:"" help:"The delivery."`
}

func (c *jobsShowCommand) Run(ctx context.Context, io streams) error {
	l, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	e, err := l.Show(ctx, c.ID)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, e)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"delivery", e.ID},
		{"school", e.School},
		{"because of", e.EventType + " " + e.EventID + " at " + e.Position},
		{"rule", e.Planner},
		{"to", e.Recipient + " by " + string(e.Channel)},
		{"text", e.Template + " " + e.Language},
		{"state", fmt.Sprintf("%s, attempts %d", e.State, e.Attempts)},
		{"provider", e.Provider + " " + e.ProviderID},
		{"error", e.Error},
		{"parameters", string(e.Params)},
	} {
		fmt.Fprintf(w, "%s\t%s\n", line[0], line[1])
	}
	fmt.Fprintf(w, "\n%s\tplanned\n", e.PlannedAt.Local().Format(time.StampMilli))
	for _, line := range e.Log {
		fmt.Fprintf(w, "%s\t%s\tstart %d\t%d ms\t%s\n", line.At.Local().Format(time.StampMilli), line.What, line.Start, line.TookMS, line.Detail)
	}
	return w.Flush()
}

type jobsDepthCommand struct {
	jobsTarget `embed:""`
}

func (c *jobsDepthCommand) Run(ctx context.Context, io streams) error {
	l, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	depths, err := l.Depths(ctx)
	if err != nil {
		return err
	}
	paused, err := l.Paused(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]any{"jobs": depths, "paused": paused})
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, d := range depths {
		note := ""
		if slices.Contains(paused, d.Queue) {
			note = "paused"
		}
		fmt.Fprintf(w, "%s\tpriority %d\t%s\t%d\t%s\n", d.Queue, d.Priority, d.State, d.Jobs, note)
	}
	for _, queue := range paused {
		if !slices.ContainsFunc(depths, func(d ledger.Depth) bool { return d.Queue == queue }) {
			fmt.Fprintf(w, "%s\t\t\t0\tpaused\n", queue)
		}
	}
	if len(depths) == 0 && len(paused) == 0 {
		fmt.Fprintln(w, "Nothing waits.")
	}
	return w.Flush()
}

type jobsPauseCommand struct {
	jobsTarget `embed:""`
	Queue      string `arg:"" enum:"sms,pdf,notification,reminders" help:"sms, pdf, notification or reminders."`
}

func (c *jobsPauseCommand) Run(ctx context.Context, io streams) error {
	return c.switchQueue(ctx, io, c.Queue, "paused", (*ledger.Ledger).Pause)
}

type jobsResumeCommand struct {
	jobsTarget `embed:""`
	Queue      string `arg:"" enum:"sms,pdf,notification,reminders" help:"sms, pdf, notification or reminders."`
}

func (c *jobsResumeCommand) Run(ctx context.Context, io streams) error {
	return c.switchQueue(ctx, io, c.Queue, "resumed", (*ledger.Ledger).Resume)
}

func (c jobsTarget) switchQueue(ctx context.Context, io streams, queue, what string, do func(*ledger.Ledger, context.Context, string) error) error {
	l, done, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := do(l, ctx, queue); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]string{"queue": queue, "is": what})
	}
	_, err = fmt.Fprintf(io.out, "Queue %s is %s.\n", queue, what)
	return err
}
