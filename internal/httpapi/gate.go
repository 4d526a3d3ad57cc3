package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

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
	longest := domain.MaxIDLength
	return &huma.Param{
		Name: "school", In: "path", Required: true, Description: "The school's id.",
		Schema: &huma.Schema{Type: "string", MaxLength: &longest, Pattern: `^[^*/]+$`},
	}
}

// admit finds out who sends a request and whether they may. Nothing about a school happens before it says yes.
func (a *API) admit(r *http.Request, need auth.Need) error {
	p, err := a.bearer(r)
	if err != nil {
		return err
	}
	school := r.PathValue("school")
	req := requestOf(r.Context())
	req.bearer, req.school, req.minPosition = p, school, r.Header.Get(headerMinPosition)
	if req.access, err = auth.Authorize(p, school, need); err != nil {
		return err
	}
	var f domain.Faults
	if f.ID("/school", school); len(f.List) > 0 || strings.ContainsAny(school, "*/") {
		return problem(http.StatusBadRequest, "the address does not have the id of a school")
	}
	return checkAddress(r.URL)
}

// checkAddress refuses an address that is not text, or says two things at once, before a part of it is overlooked.
func checkAddress(u *url.URL) error {
	if !isText(u.Path) {
		return problem(http.StatusBadRequest, "the address must be UTF-8 without NUL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return problem(http.StatusBadRequest, "the address's parameters cannot be read: %s", err)
	}
	failed := problem(http.StatusBadRequest, "not all parameters can be used")
	for _, name := range slices.Sorted(maps.Keys(query)) {
		var reason string
		switch values := query[name]; {
		case !isText(name), !isText(values[0]):
			reason = "must be UTF-8 without NUL"
		case len(values) > 1:
			reason = "must be there once only"
		default:
			continue
		}
		failed.Errors = append(failed.Errors, ProblemError{Parameter: "query." + strings.ToValidUTF8(name, "\uFFFD"), Reason: reason})
	}
	if len(failed.Errors) > 0 {
		return failed
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// bearer finds out who sends a request.
func (a *API) bearer(r *http.Request) (auth.Principal, error) {
	if known, ok := r.Context().Value(internalBearerKey{}).(auth.Principal); ok {
		return known, nil
	}
	token, ok := bearerToken(r)
	if !ok {
		return auth.Principal{}, problem(http.StatusUnauthorized, "a token is needed: Authorization: Bearer …")
	}
	return a.deps.Verifier.Verify(token)
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

// admitOperator is admit for what concerns all schools.
func (a *API) admitOperator(r *http.Request) error {
	p, err := a.bearer(r)
	if err != nil {
		return err
	}
	requestOf(r.Context()).bearer = p
	if err := auth.AuthorizePlatform(p); err != nil {
		return err
	}
	return checkAddress(r.URL)
}

// admitter is admit for one need.
func (a *API) admitter(need auth.Need) func(*http.Request) error {
	return func(r *http.Request) error { return a.admit(r, need) }
}

// gate does for huma's routes what guarded does for the others.
func (a *API) gate(admit func(*http.Request) error) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(hc)
		if err := admit(r); err != nil {
			problemOf(err).write(w, r)
			return
		}
		next(hc)
	}
}
