package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

type tailCommand struct {
	remote `embed:""`

	School schoolID `required:"" placeholder:"S" help:"School whose log to print."`
	From   string   `placeholder:"POSITION" help:"Start after this position, for example 7:1042-k3f9a (default: from the beginning)."`
	Stop   bool     `help:"Stop at the end of the log instead of waiting for more."`
}

func (*tailCommand) Help() string {
	return `Prints events as NDJSON with their positions, as stored in the log, including repetitions. It follows
the log until interrupted, unless --stop is given.

Examples:

  schoolbell tail --school school-001
  schoolbell tail --school school-001 --from 7:1042-k3f9a --stop | jq -r .type | sort | uniq -c`
}

const (
	tailPage = 1000
	tailWait = 20 * time.Second
)

func (c *tailCommand) Run(ctx context.Context, io streams) error {
	if c.From != "" {
		if err := new(domain.LogPosition).UnmarshalText([]byte(c.From)); err != nil {
			return usageError{fmt.Errorf("--from: %w", err)}
		}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	wait := tailWait
	if c.Stop {
		wait = 0
	}
	out := bufio.NewWriter(io.out)
	after := c.From
	for {
		page, err := api.Events(ctx, string(c.School), after, tailPage, wait)
		if ctx.Err() != nil {
			return nil // an interrupt is the normal end
		}
		if err != nil {
			return err
		}
		for _, event := range page.Events {
			_, _ = out.Write(event) // Flush reports the error
			_ = out.WriteByte('\n')
		}
		if err := out.Flush(); err != nil {
			return fmt.Errorf("print events: %w", err)
		}
		if page.Unreadable > 0 {
			fmt.Fprintf(io.err, "schoolbell: %d events after %s are left out, as the server cannot "+
				"read them: they are of a newer version\n", page.Unreadable, after)
		}
		if c.Stop && len(page.Events) == 0 && after == page.Next.String() {
			return nil
		}
		after = page.Next.String()
	}
}

// printEvents writes events as NDJSON.
func printEvents(w io.Writer, events iter.Seq[*domain.Envelope]) error {
	out := bufio.NewWriter(w)
	var line []byte
	for e := range events {
		var err error
		if line, err = cloudevents.AppendStructured(line[:0], e); err != nil {
			return fmt.Errorf("encode event: %w", err)
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("print events: %w", err)
		}
	}
	return out.Flush()
}
