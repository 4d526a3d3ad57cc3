package main

import (
	"context"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// jobsCommand is about deliveries. All but verify and reset go through the API, as an operator.
type jobsCommand struct {
	List    jobsListCommand    `cmd:"" help:"List deliveries, the latest first."`
	Show    jobsShowCommand    `cmd:"" help:"Print the history of a delivery."`
	Depth   jobsDepthCommand   `cmd:"" help:"Count waiting jobs by queue and priority."`
	Retry   jobsRetryCommand   `cmd:"" help:"Retry dead, failed, cancelled or unknown deliveries."`
	Discard jobsDiscardCommand `cmd:"" help:"Give up dead or unknown deliveries."`
	Cancel  jobsCancelCommand  `cmd:"" help:"Cancel deliveries that have not started."`
	Pause   jobsPauseCommand   `cmd:"" help:"Pause a queue in all processes."`
	Resume  jobsResumeCommand  `cmd:"" help:"Resume a queue."`
	Repair  jobsRepairCommand  `cmd:"" help:"Repair deliveries whose job was lost."`

	Settings jobsSettingsCommand `cmd:"" help:"Print or replace a school's settings for deliveries."`
	Verify   jobsVerifyCommand   `cmd:"" help:"Recompute all plans from the log and compare them with the ledger."`
	Reset    jobsResetCommand    `cmd:"" help:"Have the consumers read the log again from a position."`
}

func (*jobsCommand) Help() string {
	return `Examples:

  schoolbell jobs list --state dead
  schoolbell jobs show b1363bce6f126b6e3afe6479566d4573
  schoolbell jobs retry --state dead --queue sms
  schoolbell jobs pause sms`
}

// operationsPath is the prefix of what concerns all schools.
const operationsPath = "/v1/operations"

// jobsTarget is the API that a command about deliveries calls.
type jobsTarget struct {
	remote `embed:""`
	JSON   bool `name:"json" help:"Print JSON."`
}

// show reads from the API and hands over what it has read, or prints it as JSON.
func show[T any](
	ctx context.Context, c jobsTarget, io streams, path string, print func(*tabwriter.Writer, *T),
) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	v := new(T)
	if err := api.Get(ctx, path, v); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, v)
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	print(w, v)
	return w.Flush()
}

// jobsFilter selects deliveries.
type jobsFilter struct {
	School string `placeholder:"ID" help:"Only deliveries of this school."`
	State  string `placeholder:"STATE" enum:",planned,sending,unknown,dead,cancelled,sent,delivered,rendered,failed" default:"" help:"Only this state: planned, sending, unknown, dead, cancelled, sent, delivered, rendered or failed."`
	Queue  string `placeholder:"QUEUE" enum:",sms,pdf,notification" default:"" help:"Only this queue: sms, pdf or notification."`
	Event  string `placeholder:"ID" help:"Only deliveries that follow from this event."`
	Rule   string `placeholder:"NAME" help:"Only deliveries of this rule, for example absence."`
}

// path returns the address of a page of the selected deliveries.
func (f jobsFilter) path(after string, limit int) string {
	query := url.Values{"limit": {fmt.Sprint(limit)}}
	for name, value := range map[string]string{
		"school": f.School, "state": f.State, "queue": f.Queue, "event": f.Event, "rule": f.Rule,
		"after": after,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return operationsPath + "/deliveries?" + query.Encode()
}

type jobsListCommand struct {
	jobsTarget `embed:""`
	jobsFilter `embed:""`
	After      string `placeholder:"ID" help:"Continue after this delivery."`
	Limit      int    `default:"50" placeholder:"N" help:"Maximum number of deliveries, up to 500."`
}

func (c *jobsListCommand) Run(ctx context.Context, io streams) error {
	return show(ctx, c.jobsTarget, io, c.path(c.After, c.Limit),
		func(w *tabwriter.Writer, page *httpapi.LedgerPage) {
			fmt.Fprintln(w, "ID\tSCHOOL\tPLANNED\tCHANNEL\tRECIPIENT\tRULE\tSTATE\tATTEMPTS\tERROR")
			for _, e := range page.Deliveries {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%.60s\n", e.ID, e.School,
					e.PlannedAt.Local().Format(time.DateTime), e.Channel, printable(e.Recipient),
					e.Planner, e.State, e.Attempts, printable(e.Error))
			}
		})
}

