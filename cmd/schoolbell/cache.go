package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/program"
	"github.com/schoolbell/schoolbell/internal/redis"
)

type cacheCommand struct {
	Invalidate invalidateCommand `cmd:"" help:"Drop a school's kept answers, so that the next ones come from the tables."`
}

type invalidateCommand struct {
	Redis config.Redis `embed:"" prefix:"redis-" envprefix:"SCHOOLBELL_REDIS_"`

	School schoolID `required:"" placeholder:"S" help:"Whose answers."`
	Query  string   `arg:"" optional:"" help:"Of which query, as attendance; else of all."`
	Data   string   `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve, when no Redis is named."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

func (*invalidateCommand) Help() string {
	return `Kept answers are dropped by themselves when what they come from changes. This is for an operator who knows better.

Examples:

  schoolbell cache invalidate --school school-001
  schoolbell cache invalidate --school school-001 attendance`
}

func (c *invalidateCommand) Run(ctx context.Context, io streams) error {
	url := c.Redis.URL
	if url == "" {
		at, err := program.ReadAddress(c.Data)
		if err != nil {
			return err
		}
		url = at.Redis
	}
	cache, err := redis.Open(c.Redis.Config(url), nil)
	if err != nil {
		return usageError{err}
	}
	defer cache.Close()
	dropped, err := cache.Invalidate(ctx, string(c.School), c.Query)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(io.out, map[string]any{"dropped": dropped})
	}
	_, err = fmt.Fprintf(io.out, "%d answers of %s were dropped.\n", dropped, cmp.Or(c.Query, "all queries"))
	return err
}
