package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

type parkedCommand struct {
	List  parkedListCommand  `cmd:"" help:"List the parked subjects, and why they are parked."`
	Show  parkedShowCommand  `cmd:"" help:"Print the events of a parked subject."`
	Retry parkedRetryCommand `cmd:"" help:"Retry parked subjects now."`
	Skip  parkedSkipCommand  `cmd:"" help:"Give up the first parked event of a subject, for good."`
}

func (*parkedCommand) Help() string {
	return `When an event cannot be folded, it and all later events of its subject are parked, while everything else
continues. They are retried automatically, at growing intervals and by every new version. When a school has as many
parked subjects as it may (--projections-max-parked of serve), all its later events are parked too; they are listed as
one line without a subject, and folded in order once there is room.`
}

type parkedListCommand struct {
	tablesTarget `embed:""`

	School string `placeholder:"S" help:"Only this school."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c *parkedListCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, func(store *postgres.ProjectionStore) error {
		if err := checkSchool(ctx, store, c.School); err != nil {
			return err
		}
		all, err := store.ListParked(ctx, c.School)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(io.out, parkedRows(all))
		}
		if len(all) == 0 {
			_, err := fmt.Fprintln(io.out, "Nothing is parked.")
			return err
		}
		w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "SCHOOL\tSUBJECT\tFIRST\tEVENTS\tSINCE\tATTEMPTS\tREASON")
		for _, a := range all {
			fmt.Fprintf(
				w, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", printable(a.School), cmp.Or(printable(a.Subject), "(the whole school)"),
				a.First(), a.Events, a.ParkedAt.Format(time.RFC3339), a.Attempts,
				printable(a.Reason),
			)
		}
		return w.Flush()
	})
}

// checkSchool makes sure that there is a school of that name, if one is given.
func checkSchool(ctx context.Context, store *postgres.ProjectionStore, school string) error {
	if school == "" {
		return nil
	}
	return store.CheckSchool(ctx, school)
}

// parkedRow is a parked subject in JSON.
type parkedRow struct {
	School   string    `json:"school"`
	Subject  string    `json:"subject"`
	First    string    `json:"first"`
	Events   int64     `json:"events"`
	Reason   string    `json:"reason"`
	Attempts int       `json:"attempts"`
	ParkedAt time.Time `json:"parked_at"`
	RetryAt  time.Time `json:"retry_at"`
}

func parkedRows(all []postgres.ParkedEntry) []parkedRow {
	rows := make([]parkedRow, len(all))
	for i, a := range all {
		rows[i] = parkedRow{
			a.School,
			a.Subject,
			a.First().String(),
			a.Events,
			a.Reason,
			a.Attempts,
			a.ParkedAt,
			a.RetryAt,
		}
	}
	return rows
}

type parkedShowCommand struct {
	tablesTarget `embed:""`

	School  string `arg:"" help:"School of the subject."`
	Subject string `arg:"" help:"The subject; '' for a school that is parked whole."`
}

func (*parkedShowCommand) Help() string {
	return `Prints NDJSON: the events, and for a record that is not a valid event what it contains.

Example:

  schoolbell parked show school-001 st-0042`
}

// parkedShowMax bounds the output of parked show.
const parkedShowMax = 10_000

func (c *parkedShowCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, func(store *postgres.ProjectionStore) error {
		if err := checkSchool(ctx, store, c.School); err != nil {
			return err
		}
		all, err := store.ListParked(ctx, c.School)
		if err != nil {
			return err
		}
		for _, a := range all {
			if a.Subject != c.Subject {
				continue
			}
			records, err := store.ParkedEvents(ctx, a.Partition, a.SubjectKey, parkedShowMax)
			if err != nil {
				return fmt.Errorf("read parked events: %w", err)
			}
			for _, r := range records {
				line, err := eventOrRecord(r)
				if err != nil {
					return err
				}
				fmt.Fprintf(io.out, "%s\n", line)
			}
			return nil
		}
		return errors.New("subject is not parked")
	})
}

// eventOrRecord formats a record as an event, or as stored in the log if it is not a valid one.
func eventOrRecord(r eventlog.Record) ([]byte, error) {
	if e, err := cloudevents.Decode(r); err == nil {
		return cloudevents.AppendLogged(nil, e, "")
	}
	headers := map[string]string{}
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	return json.Marshal(map[string]any{
		"position": r.Position, "key": string(r.Key), "headers": headers, "value": string(r.Value),
	}, jsontext.AllowInvalidUTF8(true), json.Deterministic(true))
}

type parkedRetryCommand struct {
	tablesTarget `embed:""`

	School  string `arg:"" optional:"" help:"Only this school."`
	Subject string `arg:"" optional:"" help:"Only this subject."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (*parkedRetryCommand) Help() string {
	return `The processes with the role projections retry within a few seconds; parked list shows what remains.

Examples:

  schoolbell parked retry
  schoolbell parked retry school-001 st-0042`
}

func (c *parkedRetryCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, func(store *postgres.ProjectionStore) error {
		if err := checkSchool(ctx, store, c.School); err != nil {
			return err
		}
		n, err := store.RequestRetry(ctx, c.School, c.Subject)
		if err != nil {
			return err
		}
		if n == 0 && c.Subject != "" {
			return errors.New("subject is not parked")
		}
		if c.JSON {
			return printJSON(io.out, map[string]any{"requested": n})
		}
		_, err = fmt.Fprintf(
			io.out, "%s will be retried now.\n", quantity(n, "subject", "subjects"),
		)
		return err
	})
}

type parkedSkipCommand struct {
	remote `embed:""`

	School   string `arg:"" help:"School of the subject."`
	Subject  string `arg:"" help:"The subject; '' for a school that is parked whole."`
	Reason   string `required:"" placeholder:"TEXT" help:"Why; it is in the log for ever."`
	Position string `placeholder:"POSITION" help:"Skip only the event there, for example 7:1042-k3f9a."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

func (*parkedSkipCommand) Help() string {
	return `Appends to the log that the subject's first parked event is folded by nobody: neither now nor by a rebuild or a
later version. The later events of the subject are then folded in order. What was planned because of the event stays.
It is final; report the same fact with a new event. Exits with 1 when the subject is not parked.

Examples:

  schoolbell parked skip school-001 st-0042 --reason "sent by a test system"
  schoolbell parked skip school-001 st-0042 --position 7:1042-k3f9a --reason "sent by a test system"`
}

func (c *parkedSkipCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	query := url.Values{"subject": {c.Subject}, "reason": {c.Reason}}
	if c.Position != "" {
		query.Set("position", c.Position)
	}
	var done httpapi.Skipped
	if err := api.Post(ctx, operationsPath+"/schools/"+url.PathEscape(c.School)+"/parked/skip?"+
		query.Encode(), &done); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, done)
	}
	_, err = fmt.Fprintf(io.out, "The event at %s is skipped, as the log says at %s.\n",
		done.Position, done.By)
	return err
}