type jobsShowCommand struct {
	jobsTarget `embed:""`
	ID         string `arg:"" help:"The delivery."`
}

func deliveryPath(id string) string {
	return operationsPath + "/deliveries/" + url.PathEscape(id)
}

func (c *jobsShowCommand) Run(ctx context.Context, io streams) error {
	return show(
		ctx,
		c.jobsTarget,
		io,
		deliveryPath(c.ID),
		func(w *tabwriter.Writer, e *ledger.Entry) {
			for _, line := range [][2]string{
				{"delivery", e.ID},
				{"school", e.School},
				{"caused by", e.EventType + " " + e.EventID + " at " + e.Position.String()},
				{"rule", e.Planner},
				{"to", e.Recipient + " by " + string(e.Channel)},
				{"text", e.Template + " " + e.Language},
				{"state", fmt.Sprintf("%s after %s", e.State, quantity(e.Attempts, "attempt", "attempts"))},
				{"provider", e.Provider + " " + e.ProviderID},
				{"error", e.Error},
				{"parameters", string(e.Params)},
			} {
				fmt.Fprintf(w, "%s\t%s\n", line[0], printable(line[1]))
			}
			fmt.Fprintf(w, "\n%s\tplanned\n", e.PlannedAt.Local().Format(time.StampMilli))
			for _, line := range e.Log {
				fmt.Fprintf(
					w, "%s\t%s\tstart %d\t%d ms\t%s\n", line.At.Local().Format(time.StampMilli),
					line.What, line.Start, line.TookMS, printable(line.Detail),
				)
			}
		},
	)
}

type jobsDepthCommand struct {
	jobsTarget `embed:""`
}

func (c *jobsDepthCommand) Run(ctx context.Context, io streams) error {
	return show(ctx, c.jobsTarget, io, operationsPath+"/queues",
		func(w *tabwriter.Writer, all *httpapi.Queues) {
			fmt.Fprintln(w, "QUEUE\tPRIORITY\tSTATE\tJOBS")
			for _, q := range all.Queues {
				if q.Paused {
					fmt.Fprintf(w, "%s\t\tpaused\t\n", q.Queue)
				}
				for _, d := range q.Jobs {
					fmt.Fprintf(w, "%s\t%d\t%s\t%d\n", q.Queue, d.Priority, d.State, d.Jobs)
				}
			}
		})
}

// queueSwitch pauses or resumes a queue.
type queueSwitch struct {
	jobsTarget `embed:""`
	Queue      string `arg:"" enum:"sms,pdf,notification" help:"sms, pdf or notification."`
}

func (c *queueSwitch) run(ctx context.Context, io streams, verb, done string) error {
	var queue httpapi.Queue
	if err := c.post(ctx, operationsPath+"/queues/"+c.Queue+"/"+verb, &queue); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, queue)
	}
	_, err := fmt.Fprintf(io.out, "Queue %s is %s.\n", c.Queue, done)
	return err
}

// post makes a single decision.
func (c jobsTarget) post(ctx context.Context, path string, into any) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	return api.Post(ctx, path, into)
}

type jobsPauseCommand struct {
	queueSwitch `embed:""`
}

func (c *jobsPauseCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "pause", "paused")
}

type jobsResumeCommand struct {
	queueSwitch `embed:""`
}

func (c *jobsResumeCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "resume", "running")
}

type jobsRepairCommand struct {
	jobsTarget `embed:""`
	After      time.Duration `default:"10m" placeholder:"TIME" help:"Only deliveries that have not changed for this long."`
}

func (*jobsRepairCommand) Help() string {
	return `Looks through the whole ledger for deliveries that are due but have no job, for example after River's
table was restored from a backup, and gives them one. Safe at any time: what is done is not done again.`
}

func (c *jobsRepairCommand) Run(ctx context.Context, io streams) error {
	var repaired httpapi.Repaired
	path := operationsPath + "/deliveries/repair?after=" + url.QueryEscape(c.After.String())
	if err := c.post(ctx, path, &repaired); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, repaired)
	}
	_, err := fmt.Fprintf(io.out, "Repaired %s.\n",
		quantity(repaired.Repaired, "delivery", "deliveries"))
	return err
}
