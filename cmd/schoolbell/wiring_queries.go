package main

import (
	"context"

	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/students"
)

// wireQueries answers questions from the tables.
func (p *program) wireQueries(ctx context.Context, deps *httpapi.Deps) (err error) {
	if deps.Pool, err = p.openPool(ctx, "tables", p.cfg.Database.API(p.servers.databaseURL)); err != nil {
		return err
	}
	deps.Positions = checkpoint.NewPositions(deps.Pool.Acquire, setName)
	deps.Queries = catalog.Queries()
	deps.IsGuardian = students.IsGuardian
	return nil
}
