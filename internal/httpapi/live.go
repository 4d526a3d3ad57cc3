package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// Live serves connections that stay open. Its handlers authenticate on their own, since a browser
// sends the token in different ways on each protocol, and are neither compressed nor measured like
// requests.
type Live struct {
	// Stream serves server-sent events; its path has {school}.
	Stream http.Handler
	// Sockets serve the other protocols, by path.
	Sockets map[string]http.Handler
	// Issue returns a ticket for the bearer of a token, and how long it is valid.
	Issue func(ctx context.Context, bearer auth.Principal) (ticket string, valid time.Duration,
		err error)
	// Revoke ends the connections of a user, on all nodes.
	Revoke func(ctx context.Context, school, user string) error
	// Connections lists the connections of a user, on all nodes.
	Connections func(ctx context.Context, school, user string) ([]Connection, error)
}

// Connection is one live connection of a user.
type Connection struct {
	ID   string `json:"id" doc:"Its id, as in presence"`
	Node string `json:"node" doc:"The process that serves it"`
}

// Online is the presence of a user.
type Online struct {
	Online      bool         `json:"online"`
	Connections []Connection `json:"connections"`
}

// Ticket stands in for a token where none can be sent but in a URL.
type Ticket struct {
	Ticket    string `json:"ticket" doc:"For ?ticket= in the URL of a connection; valid once, and for the reconnects of a stream"`
	ExpiresIn int    `json:"expires_in" doc:"For how many seconds it is valid"`
}

// liveRoutes adds the routes for live clients, and about them.
func (a *API) liveRoutes() {
	l := a.deps.Live
	a.live = http.NewServeMux()
	for path, h := range l.Sockets {
		a.live.Handle(path, h)
	}
	a.live.Handle("GET "+schoolPath+"/stream", l.Stream)
	a.describeStream()

	register(a, huma.Operation{
		OperationID: "issue-ticket", Method: http.MethodPost, Path: "/v1/realtime/tickets",
		Tags:    []string{tagLive},
		Summary: "Get a ticket for a live connection",
		Description: "Browsers cannot send headers with EventSource and WebSocket. A ticket " +
			"stands in for the token in the URL. It is valid once and for seconds. One that has " +
			"opened a stream is valid for the reconnects of that stream alone (same rooms, with " +
			"Last-Event-ID), until the token ends.",
		DefaultStatus: http.StatusCreated, Errors: []int{401, 503},
		Middlewares: huma.Middlewares{a.gate(a.admitBearer), noStore},
	}, func(ctx context.Context, req *request, _ *empty) (*response[Ticket], error) {
		ticket, valid, err := l.Issue(ctx, req.bearer)
		if err != nil {
			return nil, unavailable(err, time.Second, "tickets cannot be issued at the moment")
		}
		return &response[Ticket]{Ticket{ticket, int(valid.Seconds())}}, nil
	})
	const connections = schoolPath + "/users/{user}/connections"
	handle(a, huma.Operation{
		OperationID: "revoke-connections", Method: http.MethodDelete, Path: connections,
		Tags:    []string{tagLive},
		Summary: "End the live connections of a user",
		Description: "On all nodes. Clients do not reconnect on their own. The user's tokens " +
			"stay valid; to refuse them too, see revoke-tokens.",
		DefaultStatus: http.StatusNoContent,
	}, needAdmin, func(ctx context.Context, req *request, in *userInput) (*empty, error) {
		if err := l.Revoke(ctx, req.school, in.User); err != nil {
			return nil, unavailable(err, time.Second,
				"connections to this node end, but other nodes could not be reached; try again")
		}
		return nil, nil
	})
	handle(a, huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: connections,
		Tags:        []string{tagLive},
		Summary:     "See whether a user is online",
		Description: "Lists the user's live connections on all nodes, for example of two devices.",
	}, needAdmin,
		func(ctx context.Context, req *request, in *userInput) (*response[Online], error) {
			connections, err := l.Connections(ctx, req.school, in.User)
			if err != nil {
				return nil,
					unavailable(err, time.Second, "the other nodes cannot be reached; try again")
			}
			return &response[Online]{Online{len(connections) > 0, connections}}, nil
		})
}

type userInput struct {
	User string `path:"user" maxLength:"255" doc:"The sub of the user's token"`
}

