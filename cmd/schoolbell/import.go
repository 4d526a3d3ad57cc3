package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/schoolbell/schoolbell/internal/client"
	"github.com/schoolbell/schoolbell/internal/edfi"
)

type importCommand struct {
	EdFi importEdFiCommand `cmd:"" name:"edfi" help:"Publish a directory of Ed-Fi XML interchange files."`
}

type importEdFiCommand struct {
	remote `embed:""`

	Dir  string `arg:"" type:"existingdir" help:"Directory of the files."`
	JSON bool   `name:"json" help:"Print the report as JSON."`
}

func (*importEdFiCommand) Help() string {
	return `Importing the same files again changes nothing. The report tells what could not be used, and why.

Example:

  schoolbell import edfi ./interchange`
}

func (c *importEdFiCommand) Run(ctx context.Context, io streams) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	defer api.Close()

	bar := progress(io.err, -1, "reading", true)
	files, err := edfi.Open(ctx, os.DirFS(c.Dir), func(read, total int64) {
		bar.ChangeMax64(total)
		_ = bar.Set64(read) // only looks; so do the others
	})
	if err != nil {
		return err
	}
	var report *edfi.Report
	totals, err := api.Stream(ctx, nil, func(s *client.Stream) (err error) {
		report, err = files.Events(ctx, s.Send)
		return err
	})
	_ = bar.Finish()
	if err != nil {
		return errors.Join(err, fmt.Errorf("%d events are in the log; importing again goes on from there", totals.Events))
	}
	if c.JSON {
		return printJSON(io.out, report)
	}
	return printReport(io.out, report)
}

func printReport(out io.Writer, r *edfi.Report) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%d students and %d relations at %d schools\n\n", r.Students, r.Relations, len(r.Schools))
	fmt.Fprintln(w, "EVENTS\tTYPE")
	for _, name := range sortedKeys(r.Events) {
		fmt.Fprintf(w, "%d\t%s\n", r.Events[name], name)
	}
	for _, part := range []struct {
		title    string
		findings []edfi.Finding
	}{{"TAKEN WITH A CHANGE", r.Adjusted}, {"NOT USED", r.Unused}} {
		if len(part.findings) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\tRECORD\tREASON\n", part.title)
		for _, f := range part.findings {
			fmt.Fprintf(w, "%d\t%s\t%s\n", f.Count, f.Record, f.Reason)
			if len(f.Samples) > 0 {
				fmt.Fprintf(w, "\t\tas %s\n", strings.Join(f.Samples, ", "))
			}
		}
	}
	return w.Flush()
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
