package httpapi

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/auth"
)

// Headers of Schoolbell's own.
const (
	headerPosition    = "Schoolbell-Position"
	headerMinPosition = "Schoolbell-Min-Position"
	headerParked      = "Schoolbell-Parked"
	headerParkedFrom  = "Schoolbell-Parked-From"
)

const schoolPath = "/v1/schools/{school}"

func schoolParam() *huma.Param {
	longest := domain.MaxIDLength
	return &huma.Param{
		Name: "school", In: "path", Required: true, Description: "The school's id.",
		Schema: &huma.Schema{Type: "string", MaxLength: &longest, Pattern: `^[^*/]+$`},
	}
}

// param is a parameter that is a string, of a route that reads its request itself.
func param(name, in, description string) *huma.Param {
	return &huma.Param{
		Name: name, In: in, Required: in == "path", Description: description,
		Schema: &huma.Schema{Type: huma.TypeString},
	}
}

// required marks parameters as such.
func required(params ...*huma.Param) []*huma.Param {
	for _, p := range params {
		p.Required = true
	}
	return params
}

// admitBearer verifies the token of a request that any token may make.
func (a *API) admitBearer(r *http.Request) (err error) {
	requestOf(r.Context()).bearer, err = a.bearer(r)
	return err
}

// admit verifies the token of a request about a school and checks that its bearer may make it. It
// comes before anything else that a route does, so that a request of a stranger costs and reveals
// nothing.
func (a *API) admit(r *http.Request, need auth.Need) error {
	p, err := a.bearer(r)
	if err != nil {
		return err
	}
	school := r.PathValue("school")
	req := requestOf(r.Context())
	req.bearer, req.school, req.minPosition = p, school, r.Header.Get(headerMinPosition)
	req.url = r.URL
	_, req.live = r.Context().Value(internalBearerKey{}).(auth.Principal)
	if req.access, err = auth.Authorize(p, school, need); err != nil {
		a.noteRefusal(req, r)
		return err
	}
	// Events have a rate of their own. Operators share one for all schools.
	if need.Scope != scopeWrite {
		if wait := a.requests.take(p.School, 1); wait > 0 {
			return tooMany(wait, "this school exceeds its rate of requests")
		}
	}
	var f domain.Faults
	if f.ID("/school", school); len(f.List) > 0 || strings.ContainsAny(school, "*/") {
		return problem(http.StatusBadRequest, "the path does not contain a valid school id")
	}
	if school == domain.Platform && r.Method != http.MethodGet {
		p := problem(http.StatusUnprocessableEntity, "some parameters are invalid")
		p.Errors = []ProblemError{{
			Parameter: "path.school",
			Reason:    "is reserved: decisions about the platform are written by Schoolbell only",
		}}
		return p
	}
	if err := checkAddress(r.URL); err != nil {
		return err
	}
	return a.noteRoute(req, r)
}

// checkAddress refuses a URL that is not valid text or repeats a parameter. Which of two values
// counts is different in every parser, so neither may.
func checkAddress(u *url.URL) error {
	if !isText(u.Path) {
		return problem(http.StatusBadRequest, "the URL must be UTF-8 without NUL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return problem(http.StatusBadRequest, "the query string cannot be parsed: %s", err)
	}
	failed := problem(http.StatusBadRequest, "some parameters are invalid")
	for _, name := range slices.Sorted(maps.Keys(query)) {
		var reason string
		switch values := query[name]; {
		case !isText(name), !isText(values[0]):
			reason = "must be UTF-8 without NUL"
		case len(values) > 1:
			reason = "must not be repeated"
		default:
			continue
		}
		failed.Errors = append(failed.Errors,
			ProblemError{Parameter: "query." + strings.ToValidUTF8(name, "\uFFFD"), Reason: reason})
	}
	if len(failed.Errors) > 0 {
		return failed
	}
	return nil
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// bearer returns who sends a request: of a live client's query, the one who opened the connection.
func (a *API) bearer(r *http.Request) (auth.Principal, error) {
	if p, ok := r.Context().Value(internalBearerKey{}).(auth.Principal); ok {
		return p, nil
	}
	token, ok := bearerToken(r)
	if !ok {
		return auth.Principal{},
			problem(http.StatusUnauthorized, "a token is required: Authorization: Bearer …")
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

// guarded admits a request about one school before it is served.
func (a *API) guarded(
	need auth.Need, serve func(http.ResponseWriter, *http.Request) error,
) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		// net/http reads what is left of a body before it sends our response, so a refusal must
		// not wait for a body that does not come. Not supported by recorders of tests.
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyGrace))
		}
		err := a.admit(r, need)
		if err == nil {
			err = serve(w, r)
		}
		if err != nil {
			problemOf(err).write(w, r)
		}
	}
}

// admitOperator is admit for routes that concern all schools.
func (a *API) admitOperator(r *http.Request) error {
	p, err := a.bearer(r)
	if err != nil {
		return err
	}
	req := requestOf(r.Context())
	req.bearer = p
	if err := auth.AuthorizePlatform(p); err != nil {
		a.noteRefusal(req, r)
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
