// Package catalog lists the read models, one line each. A new one is a folder next to this one, a
// line here with its import, and a file in migrations; routes, OpenAPI, caching, metrics, rebuilds
// and the tests' data follow.
package catalog

import (
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/atrisk"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/overview"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/profile"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/students"
	"github.com/schoolbell/schoolbell/projections/timeline"
)

// models are in the order in which they fold an event: what others read comes before them.
var models = []struct {
	projection *projections.Projection // nil for queries that only join other models
	queries    []query.Endpoint
}{
	{students.Projection, students.Queries},
	{calendar.Projection, calendar.Queries},
	{attendance.Projection, attendance.Queries},
	{performance.Projection, performance.Queries},
	{fees.Projection, fees.Queries},
	{atrisk.Projection, atrisk.Queries},
	{timeline.Projection, timeline.Queries},
	{deliveries.Projection, deliveries.Queries},
	{nil, profile.Queries},
	{nil, overview.Queries},
}

// All returns the projections in the order in which they fold an event.
func All() (all []*projections.Projection) {
	for _, m := range models {
		if m.projection != nil {
			all = append(all, m.projection)
		}
	}
	return all
}

// Queries returns the queries of all read models.
func Queries() (all []query.Endpoint) {
	for _, m := range models {
		all = append(all, m.queries...)
	}
	return all
}
