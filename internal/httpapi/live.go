package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// Live is what stays connected: it finds out by itself who comes, and is neither compressed nor timed as a request.
type Live struct {
	// Stream serves server-sent events, at a path with {school}.
	Stream http.Handler
	// Sockets are the other protocols, by their paths.
	Sockets map[string]http.Handler
	// Issue makes a ticket for the bearer of a token, and says how long it is good.
	Issue func(ctx context.Context, bearer auth.Principal) (ticket string, valid time.Duration, err error)
	// Revoke ends the connections of a user.
	Revoke func(ctx context.Context, school, user string) error
	// Connections lists those of a user, on all nodes.
	Connections func(ctx context.Context, school, user string) ([]Connection, error)
}

// Connection is one of a user.
type Connection struct {
	ID   string `json:"id" doc:"Its name, as in presence"`
	Node string `json:"node" doc:"The process that it is with"`
}

// Online says whether a user is connected.
type Online struct {
	Online      bool         `json:"online"`
	Connections []Connection `json:"connections"`
}

// Ticket stands in for a token in an address.
type Ticket struct {
	Ticket    string `json:"ticket" doc:"For ?ticket= in the address of a connection, once"`
	ExpiresIn int    `json:"expires_in" doc:"For how many seconds it is good"`
}

// liveRoutes adds what serves live clients.
func (a *API) liveRoutes() {
	l := a.deps.Live
	a.live = http.NewServeMux()
	for path, h := range l.Sockets {
		a.live.Handle(path, h)
	}
	a.live.Handle("GET "+schoolPath+"/stream", l.Stream)
	a.describeStream()

	a.mux.HandleFunc("POST /v1/realtime/tickets", func(w http.ResponseWriter, r *http.Request) {
		if err := a.issueTicket(w, r); err != nil {
			problemOf(err).write(w, r)
		}
	})
	schemas := a.huma.OpenAPI().Components.Schemas
	responses := a.problems("401", "503")
	responses["201"] = &huma.Response{Description: "A ticket.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemas.Schema(reflect.TypeFor[Ticket](), true, "")},
	}}
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "issue-ticket", Method: http.MethodPost, Path: "/v1/realtime/tickets", Tags: []string{tagLive},
		Summary: "Get a ticket for a connection",
		Description: "A browser's EventSource and WebSocket can send no header. A ticket stands in for the token in the address: " +
			"it is good once and for seconds.",
		Responses: responses,
	})

	responses = a.problems("401", "403", "503")
	responses["204"] = &huma.Response{Description: "They end."}
	user := &huma.Param{
		Name: "user", In: "path", Required: true, Description: "The sub of the user's token.", Schema: &huma.Schema{Type: huma.TypeString},
	}
	a.route(&huma.Operation{
		OperationID: "revoke-connections", Method: http.MethodDelete, Path: schoolPath + "/users/{user}/connections", Tags: []string{tagLive},
		Summary: "End the live connections of a user",
		Description: "On all nodes, and their clients do not come back by themselves. The user's tokens stay good; to end them too, " +
			"see revoke-tokens.",
		Parameters: []*huma.Param{schoolParam(), user}, Responses: responses,
	}, needAdmin, func(w http.ResponseWriter, r *http.Request) error {
		if err := l.Revoke(r.Context(), r.PathValue("school"), r.PathValue("user")); err != nil {
			return unavailable(err, time.Second, "the connections to this node end, but other nodes could not be told; try again")
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	})

	responses = a.problems("401", "403", "503")
	responses["200"] = &huma.Response{Description: "Those that there are at the moment.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: schemas.Schema(reflect.TypeFor[Online](), true, "")},
	}}
	a.route(&huma.Operation{
		OperationID: "list-connections", Method: http.MethodGet, Path: schoolPath + "/users/{user}/connections", Tags: []string{tagLive},
		Summary:     "Tell whether a user is online",
		Description: "With the live connections of the user on all nodes: somebody may be online on two devices.",
		Parameters:  []*huma.Param{schoolParam(), user}, Responses: responses,
	}, needAdmin, func(w http.ResponseWriter, r *http.Request) error {
		connections, err := l.Connections(r.Context(), r.PathValue("school"), r.PathValue("user"))
		if err != nil {
			return unavailable(err, time.Second, "the other nodes cannot be asked just now")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		return json.MarshalWrite(w, Online{len(connections) > 0, connections})
	})
}

