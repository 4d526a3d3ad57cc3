package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type auditCommand struct {
	remote `embed:""`

	School  string    `required:"" placeholder:"S" help:"School of the records."`
	Subject string    `placeholder:"U" help:"Only what this reader read (sub)."`
	Student string    `placeholder:"ID" help:"Only reads of this student."`
	Thing   string    `placeholder:"THING" help:"Only reads of this thing, as it is printed."`
	From    time.Time `placeholder:"TIME" help:"Only from this hour on, for example 2026-09-01T00:00:00Z."`
	To      time.Time `placeholder:"TIME" help:"Only before this hour."`
	JSON    bool      `name:"json" help:"Print JSON."`
}

func (*auditCommand) Help() string {
	return `Prints a record for each reader, thing, channel and hour, the latest hours first: students, documents, lists
with their filters, rooms, and what was refused. "audit: gap" says that records are missing.

Examples:

  schoolbell audit --school school-001 --student st-0042
  schoolbell audit --school school-001 --subject t-007 --from 2026-09-01T00:00:00Z`
}

func (c *auditCommand) Run(ctx context.Context, io streams) error {
	query := url.Values{"limit": {"1000"}}
	switch {
	case c.Student != "" && c.Thing != "":
		return usageError{errors.New("give --student or --thing")}
	case c.Student != "":
		query.Set("thing", "student:"+c.Student)
	case c.Thing != "":
		query.Set("thing", c.Thing)
	}
	if c.Subject != "" {
		query.Set("subject", c.Subject)
	}
	for name, at := range map[string]time.Time{"from": c.From, "to": c.To} {
		if !at.IsZero() {
			query.Set(name, at.Format(time.RFC3339))
		}
	}
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var all httpapi.Audit
	all.Records, err = allPages(ctx, api, "/v1/schools/"+url.PathEscape(c.School)+"/audit", query,
		func(page *httpapi.Audit) ([]audit.Record, string) { return page.Records, page.Next })
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		return printJSON(io.out, all)
	case len(all.Records) == 0:
		_, err := fmt.Fprintln(io.out, "There are no such records.")
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAST\tREADER\tROLES\tTHING\tCHANNEL\tTIMES\t")
	for _, r := range all.Records {
		refused := ""
		if r.Refused {
			refused = "refused"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", r.LastAt.Local().Format(time.DateTime),
			printable(r.Subject), printable(r.Roles), printable(r.Thing), r.Channel, r.Count, refused)
	}
	return w.Flush()
}
