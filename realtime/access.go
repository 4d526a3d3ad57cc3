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
// A client authenticates with a token, in the Authorization header or, where the protocol has a
// place for it, in the first message; or with a ticket in the query, which is valid once and for
// seconds, and then for the reconnects of the stream that it has opened. A token in the query is refused: URLs end up in logs.
//
// Browsers send the origin of the page that connects, and pages of other origins are refused. A
// request without an Origin comes from no page, like those of native clients: it may connect, and
// nothing more. Neither an origin nor a cookie is a permission: until it has shown a token, a
// connection counts against PreAuth and receives nothing.
type Access struct {
	// Verify returns the bearer of a token. Its error wraps ErrExpired or ErrInvalidToken.
	Verify func(ctx context.Context, token string) (Identity, error)
	// Redeem returns the user that a ticket was issued to, and invalidates the ticket for all other
	// uses. nil: there are no tickets.
	Redeem func(ctx context.Context, ticket string, use TicketUse) (Identity, error)
	// Origins may connect in addition to the server's own, for example "https://school.example".
	Origins []string
	// PreAuth limits the connections that have not authenticated yet.
	PreAuth PreAuth
}

// TicketUse is what a ticket is used for.
type TicketUse struct {
	// Stream names what is opened, if its client connects again by itself, and has only the ticket to
	// do so with; else empty.
	Stream string
	Again  bool // the client says that it was connected before
}

// Errors of identification.
var (
	// ErrNoToken says that a request has neither a token nor a ticket.
	ErrNoToken = errors.New("no token was given")
	// ErrTokenInURL says that a token was in the query.
	ErrTokenInURL = errors.New("a token must not be in the URL: send it in the Authorization " +
		"header or the first message, or use a ticket")
)

// Identify authenticates a request by its header or ticket. [ErrNoToken] leaves it to the first
// message.
func (a *Access) Identify(r *http.Request) (Identity, error) {
	return a.IdentifyFor(r, TicketUse{})
}

// IdentifyFor is Identify for a use of a ticket.
func (a *Access) IdentifyFor(r *http.Request, use TicketUse) (Identity, error) {
	query := r.URL.Query()
	if slices.ContainsFunc([]string{"token", "access_token", "jwt", "authorization"}, query.Has) {
		return Identity{}, ErrTokenInURL
	}
	if token, ok := bearer(r); ok {
		return a.Verify(r.Context(), token)
	}
	if ticket := query.Get("ticket"); ticket != "" && a.Redeem != nil {
		return a.Redeem(r.Context(), ticket, use)
	}
	return Identity{}, ErrNoToken
}

func bearer(r *http.Request) (string, bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer")
}

// AllowOrigin reports whether the page that sent a request, if there is one, may connect.
func (a *Access) AllowOrigin(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		// A browser never opens a WebSocket without an Origin. It leaves it out of some other
		// requests, but then sends Sec-Fetch-Site, which scripts cannot change.
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

// StatusOf returns the HTTP status with which an error refuses a connection.
func StatusOf(err error) int {
	switch {
	case errors.Is(err, ErrTokenInURL):
		return http.StatusBadRequest
	case errors.Is(err, ErrDenied):
		return http.StatusForbidden
	case errors.Is(err, ErrTooManySessions), errors.Is(err, ErrTooManyRooms):
		return http.StatusTooManyRequests
	case errors.Is(err, ErrUnrecoverable):
		return http.StatusGone
	case errors.Is(err, ErrDraining), errors.Is(err, ErrFull), errors.Is(err, ErrRightsUnavailable),
		errors.Is(err, ErrLogRefused), errors.Is(err, context.DeadlineExceeded):
		return http.StatusServiceUnavailable
	case errors.Is(err, ErrNoToken), errors.Is(err, ErrInvalidToken), errors.Is(err, ErrExpired):
		return http.StatusUnauthorized
	}
	return http.StatusInternalServerError
}

// Explain returns the text of an error for a client. Details of servers behind this node are left
// out.
func Explain(err error) string {
	if StatusOf(err) < http.StatusInternalServerError {
		return err.Error()
	}
	for _, public := range []error{ErrRightsUnavailable, ErrLogRefused, ErrDraining, ErrFull} {
		if errors.Is(err, public) {
			return public.Error()
		}
	}
	return "a service behind this node is unavailable: try again"
}
