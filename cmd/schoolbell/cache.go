package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/redis"
)

type cacheCommand struct {
	Invalidate invalidateCommand `cmd:"" help:"Invalidate a school's cached responses."`
}

type invalidateCommand struct {
	Redis config.Redis `embed:"" prefix:"redis-" envprefix:"SCHOOLBELL_REDIS_"`

	School schoolID `required:"" placeholder:"S" help:"School whose responses to invalidate."`
	Query  string   `arg:"" optional:"" help:"Only the responses of this query, for example attendance."`
	Data   string   `default:".data" env:"SCHOOLBELL_DATA" placeholder:"DIR" help:"Data directory of a running serve, when no Redis is given."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

func (*invalidateCommand) Help() string {
	return `The next responses come from the tables. Cached responses are invalidated automatically when their
data changes; this is for data that was changed by hand.

Examples:

  schoolbell cache invalidate --school school-001
  schoolbell cache invalidate --school school-001 attendance`
}

func (c *invalidateCommand) Run(ctx context.Context, io streams) error {
	servers, logID, err := redisOf(c.Redis, c.Data)
	if err != nil {
		return err
	}
	cache, err := redis.Open(servers.Config(servers.URL, logID), nil)
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
	_, err = fmt.Fprintf(io.out, "Invalidated %s of %s.\n",
		quantity(dropped, "response", "responses"), cmp.Or(c.Query, "all queries"))
	return err
}
