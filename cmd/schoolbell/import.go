package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/internal/client"
)

type importCommand struct {
	EdFi importEdFiCommand `cmd:"" name:"edfi" help:"Publish a directory of Ed-Fi XML interchange files."`
}

type importEdFiCommand struct {
	remote `embed:""`

	Dir  string `arg:"" type:"existingdir" help:"Directory with the files."`
	JSON bool   `name:"json" help:"Print the report as JSON."`
}

func (*importEdFiCommand) Help() string {
	return `The directory holds the Ed-Fi bulk interchange files of one district (StudentEnrollment.xml, Parent.xml
and so on). Importing the same files again changes nothing. The report lists what could not be used,
and why. A server takes the events of a school as fast as it processes them; the import waits, and
goes on.

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
		_ = bar.Set64(read)
	})
	if err != nil {
		return err
	}
	var report *edfi.Report
	totals, err := api.Stream(ctx, func(t client.Totals) {
		bar.Describe(fmt.Sprintf("reading, %d events are in the log", t.Events))
	}, func(s *client.Stream) (err error) {
		report, err = files.Events(ctx, s.Send)
		return err
	})
	_ = bar.Finish()
	if err != nil {
		return errors.Join(err, fmt.Errorf("%d events are in the log; importing again continues from there", totals.Events))
	}
	if c.JSON {
		return printJSON(io.out, report)
	}
	return report.WriteText(io.out)
}
