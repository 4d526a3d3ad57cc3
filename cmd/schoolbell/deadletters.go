package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type deadLettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List the events that could not be planned, and why."`
	Show  deadLettersShowCommand  `cmd:"" help:"Print one of them, with the whole reason."`
	Retry deadLettersRetryCommand `cmd:"" help:"Plan them again."`
}

func (*deadLettersCommand) Help() string {
	return `An event whose deliveries cannot be planned, or that cannot be read, becomes a dead letter; later events
do not wait for it. Once the cause is fixed, retry plans it again.`
}

// deadLettersTarget is where dead letters are listed, and of which school.
type deadLettersTarget struct {
	jobsTarget `embed:""`
	School     string `placeholder:"ID" help:"Only this school."`
}

func (c *deadLettersTarget) path() string {
	if c.School == "" {
		return operationsPath + "/deadletters"
	}
	return operationsPath + "/deadletters?school=" + url.QueryEscape(c.School)
}

type deadLettersListCommand struct {
	deadLettersTarget `embed:""`
}

func (c *deadLettersListCommand) Run(ctx context.Context, io streams) error {
	return show(ctx, c.jobsTarget, io, c.path(),
		func(w *tabwriter.Writer, all *httpapi.DeadLetters) {
			if len(all.DeadLetters) == 0 {
				fmt.Fprintln(w, "There are no dead letters.")
				return
			}
			fmt.Fprintln(w, "POSITION\tSCHOOL\tTYPE\tEVENT\tSINCE\tREASON")
			for _, l := range all.DeadLetters {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.120s\n", l.Position, printable(l.School),
					printable(l.Type), printable(l.EventID), l.At.Local().Format(time.DateTime),
					printable(l.Reason))
			}
		})
}

type deadLettersShowCommand struct {
	jobsTarget `embed:""`
	Position   string `arg:"" help:"Position of the event, for example 7:1042."`
}

func (c *deadLettersShowCommand) Run(ctx context.Context, io streams) error {
	at, err := domain.ParsePosition(c.Position)
	if err != nil {
		return usageError{err}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var all httpapi.DeadLetters
	if err := api.Get(ctx, operationsPath+"/deadletters", &all); err != nil {
		return err
	}
	for _, l := range all.DeadLetters {
		if l.Position == at {
			return printJSON(io.out, l)
		}
	}
	return fmt.Errorf("the event at %s is not a dead letter; deadletters list prints which are", at)
}

type deadLettersRetryCommand struct {
	deadLettersTarget `embed:""`
	Positions         []string `arg:"" optional:"" name:"position" help:"Positions, for example 7:1042 (default: all)."`
}

func (*deadLettersRetryCommand) Help() string {
	return `Plans each event again with the current facts; its deliveries are then executed at once. Exits with 1
when some still cannot be planned.

Examples:

  schoolbell deadletters retry
  schoolbell deadletters retry 7:1042`
}

// deadLettersRetried is the result of a retry.
type deadLettersRetried struct {
	Planned   int                 `json:"planned"`
	Remaining []ledger.DeadLetter `json:"remaining"`
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
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var all httpapi.DeadLetters
	if err := api.Get(ctx, c.path(), &all); err != nil {
		return err
	}
	letters := slices.DeleteFunc(all.DeadLetters, func(l ledger.DeadLetter) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, l.Position)
	})
	if len(letters) < len(wanted) {
		return errors.New("some of these positions are not dead letters; deadletters list prints which are")
	}
	retried := deadLettersRetried{Remaining: []ledger.DeadLetter{}}
	for _, l := range letters {
		err := api.Post(ctx, operationsPath+"/deadletters/"+l.Position.String()+"/retry", nil)
		p, ok := errors.AsType[*client.Problem](err)
		switch {
		case err == nil:
			retried.Planned++
		case ok && p.Status == http.StatusConflict:
			l.Reason = p.Detail
			retried.Remaining = append(retried.Remaining, l)
		default:
			return err
		}
	}
	if err := retried.print(io, c.JSON); err != nil {
		return err
	}
	if len(retried.Remaining) > 0 {
		return exitCode(exitFailed)
	}
	return nil
}

func (r *deadLettersRetried) print(io streams, asJSON bool) error {
	if asJSON {
		return printJSON(io.out, r)
	}
	for _, l := range r.Remaining {
		fmt.Fprintf(io.out, "school %s: %s\n", printable(l.School), printable(l.Reason))
	}
	_, err := fmt.Fprintf(io.out, "Planned %s, %d remain dead letters.\n",
		quantity(r.Planned, "event", "events"), len(r.Remaining))
	return err
}
