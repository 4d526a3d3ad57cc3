package main

import (
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/internal/postgres"
)

type migrateCommand struct {
	tablesTarget `embed:""`
}

func (*migrateCommand) Help() string {
	return `serve does this at startup, unless it has --no-database-migrate. Any number of processes may migrate
at the same time.

Example:

  schoolbell migrate --database-url postgres://owner:secret@db:5432/schoolbell`
}

func (c *migrateCommand) Run(ctx context.Context, io streams) error {
	url, err := c.url()
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, url); err != nil {
		return err
	}
	_, err = fmt.Fprintln(io.out, "The schema is up to date.")
	return err
}
