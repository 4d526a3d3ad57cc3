package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/projections/catalog"
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

// check makes sure that there are such a query and, as far as the tables can be reached, such a
// school.
func (c *invalidateCommand) check(ctx context.Context) error {
	var queries []string
	for _, e := range catalog.Queries() {
		queries = append(queries, e.Info().Name)
	}
	if c.Query != "" && !slices.Contains(queries, c.Query) {
		return usageError{fmt.Errorf("%q is no query; these are: %s", c.Query,
			strings.Join(queries, ", "))}
	}
	if c.Redis.URL != "" {
		return nil
	}
	return tablesTarget{Data: c.Data}.with(ctx, func(store *postgres.ProjectionStore) error {
		return store.CheckSchool(ctx, string(c.School))
	})
}

func (c *invalidateCommand) Run(ctx context.Context, io streams) error {
	if err := c.check(ctx); err != nil {
		return err
	}
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
