package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

// jobsChange applies a verb to deliveries, which are given or selected.
type jobsChange struct {
	jobsTarget `embed:""`
	jobsFilter `embed:""`
	Yes        bool     `help:"Do not ask for confirmation."`
	IDs        []string `arg:"" optional:"" name:"id" help:"The deliveries (default: those that the flags select)."`
}

// pageSize is how many deliveries are selected at a time.
const pageSize = 100

// run applies the verb to each delivery, and prints how many have changed. The check may refuse
// one.
func (c *jobsChange) run(
	ctx context.Context, io streams, verb, done string, check func(*ledger.Entry) error,
) error {
	if len(c.IDs) == 0 && c.jobsFilter == (jobsFilter{}) {
		return usageError{errors.New("give deliveries, or select them by flags")}
	}
	if len(c.IDs) == 0 {
		consequence := "Every delivery that the flags select will be " + done + "."
		if err := confirm(io, c.Yes, consequence); err != nil {
			return err
		}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	changed := 0
	apply := func(e *ledger.Entry) error {
		if err := check(e); err != nil {
			return err
		}
		path := fmt.Sprintf("/v1/schools/%s/deliveries/%s/%s",
			url.PathEscape(e.School), url.PathEscape(e.ID), verb)
		err := api.Post(ctx, path, nil)
		p, ok := errors.AsType[*client.Problem](err)
		if ok && p.Status == http.StatusConflict && len(c.IDs) == 0 {
			return nil // its state has changed, or the filter selects other states too
		}
		if err == nil {
			changed++
		}
		return err
	}
	if len(c.IDs) > 0 {
		err = c.each(ctx, api, apply)
	} else {
		err = c.selected(ctx, api, apply)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]int{done: changed})
	}
	_, err = fmt.Fprintf(io.out, "%s %s.\n", quantity(changed, "delivery", "deliveries"), done)
	return err
}

// each applies a change to the given deliveries.
func (c *jobsChange) each(
	ctx context.Context, api *client.Client, apply func(*ledger.Entry) error,
) error {
	for _, id := range c.IDs {
		var e ledger.Entry
		if err := api.Get(ctx, deliveryPath(id), &e); err != nil {
			return err
		}
		if err := apply(&e); err != nil {
			return err
		}
	}
	return nil
}

// selected applies a change to all deliveries that the flags select.
func (c *jobsChange) selected(
	ctx context.Context, api *client.Client, apply func(*ledger.Entry) error,
) error {
	for after := ""; ; {
		var page httpapi.LedgerPage
		if err := api.Get(ctx, c.path(after, pageSize), &page); err != nil {
			return err
		}
		for _, e := range page.Deliveries {
			if err := apply(e); err != nil {
				return err
			}
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

// anyDelivery is a check that refuses none.
func anyDelivery(*ledger.Entry) error { return nil }

type jobsRetryCommand struct {
	jobsChange `embed:""`
}

func (*jobsRetryCommand) Help() string {
	return `A delivery in the state unknown may have been sent, so its recipient may get it twice. You are asked to
confirm each of them, unless you give --yes.

Examples:

  schoolbell jobs retry b1363bce6f126b6e3afe6479566d4573
  schoolbell jobs retry --state dead --queue sms --yes`
}

func (c *jobsRetryCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "retry", "retried", func(e *ledger.Entry) error {
		if e.State != consumers.Unknown {
			return nil
		}
		return confirm(
			io, c.Yes, "Delivery "+e.ID+" may have been sent already, and may be sent twice.",
		)
	})
}

type jobsDiscardCommand struct {
	jobsChange `embed:""`
}

func (*jobsDiscardCommand) Help() string {
	return `They count as failed.

Example:

  schoolbell jobs discard --state dead --school school-001`
}

func (c *jobsDiscardCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "discard", "discarded", anyDelivery)
}

type jobsCancelCommand struct {
	jobsChange `embed:""`
}

func (*jobsCancelCommand) Help() string {
	return `Example:

  schoolbell jobs cancel --school school-001 --rule absence`
}

func (c *jobsCancelCommand) Run(ctx context.Context, io streams) error {
	return c.run(ctx, io, "cancel", "cancelled", anyDelivery)
}
