package main

import (
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/internal/postgres"
)

type migrateCommand struct {
	DatabaseURL string `name:"database-url" env:"SCHOOLBELL_DATABASE_URL" placeholder:"postgres://…" help:"Database; else that of the serve on the data directory."`
	Data        string `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve."`
}

func (*migrateCommand) Help() string {
	return `serve does this at its start, unless it is told not to with --no-database-migrate. Any number of processes may
do it at the same time.

Example:

  schoolbell migrate --database-url postgres://owner:secret@db:5432/schoolbell`
}

func (c *migrateCommand) Run(ctx context.Context, io streams) error {
	url := c.DatabaseURL
	if url == "" {
		at, err := readAddress(c.Data)
		if err != nil {
			return err
		}
		url = at.Database
	}
	if err := postgres.Migrate(ctx, url); err != nil {
		return err
	}
	_, err := fmt.Fprintln(io.out, "The schema is up to date.")
	return err
}
