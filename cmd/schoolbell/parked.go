package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

type parkedCommand struct {
	List  parkedListCommand  `cmd:"" help:"List the subjects that are parked, and why."`
	Show  parkedShowCommand  `cmd:"" help:"Print a parked subject's events."`
	Retry parkedRetryCommand `cmd:"" help:"Try parked subjects now."`
}

func (*parkedCommand) Help() string {
	return `An event that cannot be folded is kept aside together with the later ones of its subject, while everything else goes on.
They are tried again by themselves, at growing intervals and by every new version.`
}

// tablesTarget is where the tables are.
type tablesTarget struct {
	DatabaseURL string `name:"database-url" env:"SCHOOLBELL_DATABASE_URL" placeholder:"postgres://…" help:"Database; else that of the serve on the data directory."`
	Data        string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
}

func (c tablesTarget) url() (string, error) {
	if c.DatabaseURL != "" {
		return c.DatabaseURL, nil
	}
	at, err := program.ReadAddress(c.Data)
	return at.Database, err
}

// with opens the projections' store for as long as do takes.
func (c tablesTarget) with(ctx context.Context, do func(*postgres.ProjectionStore) error) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: url, Role: postgres.Projector, MaxConns: 1})
	if err != nil {
		return usageError{err}
	}
	defer pool.Close()
	return do(postgres.NewProjectionStore(pool, set, program.SetName))
}

type parkedListCommand struct {
	tablesTarget `embed:""`

	School string `placeholder:"S" help:"Of one school only."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c *parkedListCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, func(store *postgres.ProjectionStore) error {
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
		fmt.Fprintln(w, "SCHOOL\tSUBJECT\tFIRST\tEVENTS\tSINCE\tTRIED\tWHY")
		for _, a := range all {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%d\t%s\n", printable(a.School), printable(a.Subject), a.First(), a.Events,
				a.ParkedAt.Format(time.RFC3339), a.Attempts, printable(a.Reason))
		}
		return w.Flush()
	})
}

// printable writes what a producer has chosen so that it cannot steer the terminal or break the line.
func printable(s string) string {
	quoted := strconv.Quote(s)
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(quoted[1 : len(quoted)-1])
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
		rows[i] = parkedRow{a.School, a.Subject, a.First().String(), a.Events, a.Reason, a.Attempts, a.ParkedAt, a.RetryAt}
	}
	return rows
}

type parkedShowCommand struct {
	tablesTarget `embed:""`

	School  string `arg:"" help:"Whose subject."`
	Subject string `arg:"" help:"Which; a record that names none has an empty one: ''."`
}

func (*parkedShowCommand) Help() string {
	return `Prints NDJSON: the events, or what the record holds where it is no event.

Example:

  schoolbell parked show school-001 st-0042`
}

const parkedShowMax = 10_000

func (c *parkedShowCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, func(store *postgres.ProjectionStore) error {
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
		return errors.New("this subject is not parked")
	})
}

// eventOrRecord prints a record as the event that it is, or as it stands in the log.
func eventOrRecord(r eventlog.Record) ([]byte, error) {
	if e, err := cloudevents.Decode(r); err == nil {
		return cloudevents.AppendLogged(nil, e)
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

	School  string `arg:"" optional:"" help:"Of one school only."`
	Subject string `arg:"" optional:"" help:"Of one subject only."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (*parkedRetryCommand) Help() string {
	return `The owners of the partitions try within a few seconds; parked list shows what remains.

Examples:

  schoolbell parked retry
  schoolbell parked retry school-001 st-0042`
}

func (c *parkedRetryCommand) Run(ctx context.Context, io streams) error {
	return c.with(ctx, func(store *postgres.ProjectionStore) error {
		n, err := store.RequestRetry(ctx, c.School, c.Subject)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(io.out, map[string]any{"requested": n})
		}
		_, err = fmt.Fprintf(io.out, "%s will be tried now.\n", quantity(n, "subject", "subjects"))
		return err
	})
}
