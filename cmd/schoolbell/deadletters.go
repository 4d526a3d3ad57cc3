package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type deadLettersCommand struct {
	List  deadLettersListCommand  `cmd:"" help:"List the records that nobody can use, and why."`
	Show  deadLettersShowCommand  `cmd:"" help:"Print one of them, with all faults and its record."`
	Retry deadLettersRetryCommand `cmd:"" help:"Use them after all, once the cause is fixed."`
}

func (*deadLettersCommand) Help() string {
	return `A record is a dead letter when an inbox refused it, when readers of the log skip it, when its id is
the one of another event, or when no deliveries can be planned for it; later ones do not wait for it.
Once the cause is fixed, retry checks or plans it again.`
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
			fmt.Fprintln(w, "ID\tKIND\tFROM\tSCHOOL\tTYPE\tEVENT\tSINCE\tREASON")
			for _, l := range all.DeadLetters {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.120s\n", l.ID, l.Kind,
					strings.TrimSpace(l.Topic+" "+l.Position.String()), printable(l.School),
					printable(l.Type), printable(l.EventID), l.At.Local().Format(time.DateTime),
					printable(l.Reason))
			}
		})
}

type deadLettersShowCommand struct {
	jobsTarget `embed:""`
	ID         string `arg:"" help:"As deadletters list prints it, for example 17 or 7:1042."`
}

func (c *deadLettersShowCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var letter httpapi.DeadLetter
	err = api.Get(ctx, operationsPath+"/deadletters/"+url.PathEscape(c.ID), &letter)
	if err != nil {
		return err
	}
	return printJSON(io.out, letter)
}

type deadLettersRetryCommand struct {
	deadLettersTarget `embed:""`
	IDs               []string `arg:"" optional:"" name:"id" help:"As deadletters list prints them, for example 17 or 7:1042 (default: all but those of the log)."`
}

func (*deadLettersRetryCommand) Help() string {
	return `Plans each event again with the current facts, and checks what inboxes refused again, as they are
declared now: what is right is appended to the log. Exits with 1 when some remain.

Examples:

  schoolbell deadletters retry
  schoolbell deadletters retry 17 7:1042`
}

// deadLettersRetried is the result of a retry.
type deadLettersRetried struct {
	Done      int                  `json:"done"`
	Remaining []httpapi.DeadLetter `json:"remaining"`
}

func (c *deadLettersRetryCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var all httpapi.DeadLetters
	if err := api.Get(ctx, c.path(), &all); err != nil {
		return err
	}
	letters := slices.DeleteFunc(all.DeadLetters, func(l httpapi.DeadLetter) bool {
		if len(c.IDs) == 0 {
			return l.Kind == deadletter.Log || l.Kind == deadletter.Conflict // they stay skipped
		}
		return !slices.Contains(c.IDs, l.ID)
	})
	if len(letters) < len(c.IDs) {
		return errors.New("some of these are not dead letters; deadletters list prints which are")
	}
	retried := deadLettersRetried{Remaining: []httpapi.DeadLetter{}}
	for _, l := range letters {
		err := api.Post(ctx, operationsPath+"/deadletters/"+url.PathEscape(l.ID)+"/retry", nil)
		p, ok := errors.AsType[*client.Problem](err)
		switch {
		case err == nil:
			retried.Done++
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
	_, err := fmt.Fprintf(io.out, "Used %s, %d remain dead letters.\n",
		quantity(r.Done, "record", "records"), len(r.Remaining))
	return err
}
