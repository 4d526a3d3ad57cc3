// Package catalog lists the read models, one line each. A new one is a folder beside this one, a line in each of the two
// lists, and a file in migrations.
package catalog

import (
	"slices"

	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/atrisk"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/deliveries"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/overview"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/profile"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/students"
	"github.com/schoolbell/schoolbell/projections/timeline"
)

// All returns the projections in the order in which they fold an event: what is read by others comes before them.
func All() []*projections.Projection {
	return []*projections.Projection{
		students.Projection,
		attendance.Projection,
		performance.Projection,
		fees.Projection,
		atrisk.Projection,
		timeline.Projection,
		deliveries.Projection,
	}
}

// Queries returns the questions that they answer, alone and together.
func Queries() []query.Endpoint {
	return slices.Concat(
		overview.Queries,
		students.Queries,
		profile.Queries,
		timeline.Queries,
		attendance.Queries,
		performance.Queries,
		fees.Queries,
		atrisk.Queries,
		deliveries.Queries,
	)
}
