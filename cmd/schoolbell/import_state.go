package main

import (
	"context"
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/client"
)

func importsOf(school string) string { return "/v1/schools/" + url.PathEscape(school) + "/imports" }

func importOf(school, id string) string { return importsOf(school) + "/" + url.PathEscape(id) }

// importList is a response.
type importList struct {
	Imports []imports.Plan `json:"imports"`
}

// listImports returns the imports of a school in a state, or in all when it is empty.
func listImports(
	ctx context.Context, api *client.Client, school string, state imports.State,
) ([]imports.Plan, error) {
	query := url.Values{"limit": {"200"}}
	if state != "" {
		query.Set("state", string(state))
	}
	var list importList
	err := api.Get(ctx, importsOf(school)+"?"+query.Encode(), &list)
	return list.Imports, err
}

// finishImport applies a plan to its end, and stores how it stands.
func finishImport(
	ctx context.Context, api *client.Client, school string, plan *imports.Plan,
	given imports.Consents, more func(int64),
) error {
	body := map[string]any{"consent": given}
	for plan.State != imports.Applied && plan.Total > 0 {
		was := plan.Written
		err := api.PostDocument(ctx, importOf(school, plan.ID)+"/apply", body, plan)
		if err != nil {
			return err
		}
		more(plan.Written - was)
	}
	return nil
}

type importListCommand struct {
	remote `embed:""`

	School schoolID      `arg:"" help:"School whose imports they are."`
	State  imports.State `placeholder:"STATE" enum:",planned,applying,applied,cancelled" default:"" help:"Only those in this state: planned, applying, applied or cancelled."`
	JSON   bool          `name:"json" help:"Print JSON."`
}

func (c *importListCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	all, err := listImports(ctx, api, string(c.School), c.State)
	switch {
	case err != nil:
		return err
	case c.JSON:
		return printJSON(io.out, importList{all})
	case len(all) == 0:
		_, err := fmt.Fprintln(io.out, "There are no imports.")
		return err
	}
	w := tabwriter.NewWriter(io.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSOURCE\tSTATE\tEVENTS\tIN THE LOG\tPLANNED\tBY")
	for _, p := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", p.ID, printable(p.Source), p.State, p.Total,
			p.Written, p.CreatedAt.Local().Format(time.DateTime), printable(p.CreatedBy))
	}
	return w.Flush()
}

// importTarget is one import.
type importTarget struct {
	remote `embed:""`

	School schoolID `arg:"" help:"School whose import it is."`
	ID     string   `arg:"" help:"The import's id."`
	JSON   bool     `name:"json" help:"Print the import as JSON."`
}

// print says how the import stands.
func (c *importTarget) print(io streams, plan *imports.Plan) error {
	if c.JSON {
		return printJSON(io.out, plan)
	}
	_, err := fmt.Fprintf(io.out, "The import is %s: %d of %s in the log.\n", plan.State,
		plan.Written, quantity(plan.Total, "event is", "events are"))
	return err
}

type importApplyCommand struct {
	importTarget `embed:""`

	Yes []string `placeholder:"WHAT:N" help:"Agree to ends that need consent, as with import edfi."`
}

func (*importApplyCommand) Help() string {
	return `An import that was cut off goes on where it stopped; nothing is written twice. A plan that is not begun is compared with
the tables again, and refused when they have changed since. The exit code is 3 when --yes is needed and nothing was changed.`
}

func (c *importApplyCommand) Run(ctx context.Context, io streams) error {
	given, err := consentsOf(c.Yes)
	if err != nil {
		return usageError{err}
	}
	api, err := c.importClient()
	if err != nil {
		return err
	}
	defer api.Close()
	var plan imports.Plan
	if err := api.Get(ctx, importOf(string(c.School), c.ID), &plan); err != nil {
		return err
	}
	if left := given.Refuses(plan.Asks); plan.State == imports.Planned && len(left) > 0 {
		printAsks(io.out, left)
		return exitCode(exitGuard)
	}
	bar := progress(io.err, plan.Total-plan.Written, "applying", false)
	defer func() { _ = bar.Finish() }()
	if err := finishImport(ctx, api, string(c.School), &plan, given,
		func(n int64) { _ = bar.Add64(n) }); err != nil {
		return err
	}
	return c.print(io, &plan)
}

type importCancelCommand struct {
	importTarget `embed:""`
}

func (*importCancelCommand) Help() string {
	return `The import writes no more, and others of its source may begin. What it has written stays in the log; the next import of
the package writes the rest. One that is applied cannot be cancelled: import what should hold in its place.`
}

func (c *importCancelCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()
	var plan imports.Plan
	if err := api.Post(ctx, importOf(string(c.School), c.ID)+"/cancel", &plan); err != nil {
		return err
	}
	return c.print(io, &plan)
}
