package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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

// read reads all pages of the letters of a kind; an empty one is all kinds.
func (c *deadLettersTarget) read(
	ctx context.Context, api *client.Client, kind deadletter.Kind,
) ([]httpapi.DeadLetter, error) {
	query := url.Values{}
	for name, value := range map[string]string{"school": c.School, "kind": string(kind)} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return allPages(ctx, api, operationsPath+"/deadletters", query,
		func(page *httpapi.DeadLetters) ([]httpapi.DeadLetter, string) {
			return page.DeadLetters, page.Next
		})
}

type deadLettersListCommand struct {
	deadLettersTarget `embed:""`
	Kind              deadletter.Kind `placeholder:"KIND" enum:",inbox,log,plan,conflict" default:"" help:"Only this kind: inbox, log, plan or conflict."`
}

func (c *deadLettersListCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	all, err := c.read(ctx, api, c.Kind)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(io.out, httpapi.DeadLetters{DeadLetters: all})
	case len(all) == 0:
		_, err := fmt.Fprintln(io.out, "There are no dead letters.")
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tKIND\tFROM\tSCHOOL\tTYPE\tEVENT\tSINCE\tREASON")
	for _, l := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.120s\n", l.ID, l.Kind,
			strings.TrimSpace(l.Topic+" "+l.Position.String()), printable(l.School),
			printable(l.Type), printable(l.EventID), l.At.Local().Format(time.DateTime),
			printable(l.Reason))
	}
	return w.Flush()
}

type deadLettersShowCommand struct {
	jobsTarget `embed:""`
	ID         string `arg:"" help:"As deadletters list prints it, for example 17 or 7:1042-k3f9a."`
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
	IDs               []string `arg:"" optional:"" name:"id" help:"As deadletters list prints them, for example 17 or 7:1042-k3f9a (default: all of the kinds inbox and plan)."`
}

func (*deadLettersRetryCommand) Help() string {
	return `Plans each event again with the current facts, and checks what inboxes refused again, as they are
declared now: what is right is appended to the log. Exits with 1 when some remain.

Examples:

  schoolbell deadletters retry
  schoolbell deadletters retry 17 7:1042-k3f9a`
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
	letters, err := c.chosen(ctx, api)
	if err != nil {
		return err
	}
	retried := deadLettersRetried{Remaining: []httpapi.DeadLetter{}}
	for _, l := range letters {
		err := api.Post(ctx, operationsPath+"/deadletters/"+url.PathEscape(l.ID)+"/retry", nil)
		p, ok := errors.AsType[*client.Problem](err)
		switch {
		case err == nil:
			retried.Done++
		case ok && p.Status == http.StatusConflict:
			l.Reason, l.Record = p.Detail, nil
			retried.Remaining = append(retried.Remaining, l)
		case ok && p.Status == http.StatusNotFound: // somebody else has used it meanwhile, or it is too old
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

// chosen are the letters with the given ids, or all that a retry may help: those of the log and in
// conflict stay skipped.
func (c *deadLettersRetryCommand) chosen(
	ctx context.Context, api *client.Client,
) (letters []httpapi.DeadLetter, err error) {
	for _, id := range c.IDs {
		var letter httpapi.DeadLetter
		err := api.Get(ctx, operationsPath+"/deadletters/"+url.PathEscape(id), &letter)
		if err != nil {
			return nil, err
		}
		letters = append(letters, letter)
	}
	if len(c.IDs) > 0 {
		return letters, nil
	}
	for _, kind := range []deadletter.Kind{deadletter.Inbox, deadletter.Plan} {
		some, err := c.read(ctx, api, kind)
		if err != nil {
			return nil, err
		}
		letters = append(letters, some...)
	}
	return letters, nil
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
