package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/httpapi"
)

type explainCommand struct {
	remote `embed:""`

	School   schoolID `required:"" placeholder:"S" help:"School of the number."`
	Query    string   `required:"" placeholder:"QUERY" help:"Query whose response has the number, for example fees."`
	Field    string   `required:"" placeholder:"POINTER" help:"Where the number is in the response, for example /totals/0/outstanding."`
	Year     string   `placeholder:"YEAR" help:"As in the request for the response."`
	Term     string   `placeholder:"TERM" help:"As in the request for the response."`
	Position string   `placeholder:"POSITION" help:"Schoolbell-Position of the response (default: where the tables stand)."`
	JSON     bool     `name:"json" help:"Print JSON."`
}

func (*explainCommand) Help() string {
	return `Prints the events that a number of a response is made of, in the order of the log, and what each of them adds.
Of events that the token may not see it says only how many they are.

Examples:

  schoolbell explain --school oak --query fees --field /totals/0/outstanding
  schoolbell explain --school oak --query fees --field /by_term/1/collection_rate --year 2026-2027`
}

func (c *explainCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	x, err := c.explain(ctx, api)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, x)
	}
	fmt.Fprintf(io.out, "%s %s is %s", c.Query, c.Field, x.Value)
	if x.Numerator != nil {
		fmt.Fprintf(io.out, " = %s / %s", x.Numerator, x.Denominator)
	}
	fmt.Fprintf(io.out, " on %s (%s), at %s: %s", x.Today, x.TimeZone, x.Position,
		quantity(x.Count, "event", "events"))
	if x.Hidden > 0 {
		fmt.Fprintf(io.out, ", %d of which the token may not see", x.Hidden)
	}
	fmt.Fprintln(io.out, ".")
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	for _, e := range x.Events {
		added := string(e.Added)
		if x.Numerator != nil {
			added = string(e.Numerator) + " / " + string(e.Denominator)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Position, e.Time.Format(time.RFC3339), e.Type,
			printable(e.Subject), added)
	}
	return w.Flush()
}

// explain reads all pages, at the position of the first.
func (c *explainCommand) explain(
	ctx context.Context, api *client.Client,
) (all httpapi.Explanation, err error) {
	parameters := url.Values{"query": {c.Query}, "field": {c.Field}, "limit": {"1000"}}
	for name, value := range map[string]string{
		"year": c.Year, "term": c.Term, "position": c.Position,
	} {
		if value != "" {
			parameters.Set(name, value)
		}
	}
	for {
		var page httpapi.Explanation
		if err := api.Get(ctx, "/v1/schools/"+url.PathEscape(string(c.School))+"/explain?"+
			parameters.Encode(), &page); err != nil {
			return all, err
		}
		page.Events = append(all.Events, page.Events...)
		all = page
		if page.Next == 0 {
			return all, nil
		}
		parameters.Set("position", page.Position.String())
		parameters.Set("after", strconv.FormatInt(page.Next, 10))
	}
}
