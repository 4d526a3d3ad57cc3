package httpapi

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// Needs of routes that are about neither events nor read models.
var (
	needAdmin = auth.Need{Roles: []string{"admin"}}
	// needMember lets every role of a school in, for what belongs to the bearer alone or to
	// everyone.
	needMember = auth.Need{Roles: []string{
		"admin", "office", "teacher", "accountant", "analyst", "guardian", "student",
	}}
)

// empty is the input of a route without parameters, or the output of one without a body.
type empty struct{}

// response is an output that is only a body.
type response[T any] struct{ Body T }

// handle adds a route about a school that is about neither events nor read models. Input and output
// are structs in huma's notation: huma has validated the input against its schema when do is
// called. Every error becomes a problem.
func handle[In, Out any](
	a *API, op huma.Operation, need auth.Need,
	do func(ctx context.Context, req *request, in *In) (*Out, error),
) {
	a.needs[op.Method+" "+op.Path] = need
	op.Parameters = append([]*huma.Param{schoolParam()}, op.Parameters...)
	op.Middlewares = huma.Middlewares{a.gate(a.admitter(need)), noStore, a.form}
	op.Errors = append([]int{400, 401, 403, 429, 503}, op.Errors...)
	register(a, op, do)
}

// operation adds a route about all schools, for operators of the platform.
func operation[In, Out any](
	a *API, op huma.Operation, do func(ctx context.Context, req *request, in *In) (*Out, error),
) {
	op.Tags = []string{tagOperations}
	op.Middlewares = huma.Middlewares{a.gate(a.admitOperator), noStore}
	op.Errors = append([]int{400, 401, 403, 503}, op.Errors...)
	register(a, op, do)
}

func register[In, Out any](
	a *API, op huma.Operation, do func(ctx context.Context, req *request, in *In) (*Out, error),
) {
	op.MaxBodyBytes = maxForm
	if _, ok := reflect.TypeFor[In]().FieldByName("Body"); ok {
		op.Errors = append(op.Errors, http.StatusRequestEntityTooLarge,
			http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity)
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *In) (*Out, error) {
		out, err := do(ctx, requestOf(ctx), in)
		if err != nil {
			return nil, problemOf(err)
		}
		return out, nil
	})
}

// maxForm is the largest body in bytes of a request that people write by hand.
const maxForm = 256 << 10

// form claims memory for a body that huma reads. Forms are small and have five seconds to arrive, so
// all of one is claimed at once.
func (a *API) form(hc huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(hc)
	if r.ContentLength == 0 {
		next(hc)
		return
	}
	memory, err := a.bodies.claim(r.PathValue("school"))
	if err == nil {
		defer memory.release()
		err = memory.upTo(maxForm)
	}
	if err != nil {
		problemOf(err).write(w, r)
		return
	}
	next(hc)
}

// noStore keeps personal data out of caches between us and the browser, and out of the browser's.
func noStore(hc huma.Context, next func(huma.Context)) {
	_, w := humago.Unwrap(hc)
	w.Header().Set("Cache-Control", "private, no-store")
	next(hc)
}
