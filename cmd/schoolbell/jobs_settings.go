package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/plan"
)

type jobsSettingsCommand struct {
	Get jobsSettingsGetCommand `cmd:"" help:"Print what a school has decided about its deliveries."`
	Set jobsSettingsSetCommand `cmd:"" help:"Put what a school has decided in place of what it had decided before."`
}

func (*jobsSettingsCommand) Help() string {
	return `Which rules hold, by which channels, quiet hours, language, time zone, monthly budget of texts, sender, reminders of fees.

Example:

  schoolbell jobs settings get --school school-001 > settings.json
  schoolbell jobs settings set --school school-001 settings.json`
}

type jobsSettingsGetCommand struct {
	jobsTarget `embed:""`
	School     string `required:"" placeholder:"ID" help:"Whose."`
}

// settingsView are settings with what tells versions apart.
type settingsView struct {
	School   string              `json:"school"`
	Version  int64               `json:"version"`
	Settings *consumers.Settings `json:"settings"`
}

func (c *jobsSettingsGetCommand) Run(ctx context.Context, io streams) error {
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	now, err := ledger.NewSettings(pool.Conns()).Current(ctx, c.School)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, settingsView{c.School, now.Version, now})
	}
	if err := json.MarshalWrite(io.out, now, jsontext.WithIndent("  "), json.Deterministic(true)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out)
	return err
}

type jobsSettingsSetCommand struct {
	jobsTarget `embed:""`
	School     string `required:"" placeholder:"ID" help:"Whose."`
	Over       *int64 `placeholder:"VERSION" help:"Only in place of this version, as get --json names it."`
	File       string `arg:"" default:"-" help:"JSON; - is standard input."`
}

func (c *jobsSettingsSetCommand) Run(ctx context.Context, io streams) error {
	written, err := c.read(io.in)
	if err != nil {
		return err
	}
	planners, err := consumers.NewPlanners(plan.Planners()...)
	if err != nil {
		return err
	}
	settings, err := planners.ReadSettings(c.School, written)
	if invalid, ok := errors.AsType[*consumers.InvalidSettingsError](err); ok {
		return c.refuse(io, invalid)
	}
	if err != nil {
		return err
	}
	pool, err := c.pool(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	kept := ledger.NewSettings(pool.Conns())
	over := c.Over
	if over == nil {
		now, err := kept.Current(ctx, c.School)
		if err != nil {
			return err
		}
		over = &now.Version
	}
	version, err := kept.Replace(ctx, settings, *over, operator())
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, settingsView{c.School, version, settings})
	}
	_, err = fmt.Fprintf(io.out, "The settings of school %s are version %d now.\n", c.School, version)
	return err
}

func (c *jobsSettingsSetCommand) read(in io.Reader) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(c.File)
}

// refuse tells all that is wrong, a line each.
func (c *jobsSettingsSetCommand) refuse(io streams, invalid *consumers.InvalidSettingsError) error {
	if c.JSON {
		if err := printJSON(io.out, map[string]any{"errors": invalid.Faults}); err != nil {
			return err
		}
		return exitCode(exitFailed)
	}
	for _, f := range invalid.Faults {
		fmt.Fprintf(io.err, "schoolbell: settings: %s %s\n", f.Pointer, f.Reason)
	}
	return exitCode(exitFailed)
}
