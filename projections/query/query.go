// Package query declares the questions that dashboards ask: each with its path, its input, its answer, and how long
// the answer may be kept. A read model declares its queries beside its tables; the API mounts them all alike, with
// authorisation, waiting for a position, caching, conditional requests and OpenAPI.
package query

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

// ErrNotFound is returned by a query about something that does not exist, and becomes 404.
var ErrNotFound = errors.New("not found")

// ErrInput is wrapped by a query whose input is well-formed but means nothing, as an invented cursor, and becomes 422.
var ErrInput = errors.New("input means nothing")

// Query is one question to the read models of a school. In is a struct whose fields are path and query parameters in
// huma's notation (`query:"from"`), with documentation and limits; Out is the answer's JSON.
type Query[In, Out any] struct {
	Name        string // identifies the query in cache keys, metrics and OpenAPI, as "attendance"
	Path        string // below /v1/schools/{school}, as "/analytics/attendance"
	Summary     string
	Description string
	// Reads are the projections that the answer comes from: a change of one of them invalidates kept answers.
	Reads []*projections.Projection
	// TTL is how long an answer may be kept at most; 0 keeps none.
	TTL time.Duration
	// Roles may ask. Operators of the platform always may.
	Roles []Role
	// BySight says that the answer leaves out what the asker may not see, so that it differs with [Scope.Sees]. Other
	// queries are told that all may be seen, and their answers are kept for all askers together.
	BySight bool
	// Own, when set, lets guardians and students ask too, about the student whose id it returns.
	Own func(in *In) (studentID string)
	// Self lets guardians and students ask too, and have the answer hold only what is for themselves: see [Scope.Self].
	Self bool
	// Indexes are what the query's statements need, so that they stay fast in a school of any size. A test runs the
	// example requests against tables of a realistic size and reads the plans; an index that no query names fails it.
	Indexes []Index
	// Run answers from one snapshot: tx is read-only, sees only this school, and is at one position of the log.
	// What depends on the day uses asked.Today.
	Run func(ctx context.Context, tx pgx.Tx, scope Scope, in *In) (*Out, error)
}

// Index is one that a statement of a query must use.
type Index struct {
	Name      string
	Statement string // the name in its first line, for example "attendance.by_day"
	Request   string // one that runs the statement, for example "/analytics/attendance?class=class-07"
	Own       bool   // the request comes from a guardian
}

// Role is what a token's bearer is to the school.
type Role string

// The roles.
const (
	Admin      Role = "admin"
	Teacher    Role = "teacher"
	Accountant Role = "accountant"
	Guardian   Role = "guardian"
	Student    Role = "student"
	Operator   Role = "operator" // of the platform; the token's school is "*"
)

// Sight is which facts somebody may see of those that not everybody who asks a question may.
type Sight uint8

// The facts.
const (
	SeesFees     Sight = 1 << iota // what is charged and paid
	SeesLearning                   // attendance and scores
	SeesAll      = SeesFees | SeesLearning
)

// SightOf returns what a role may see of everybody.
func SightOf(r Role) Sight {
	switch r {
	case Admin, Operator:
		return SeesAll
	case Accountant:
		return SeesFees
	case Teacher:
		return SeesLearning
	default: // guardians and students see all, but of their own only
		return 0
	}
}

// Has reports whether all of these facts may be seen.
func (s Sight) Has(all Sight) bool { return s&all == all }

// Scope is what a query knows besides its input.
type Scope struct {
	School string
	Today  domain.Date // by the clock of the answering process, in UTC
	// Sees is which parts of answers the asker may see.
	Sees Sight
	// Own says that a guardian or the student asks, who see results only once they are published. It is part of
	// what identifies an answer.
	Own bool
	// Self is the id of the guardian or student who asks for what is for themselves; the answer must hold nothing else.
	// It is empty for everybody else.
	Self string
}
