// Package query declares what dashboards can request: each query with its path, its input, its
// result, who may send it, and how long the result may be cached. A read model declares its queries
// next to its tables, and has no code for HTTP.
//
// The API mounts all queries alike. A request is validated against the input's struct and
// authorised; then the cache is looked up; else Run reads the tables in one read-only transaction,
// at one position of the log and under the row security of one school. Waiting for a position,
// conditional requests, metrics and OpenAPI follow from the declaration.
//
// The first change for a new query is a [Query] in the Queries of its read model.
package query

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
)

// ErrNotFound is returned by a query for something that does not exist, and becomes 404.
var ErrNotFound = errors.New("not found")

// ErrDenied is returned by a query for somebody of whom the caller may see nothing, and becomes 403.
var ErrDenied = errors.New("not allowed")

// ErrInput is wrapped by a query whose input is well-formed but not valid, for example an invented
// cursor, and becomes 422.
var ErrInput = errors.New("invalid parameter")

// Query is one query of a school's read models. In is a struct whose fields are path and query
// parameters in huma's notation (`query:"from"`), with documentation and limits; Out is the
// result's JSON.
type Query[In, Out any] struct {
	// identifies the query in cache keys, metrics and OpenAPI, for example "attendance"
	Name        string
	Path        string // below /v1/schools/{school}, for example "/analytics/attendance"
	Summary     string
	Description string
	// Reads are the projections that the result is made from: a change of one of them invalidates
	// cached results.
	Reads []*projections.Projection
	// TTL is how long a result may be cached at most; 0 caches none. It bounds what a change of the
	// day does to results that depend on it, not their freshness: that is by position.
	TTL time.Duration
	// Roles may send it. Operators of the platform always may.
	Roles []Role
	// ByScope says that the result leaves out what the caller may not see, so that it differs with
	// [Scope.Access]. Other queries show no student, and their cached results are shared by all
	// callers.
	ByScope bool
	// Impersonal says that the result shows nobody, whoever reads it, so that it is not recorded who
	// does.
	Impersonal bool
	// Own, when set, admits guardians and students too. The result is about the student whose id it
	// returns, and nobody gets it who may not see that student.
	Own func(in *In) (studentID string)
	// Self admits everybody at the school, with a result that holds only what is for themselves: see
	// [Scope.Self].
	Self bool
	// Indexes are what the query's statements need, so that they stay fast in a school of any size.
	// A test runs the example requests against tables of a realistic size and reads the plans; an
	// index that no query names fails it.
	Indexes []Index
	// Run makes the result from one snapshot: tx is read-only, sees only this school, and is at one
	// position of the log. What depends on the day uses scope.Today, and never a clock.
	Run func(ctx context.Context, tx pgx.Tx, scope Scope, in *In) (*Out, error)
}

// Index is one that a statement of a query must use.
type Index struct {
	Name      string
	Statement string // the name in its first line, for example "attendance.by_day"
	// one that runs the statement, for example "/analytics/attendance?class=class-07"
	Request string
	Own     bool // the request comes from a guardian
}

// Role is what a token's bearer is to the school.
type Role = access.Role

// The roles.
const (
	Admin      = access.Admin
	Office     = access.Office
	Teacher    = access.Teacher
	Accountant = access.Accountant
	Analyst    = access.Analyst
	Guardian   = access.Guardian
	Student    = access.Student
	Operator   = access.Operator
)

// Scope is for whom and for which day a query runs. All of it identifies a cached result.
type Scope struct {
	School string
	Log    domain.LogID // what the log is called in positions
	Today  domain.Date  // by the school's clock
	// Settings are what the school has decided that numbers depend on.
	Settings Settings
	// Access is what the caller may see of which students.
	Access access.Scope
	// Self is the id of the guardian or student who requests what is for themselves; the result
	// must hold nothing else. It is empty for all other callers.
	Self string
}
