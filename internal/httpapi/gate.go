package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/auth"
)

// The headers that are our own.
const (
	headerPosition    = "Schoolbell-Position"
	headerMinPosition = "Schoolbell-Min-Position"
	headerParked      = "Schoolbell-Parked"
)

const schoolPath = "/v1/schools/{school}"

func schoolParam() *huma.Param {
	return &huma.Param{
		Name: "school", In: "path", Required: true, Description: "The school's id.",
		Schema: &huma.Schema{Type: "string"},
	}
}

// admit finds out who sends a request and whether they may. Nothing about a school happens before it says yes.
func (a *API) admit(r *http.Request, need auth.Need) error {
	token, ok := bearerToken(r)
	if !ok {
		return problem(http.StatusUnauthorized, "a token is needed: Authorization: Bearer …")
	}
	p, err := a.deps.Verifier.Verify(token)
	if err != nil {
		return err
	}
	req := requestOf(r.Context())
	req.bearer = p
	school := r.PathValue("school")
	if req.access, err = auth.Authorize(p, school, need); err != nil {
		return err
	}
	var f domain.Faults
	if f.ID("/school", school); len(f.List) > 0 || strings.ContainsAny(school, "*/") {
		return problem(http.StatusBadRequest, "the address does not have the id of a school")
	}
	return nil
}

func bearerToken(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer")
}

// guarded is a route about one school.
func (a *API) guarded(need auth.Need, serve func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := a.admit(r, need)
		if err == nil {
			err = serve(w, r)
		}
		if err != nil {
			problemOf(err).write(w, r)
		}
	}
}

// HandleSchool adds a route about a school that is neither about events nor about read models, as somebody's inbox. Its
// pattern names the {school}. The bearer is in the request's context.
func (a *API) HandleSchool(pattern string, need auth.Need, h http.Handler) {
	a.needs[pattern] = need
	a.mux.HandleFunc(pattern, a.guarded(need, func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r.WithContext(auth.WithPrincipal(r.Context(), requestOf(r.Context()).bearer)))
		return nil
	}))
}

// hit is what a query needs to know about its request besides the input.
type hit struct {
	school      string
	minPosition string
}

type hitKey struct{}

func hitOf(ctx context.Context) hit {
	h, _ := ctx.Value(hitKey{}).(hit)
	return h
}

// gate does for huma's routes what guarded does for the others.
func (a *API) gate(need auth.Need) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(hc)
		if err := a.admit(r, need); err != nil {
			problemOf(err).write(w, r)
			return
		}
		next(huma.WithValue(hc, hitKey{}, hit{
			school: r.PathValue("school"), minPosition: r.Header.Get(headerMinPosition),
		}))
	}
}
