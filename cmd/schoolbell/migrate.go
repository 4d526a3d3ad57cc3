package main

import (
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
)

type migrateCommand struct {
	tablesTarget `embed:""`

	Check bool `help:"Change nothing: say what is not as this version needs it, and exit with 1 if anything is."`
}

func (*migrateCommand) Help() string {
	return `serve does this at startup, unless it has --no-database-migrate. Any number of processes may migrate
at the same time. Roles, policies and grants that a restored dump lacks are made again. The user needs to own the
schema, and CREATEROLE where the roles schoolbell_projector, schoolbell_api and schoolbell_jobs do not exist.

Example:

  schoolbell migrate --database-url postgres://owner:secret@db:5432/schoolbell`
}

func (c *migrateCommand) Run(ctx context.Context, io streams) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	if c.Check {
		return c.check(ctx, io, url)
	}
	if err := postgres.Migrate(ctx, url); err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, "The schema is up to date.")
	return err
}

func (c *migrateCommand) check(ctx context.Context, io streams, url string) error {
	set, err := projections.NewSet(catalog.All()...)
	if err != nil {
		return err
	}
	faults, err := postgres.CheckSchema(ctx, url, set.Tables())
	if err != nil {
		return err
	}
	for _, f := range faults {
		fmt.Fprintln(io.out, f)
	}
	if len(faults) > 0 {
		return exitCode(exitFailed)
	}
	_, err = fmt.Fprintln(io.out, "The schema is as this version needs it.")
	return err
}
