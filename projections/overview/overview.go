// Package overview is the first query of a dashboard, from all read models at once: how is the
// school doing? It has no tables; each read model exports the function that reads its part, in the
// transaction of the query, so that all parts show one point of the log.
//
// The first change: another number is a field of [Overview], its read model in Reads, without which
// cached results would not notice its changes, and a call in run.
package overview

import (
	"context"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/atrisk"
	"github.com/schoolbell/schoolbell/projections/attendance"
	"github.com/schoolbell/schoolbell/projections/calendar"
	"github.com/schoolbell/schoolbell/projections/fees"
	"github.com/schoolbell/schoolbell/projections/performance"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/students"
)

// Queries is that one query.
var Queries = []query.Endpoint{
	query.Query[input, Overview]{
		Name:    "overview",
		Path:    "/analytics/overview",
		Summary: "The school at a glance",
		Description: "How many students there are, the last day's attendance, the mean of this " +
			"year's scores, what is outstanding, and how many students are at risk. Without marks " +
			"for the office.",
		Reads: []*projections.Projection{
			students.Projection, attendance.Projection, calendar.Projection, performance.Projection,
			fees.Projection, atrisk.Projection,
		},
		TTL:        time.Minute,
		Roles:      []query.Role{query.Admin, query.Office, query.Analyst},
		ByScope:    true,
		Impersonal: true,
		Indexes: []query.Index{
			{
				Name: "attendance_days_pkey", Statement: "attendance.last_day",
				Request: "/analytics/overview",
			},
			{Name: "at_risk_pkey", Statement: "at_risk.count", Request: "/analytics/overview"},
		},
		Run: run,
	},
}

// input has no parameters.
type input struct{}

// Overview is the school at a glance.
type Overview struct {
	Students    students.Headcount  `json:"students"`
	Attendance  *attendance.DayRoll `json:"attendance" doc:"The register of the last day up to today with marks; null when there is none"`
	Average     *float64            `json:"average" doc:"Average of the scores of the latest year by the school's method, in percent; null without scores, and for the office"`
	Outstanding []fees.Currency     `json:"outstanding" doc:"Open amounts of invoices, in minor units"`
	AtRisk      atrisk.Counts       `json:"at_risk"`
}

// TransformSchema makes attendance nullable in OpenAPI, which a reference cannot be.
func (Overview) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	day := s.Properties["attendance"]
	s.Properties["attendance"] = &huma.Schema{
		OneOf: []*huma.Schema{{Ref: day.Ref}, {Type: "null"}}, Description: day.Description,
	}
	return s
}

func run(ctx context.Context, tx pgx.Tx, scope query.Scope, _ *input) (*Overview, error) {
	a := &Overview{}
	var err error
	if a.Students, err = students.Count(ctx, tx, scope.School, scope.Today); err != nil {
		return nil, err
	}
	if a.Attendance, err = attendance.LastRoll(ctx, tx, &scope); err != nil {
		return nil, err
	}
	var marks performance.Latest
	if scope.Access.All.Has(access.Marks) {
		if marks, err = performance.LatestYear(ctx, tx, scope); err != nil {
			return nil, err
		}
		a.Average = marks.Mean
	}
	if a.Outstanding, err = fees.Outstanding(ctx, tx, scope); err != nil {
		return nil, err
	}
	a.AtRisk, err = atrisk.Count(ctx, tx, scope, marks.Low)
	return a, err
}