// describeStream describes the stream in OpenAPI. Its handler serves it outside of huma: a stream
// has no body to marshal.
func (a *API) describeStream() {
	responses := a.problems("400", "401", "403", "429", "503")
	responses["200"] = &huma.Response{Description: "Server-sent events, until the client " +
		"disconnects or the process stops.", Content: map[string]*huma.MediaType{
		eventStreamType: {Schema: &huma.Schema{
			Type: huma.TypeString,
			Description: "Messages: open {position, rooms} at the start; event, whose id is its " +
				"position and whose data a CloudEvent; update {projection, position}; left " +
				"{room}; resync {reason, position}, when missed events can no longer be " +
				"replayed; close {code, reason, reconnect} at the end.",
		}},
	}}
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: schoolPath + "/stream",
		Tags:    []string{tagLive},
		Summary: "Stream events as they happen",
		Description: "Joins the caller's own rooms, and the requested ones that the caller may " +
			"join. A client that reconnects sends the last id in Last-Event-ID and gets what it " +
			"missed; after does the same with the Schoolbell-Position of another response. " +
			"Socket.IO clients get the same events at /socket.io/, Centrifuge clients at " +
			"/connection/websocket.",
		Parameters: []*huma.Param{
			schoolParam(),
			param("rooms", "query",
				"Rooms, for example class:7a,student:s-12,school,dashboard:fees. The parameter may be "+
					"repeated; a comma after which no room begins belongs to the id before it."),
			param("after", "query",
				"Replay events after this position. Without it, only new events."),
			param("ticket", "query", "In place of the Authorization header; see issue-ticket."),
			param("Last-Event-ID", "header",
				"The id of the last message that the client received."),
		},
		Responses: responses,
	})
}

const eventStreamType = "text/event-stream"

// Query runs a query by its name for an authenticated live client. Parameters are a JSON object
// with those of the query's path and query string, and min_position. The result has the status,
// position and body of the same request over HTTP, because it is one: the route runs with a
// recorder in place of a connection, so that both ways share all checks.
func (a *API) Query(
	ctx context.Context, bearer auth.Principal, school, name string, parameters jsontext.Value,
) (jsontext.Value, error) {
	r, err := a.queryRequest(ctx, school, name, parameters)
	if err != nil {
		return nil, err
	}
	rec := &responseBuffer{header: http.Header{}, status: http.StatusOK}
	a.internal.ServeHTTP(rec, r.WithContext(context.WithValue(ctx, internalBearerKey{}, bearer)))
	return json.Marshal(struct {
		Status   int            `json:"status"`
		Position string         `json:"position,omitzero"`
		Body     jsontext.Value `json:"body"`
	}{rec.status, rec.header.Get(headerPosition), rec.body.Bytes()})
}

// internalBearerKey holds the bearer in the context of a live client's query.
type internalBearerKey struct{}

// Errors of [API.Query].
var (
	ErrNoQuery = errors.New("there is no such query")
	// ErrParameters is wrapped with the member that is wrong, for the client to read.
	ErrParameters = errors.New("bad request")
)

func (a *API) queryRequest(
	ctx context.Context, school, name string, parameters jsontext.Value,
) (*http.Request, error) {
	path := ""
	for _, q := range a.deps.Queries {
		if info := q.Info(); info.Name == name && a.deps.Tables != nil {
			path = strings.Replace(schoolPath, "{school}", url.PathEscape(school), 1) + info.Path
		}
	}
	if path == "" {
		return nil, fmt.Errorf("%w: %.40q", ErrNoQuery, name)
	}
	// What fits a placeholder of the path goes there; the rest are query parameters, which huma
	// validates as usual.
	given := map[string]jsontext.Value{}
	if len(parameters) > 0 && parameters.Kind() != 'n' {
		if err := json.Unmarshal(parameters, &given); err != nil {
			return nil, fmt.Errorf("%w: data must be an object", ErrParameters)
		}
	}
	header, rest := http.Header{}, url.Values{}
	for name, value := range given {
		text, err := parameterText(name, value)
		if err != nil {
			return nil, err
		}
		switch placeholder := "{" + name + "}"; {
		case name == "min_position":
			header.Set(headerMinPosition, text)
		case strings.Contains(path, placeholder):
			if text == "" || text == "." || text == ".." { // no segment of a path
				return nil, fmt.Errorf("%w: %q: is not an id", ErrParameters, "/"+name)
			}
			path = strings.ReplaceAll(path, placeholder, url.PathEscape(text))
		default:
			rest.Set(name, text)
		}
	}
	if _, missing, open := strings.Cut(path, "{"); open {
		name, _, _ := strings.Cut(missing, "}")
		return nil, fmt.Errorf("%w: %q: is required", ErrParameters, "/"+name)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?"+rest.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", name, err)
	}
	r.Header = header
	return r, nil
}

// parameterText returns a parameter as it is written in a URL.
func parameterText(name string, value jsontext.Value) (string, error) {
	switch value.Kind() {
	case '"':
		var text string
		err := json.Unmarshal(value, &text)
		return text, err
	case '0', 't', 'f':
		return string(value), nil
	}
	return "", fmt.Errorf("%w: %q: must be a string, a number or a boolean", ErrParameters, "/"+name)
}

// responseBuffer records a response.
type responseBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *responseBuffer) Header() http.Header         { return k.header }
func (k *responseBuffer) WriteHeader(status int)      { k.status = status }
func (k *responseBuffer) Write(b []byte) (int, error) { return k.body.Write(b) }