func (a *API) issueTicket(w http.ResponseWriter, r *http.Request) error {
	bearer, err := a.bearer(r)
	if err != nil {
		return err
	}
	requestOf(r.Context()).bearer = bearer
	ticket, valid, err := a.deps.Live.Issue(r.Context(), bearer)
	if err != nil {
		return unavailable(err, time.Second, "tickets cannot be made just now")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusCreated)
	return json.MarshalWrite(w, Ticket{ticket, int(valid.Seconds())})
}

func (a *API) describeStream() {
	text := func(name, in, description string) *huma.Param {
		return &huma.Param{Name: name, In: in, Description: description, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	responses := a.problems("400", "401", "403", "429", "503")
	responses["200"] = &huma.Response{Description: "Server-sent events, until the client or the process goes.", Content: map[string]*huma.MediaType{
		eventStreamType: {Schema: &huma.Schema{
			Type: huma.TypeString,
			Description: "Messages: open {position, rooms} at the start; event, whose id is its position and whose data a CloudEvent; " +
				"update {projection, position}; left {room}; resync {reason, position}, when what was missed cannot be given; " +
				"close {code, reason, reconnect} at the end.",
		}},
	}}
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: schoolPath + "/stream", Tags: []string{tagLive},
		Summary: "Hear events live",
		Description: "The bearer's own rooms, and those that are asked for, if the bearer may be in them. A client that comes back sends the " +
			"last id in Last-Event-ID and gets what it missed; after does the same with the position that another answer has shown. " +
			"The same events are there for Socket.IO clients at /socket.io/ and for Centrifuge clients at /connection/websocket.",
		Parameters: []*huma.Param{
			schoolParam(),
			text("rooms", "query", "Rooms, with commas between: class:7a, student:s-12, school, dashboard:fees."),
			text("after", "query", "The position after which to hear the log; without it, from now on."),
			text("ticket", "query", "Instead of the Authorization header; see issue-ticket."),
			text("Last-Event-ID", "header", "The id of the last message that was received."),
		},
		Responses: responses,
	})
}

const eventStreamType = "text/event-stream"

// Query answers one of the queries for somebody who is known already, as a live client asks. Parameters are a JSON
// object with those of the query's address, and min_position. The answer has the status, the position and the body that
// the same request over HTTP would have.
func (a *API) Query(ctx context.Context, bearer auth.Principal, school, name string, parameters jsontext.Value) (jsontext.Value, error) {
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

// internalBearerKey is where a request has its bearer when it comes from within.
type internalBearerKey struct{}

// ErrNoQuery says that there is no query of a name.
var ErrNoQuery = errors.New("there is no such query")

func (a *API) queryRequest(ctx context.Context, school, name string, parameters jsontext.Value) (*http.Request, error) {
	path := ""
	for _, q := range a.deps.Queries {
		if info := q.Info(); info.Name == name && a.deps.Pool != nil {
			path = strings.Replace(schoolPath, "{school}", url.PathEscape(school), 1) + info.Path
		}
	}
	if path == "" {
		return nil, fmt.Errorf("%w: %.40q", ErrNoQuery, name)
	}
	given := map[string]any{}
	if len(parameters) > 0 && parameters.Kind() != 'n' {
		if err := json.Unmarshal(parameters, &given); err != nil {
			return nil, fmt.Errorf("read parameters of query %s: %w", name, err)
		}
	}
	header, rest := http.Header{}, url.Values{}
	for name, value := range given {
		text := fmt.Sprint(value)
		switch place := "{" + name + "}"; {
		case name == "min_position":
			header.Set(headerMinPosition, text)
		case strings.Contains(path, place):
			path = strings.ReplaceAll(path, place, url.PathEscape(text))
		default:
			rest.Set(name, text)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path+"?"+rest.Encode(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask query %s: %w", name, err)
	}
	r.Header = header
	return r, nil
}

// responseBuffer is an answer that is not sent as it is.
type responseBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *responseBuffer) Header() http.Header         { return k.header }
func (k *responseBuffer) WriteHeader(status int)      { k.status = status }
func (k *responseBuffer) Write(b []byte) (int, error) { return k.body.Write(b) }
