package main

import (
	"context"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/ingest/authors"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type actorsCommand struct {
	remote `embed:""`

	School  string `required:"" placeholder:"S" help:"School of the events."`
	Actor   string `arg:"" optional:"" help:"The authsub of an event (default: all who wrote events)."`
	Subject string `placeholder:"U" help:"Only those with this subject (sub)."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (*actorsCommand) Help() string {
	return `Events say by whom they were written in authsub, as a hash, and with which token in authjti. Whom a
hash stands for is in the tables, for the school's administrators.

Examples:

  schoolbell actors --school school-001
  schoolbell actors --school school-001 token:Vq0Zr3l2c1mWmYpL0mPp8A
  schoolbell actors --school school-001 --subject ada`
}

func (c *actorsCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	query := url.Values{"limit": {"1000"}}
	for name, value := range map[string]string{"actor": c.Actor, "subject": c.Subject} {
		if value != "" {
			query.Set(name, value)
		}
	}
	var all httpapi.Actors
	all.Actors, err = allPages(ctx, api, "/v1/schools/"+url.PathEscape(c.School)+"/actors", query,
		func(page *httpapi.Actors) ([]authors.Actor, string) { return page.Actors, page.Next })
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(io.out, all)
	case len(all.Actors) == 0:
		_, err := fmt.Fprintln(io.out, "Nobody of that name has written events with a token.")
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ACTOR\tSUBJECT\tOPERATOR\tFIRST SEEN")
	for _, a := range all.Actors {
		fmt.Fprintf(w, "%s\t%s\t%t\t%s\n", a.Actor, printable(a.Subject), a.Operator,
			a.FirstAt.Local().Format(time.DateTime))
	}
	return w.Flush()
}
