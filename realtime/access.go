package realtime

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Access decides who may connect. It is the same for all protocols.
//
// A connection is made with a token, which comes in the Authorization header, or where the protocol has it in the first
// message; or with a ticket, which is good once and for seconds, in the query. A token in the query is refused: addresses
// end up in logs.
//
// Browsers say which page a connection comes from, and pages of other origins are refused. A request without an Origin
// comes from no page, as those of native clients: it may connect, and that is all. Neither an Origin nor its absence, nor
// a cookie, is a permission: until a token is shown, a connection waits in the Lobby and is told nothing.
type Access struct {
	// Verify finds out who bears a token. Its error wraps ErrExpired or ErrInvalidToken.
	Verify func(ctx context.Context, token string) (Identity, error)
	// Redeem finds out who was given a ticket, and makes it useless. nil: there are no tickets.
	Redeem func(ctx context.Context, ticket string) (Identity, error)
	// Origins may connect besides the server's own, as "https://school.example".
	Origins []string
	// Lobby is where connections wait for their first message.
	PreAuth PreAuth
}

// Errors of identification.
var (
	// ErrNoToken says that a request does not show who it is from.
	ErrNoToken = errors.New("no token is given")
	// ErrTokenInURL says that a token was in the query.
	ErrTokenInURL = errors.New("a token must not be in the address: send it in the Authorization header, the first message, or take a ticket")
)

// Identify finds out who a request is from by its header or ticket. ErrNobody leaves it to the first message.
func (a *Access) Identify(r *http.Request) (Identity, error) {
	query := r.URL.Query()
	if slices.ContainsFunc([]string{"token", "access_token", "jwt", "authorization"}, query.Has) {
		return Identity{}, ErrTokenInURL
	}
	if token, ok := bearer(r); ok {
		return a.Verify(r.Context(), token)
	}
	if ticket := query.Get("ticket"); ticket != "" && a.Redeem != nil {
		return a.Redeem(r.Context(), ticket)
	}
	return Identity{}, ErrNoToken
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// AllowOrigin reports that a request may come from where it says that it comes from.
func (a *Access) AllowOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		// A browser opens no WebSocket without one. It leaves it out of some other requests, of which it says in a way
		// that no page can change whether they come from the page's own server.
		site := r.Header.Get("Sec-Fetch-Site")
		return site == "" || site == "none" || site == "same-origin"
	}
	origin := origins[0]
	if len(origins) > 1 || origin == "null" {
		return false
	}
	if slices.ContainsFunc(a.Origins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && strings.EqualFold(u.Host, r.Host)
}

// StatusOf is the HTTP status that refuses a connection for a reason.
func StatusOf(err error) int {
	switch {
	case errors.Is(err, ErrTokenInURL):
		return http.StatusBadRequest
	case errors.Is(err, ErrDenied):
		return http.StatusForbidden
	case errors.Is(err, ErrTooManySessions), errors.Is(err, ErrTooManyRooms), errors.Is(err, ErrPreAuthFull):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrUnrecoverable):
		return http.StatusGone
	case errors.Is(err, ErrDraining), errors.Is(err, ErrFull), errors.Is(err, ErrRightsUnavailable), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrInvalidToken), errors.Is(err, ErrExpired):
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// Explain is what a client is told of an error. What lies behind this node is none of its business.
func Explain(err error) string {
	if StatusOf(err) < http.StatusInternalServerError {
		return err.Error()
	}
	for _, known := range []error{ErrRightsUnavailable, ErrDraining, ErrFull} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "something behind this node is away: try again"
}
