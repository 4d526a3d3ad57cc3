package query

import (
	"context"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/projections"
)

// Endpoint is a query of any input and result, as the API mounts it. Every [Query] is one; a read
// model lists its own under this type.
type Endpoint interface {
	// Info is the query's declaration without its types.
	Info() Info
	// Mount adds the query's route and its place in OpenAPI. Each request's input is validated, and
	// then passed to handle.
	Mount(api huma.API, op huma.Operation, handle Handler)
}

// Info is the declaration of a query without its types.
type Info struct {
	Name        string
	Path        string
	Summary     string
	Description string
	Reads       []*projections.Projection
	TTL         time.Duration
	Roles       []Role
	Indexes     []Index
	ByScope     bool
	Impersonal  bool
	Own         bool // guardians and students may send it for their own student
	Self        bool // guardians and students may send it for what is for themselves
	// Tables are the parts of the result that can be written as rows, the main one first.
	Tables []*Table
}

// Request is one validated request for a query's result.
type Request struct {
	Info Info
	// Input identifies the request among those of its query: equal inputs have equal results.
	Input any
	// Student is whose data the result holds, for queries about one; else "".
	Student string
	// Rows writes one of the result's tables from a snapshot.
	Rows Rows
	// Run makes the result from a snapshot.
	Run func(ctx context.Context, tx pgx.Tx, scope Scope) (any, error)
}

// Handler responds to a request over HTTP. The school, the bearer and the request's headers are in
// the context.
type Handler func(ctx context.Context, q Request) (*huma.StreamResponse, error)

// Info implements [Endpoint].
func (q Query[In, Out]) Info() Info {
	return Info{
		Name: q.Name, Path: q.Path, Summary: q.Summary, Description: q.Description,
		Reads: q.Reads, TTL: q.TTL, Roles: q.Roles, Indexes: q.Indexes, ByScope: q.ByScope, Impersonal: q.Impersonal,
		Own: q.Own != nil, Self: q.Self, Tables: tablesOf(reflect.TypeFor[In](), reflect.TypeFor[Out]()),
	}
}

// Mount implements [Endpoint].
func (q Query[In, Out]) Mount(api huma.API, op huma.Operation, handle Handler) {
	info := q.Info()
	schemas := api.OpenAPI().Components.Schemas
	op.Responses = map[string]*huma.Response{"200": {
		Description: "The result.",
		Content: map[string]*huma.MediaType{
			"application/json": {Schema: schemas.Schema(reflect.TypeFor[Out](), true,
				q.Name+"Result")},
		},
	}}
	huma.Register(api, op, func(ctx context.Context, in *In) (*huma.StreamResponse, error) {
		request := Request{Info: info, Input: in, Rows: q.rows(in)}
		if q.Own != nil {
			request.Student = q.Own(in)
		}
		request.Run = func(ctx context.Context, tx pgx.Tx, scope Scope) (any, error) {
			return q.Run(ctx, tx, scope, in)
		}
		return handle(ctx, request)
	})
}
