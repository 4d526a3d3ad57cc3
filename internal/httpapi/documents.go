package httpapi

import (
	"embed"
	"net/http"
	"reflect"
	"strconv"
	"sync"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents/schema"
	"github.com/schoolbell/schoolbell/internal/auth"
)

//go:embed page
var pages embed.FS

// documentRoutes serves what describes the API and the events, to everybody.
func (a *API) documentRoutes() error {
	catalogue, err := schema.JSONSchema()
	if err != nil {
		return err
	}
	asyncAPI, err := schema.AsyncAPI(a.config.Version)
	if err != nil {
		return err
	}
	a.document("get-catalog", "/v1/catalog", "application/schema+json", "All events, as one JSON Schema.", catalogue)
	a.document("get-asyncapi", "/asyncapi.json", "application/json", "The log, as AsyncAPI 3.0.", asyncAPI)
	openAPI := sync.OnceValues(a.OpenAPI) // when all routes are there
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		description, err := openAPI()
		if err != nil {
			problemOf(err).write(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		_, _ = w.Write(description) // the client may have gone
	})
	a.mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
	a.page("GET /docs", "page/index.html", "text/html; charset=utf-8")
	a.page("GET /docs/page.css", "page/page.css", "text/css; charset=utf-8")
	a.page("GET /docs/page.js", "page/page.js", "text/javascript; charset=utf-8")
	return nil
}

// OpenAPI returns the API's description.
func (a *API) OpenAPI() ([]byte, error) {
	b, err := json.Marshal(a.huma.OpenAPI(), json.Deterministic(true))
	if err != nil {
		return nil, err
	}
	v := jsontext.Value(b)
	err = v.Indent(jsontext.WithIndent("  "))
	return append(v, '\n'), err
}

func (a *API) document(id, path, mediaType, summary string, body []byte) {
	a.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(body) // the client may have gone
	})
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{tagReference},
		Security: []map[string][]string{},
		Responses: map[string]*huma.Response{"200": {
			Description: "The document.", Content: map[string]*huma.MediaType{mediaType: {Schema: &huma.Schema{Type: huma.TypeObject}}},
		}},
	})
}

func (a *API) page(pattern, file, mediaType string) {
	body, err := pages.ReadFile(file)
	if err != nil {
		panic(err) // it is part of the program
	}
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "max-age=300")
		_, _ = w.Write(body) // the client may have gone
	})
}

// eventRoutes are those of the log. Their bodies are not huma's to read, so they are described by hand.
func (a *API) eventRoutes() {
	schemas := a.huma.OpenAPI().Components.Schemas
	text := &huma.Schema{Type: huma.TypeString}
	event := &huma.Schema{
		Type: huma.TypeObject, Description: "A CloudEvent; /v1/catalog has what belongs into data, by type.",
		Required: []string{"specversion", "id", "source", "type", "data"},
		Properties: map[string]*huma.Schema{
			"specversion": {Type: huma.TypeString, Enum: []any{"1.0"}}, "id": text, "source": text, "type": text,
			"school": text, "subject": text, "time": {Type: huma.TypeString, Format: "date-time"}, "data": {Type: huma.TypeObject},
		},
		AdditionalProperties: true,
	}
	events := &huma.Schema{Type: huma.TypeArray, Items: event}

	responses := a.problems("400", "401", "403", "413", "415", "422", "429", "503")
	responses["202"] = &huma.Response{
		Description: "All events are in the log, on disk.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(reflect.TypeFor[Accepted](), true, "")}},
	}
	a.route(&huma.Operation{
		OperationID: "publish-events", Method: http.MethodPost, Path: schoolPath + "/events", Tags: []string{tagEvents},
		Summary: "Publish events",
		Description: "Takes one structured CloudEvent, a batch, or one event in binary mode; all events or none. Sending an event " +
			"again is safe: source and id name it. The body may be compressed with gzip.",
		Parameters: []*huma.Param{schoolParam()},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			cloudevents.StructuredType: {Schema: event}, cloudevents.BatchType: {Schema: events},
			"application/json": {Schema: &huma.Schema{Type: huma.TypeObject, Description: "The data; the attributes are in ce- headers."}},
		}},
		Responses: responses,
	}, needWrite, a.ingest)

	responses = a.problems("400", "401", "403", "410", "503")
	responses["200"] = &huma.Response{Description: "Events in their order.", Content: map[string]*huma.MediaType{
		"application/json": {Schema: &huma.Schema{
			Type: huma.TypeObject, Required: []string{"next", "unreadable", "events"},
			Properties: map[string]*huma.Schema{
				"next":       {Type: huma.TypeString, Description: "The position to give as after for what follows."},
				"unreadable": {Type: huma.TypeInteger, Description: "Records that are no events and were passed over."},
				"events":     events,
			},
		}},
		ndjsonType: {Schema: event},
	}}
	query := func(name, description string, s *huma.Schema) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: description, Schema: s}
	}
	one, thousand, zero, longest := 1.0, 1000.0, 0.0, MaxWait.Seconds()
	a.route(&huma.Operation{
		OperationID: "read-events", Method: http.MethodGet, Path: schoolPath + "/events", Tags: []string{tagEvents},
		Summary:     "Read the log",
		Description: "The events of the school in their order, each with its position; with Accept: application/x-ndjson one on each line.",
		Parameters: []*huma.Param{
			schoolParam(),
			query("after", "The position before the first event; without it, the log's beginning.", positionSchema("").Schema(nil)),
			query("limit", "How many events at most; 100 without it.", &huma.Schema{Type: huma.TypeInteger, Minimum: &one, Maximum: &thousand}),
			query("wait", "How many seconds to wait for an event when there is none.", &huma.Schema{Type: huma.TypeInteger, Minimum: &zero, Maximum: &longest}),
		},
		Responses: responses,
	}, needRead, a.readLog)
}

// problems are answers that are not a success.
func (a *API) problems(statuses ...string) map[string]*huma.Response {
	rs := map[string]*huma.Response{}
	for _, status := range statuses {
		code, _ := strconv.Atoi(status)
		rs[status] = &huma.Response{Description: http.StatusText(code), Content: map[string]*huma.MediaType{
			problemType: {Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")},
		}}
	}
	return rs
}

// route adds a route about a school that huma does not serve.
func (a *API) route(op *huma.Operation, need auth.Need, serve func(http.ResponseWriter, *http.Request) error) {
	a.needs[op.Method+" "+op.Path] = need
	a.mux.HandleFunc(op.Method+" "+op.Path, a.guarded(need, serve))
	a.huma.OpenAPI().AddOperation(op)
}
