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

// documentRoutes serves the descriptions of the API and of the events, without a token.
func (a *API) documentRoutes() error {
	catalogue, err := schema.JSONSchema()
	if err != nil {
		return err
	}
	asyncAPI, err := schema.AsyncAPI(a.config.Version)
	if err != nil {
		return err
	}
	a.document("get-catalog", "/v1/catalog", "application/schema+json",
		"Get the JSON Schema of all events", catalogue)
	a.document("get-asyncapi", "/asyncapi.json", "application/json",
		"Get the AsyncAPI 3.0 description of the log", asyncAPI)
	// Routes can be added until the server starts, so the description is made at the first request.
	openAPI := sync.OnceValues(a.OpenAPI) // at the first request, when all routes are mounted
	a.mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, r *http.Request) {
		description, err := openAPI()
		if err != nil {
			problemOf(err).write(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
		_, _ = w.Write(description) // fails only when the client is gone
	})
	a.mux.Handle("GET /{$}", http.RedirectHandler("/docs", http.StatusFound))
	a.page("GET /docs", "page/index.html", "text/html; charset=utf-8")
	a.page("GET /docs/page.css", "page/page.css", "text/css; charset=utf-8")
	a.page("GET /docs/page.js", "page/page.js", "text/javascript; charset=utf-8")
	return nil
}

// OpenAPI returns the API's description, as indented JSON. Call it when all routes are mounted.
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
		_, _ = w.Write(body) // fails only when the client is gone
	})
	a.huma.OpenAPI().AddOperation(&huma.Operation{
		OperationID: id, Method: http.MethodGet, Path: path, Summary: summary,
		Tags:     []string{tagReference},
		Security: []map[string][]string{},
		Responses: map[string]*huma.Response{"200": {
			Description: "The document.",
			Content:     map[string]*huma.MediaType{mediaType: {Schema: &huma.Schema{Type: huma.TypeObject}}},
		}},
	})
}

func (a *API) page(pattern, file, mediaType string) {
	body, err := pages.ReadFile(file)
	if err != nil {
		panic(err) // it is embedded
	}
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", mediaType)
		w.Header().Set("Cache-Control", "max-age=300")
		_, _ = w.Write(body) // fails only when the client is gone
	})
}

// eventRoutes are the routes of the log. They read bodies themselves (CloudEvents in three modes,
// compressed or not), so OpenAPI is written by hand.
func (a *API) eventRoutes() {
	schemas := a.huma.OpenAPI().Components.Schemas
	text := &huma.Schema{Type: huma.TypeString}
	event := &huma.Schema{
		Type:        huma.TypeObject,
		Description: "A CloudEvent. /v1/catalog has the schema of data for each type.",
		Required:    []string{"specversion", "id", "source", "type", "data"},
		Properties: map[string]*huma.Schema{
			"specversion": {Type: huma.TypeString, Enum: []any{"1.0"}}, "id": text, "source": text,
			"type":   text,
			"school": text, "subject": text, "time": {Type: huma.TypeString, Format: "date-time"},
			"data": {Type: huma.TypeObject},
		},
		AdditionalProperties: true,
	}
	events := &huma.Schema{Type: huma.TypeArray, Items: event}

	responses := a.problems("400", "401", "403", "408", "413", "415", "422", "429", "503")
	responses["202"] = &huma.Response{
		Description: "All events are in the log, on disk.",
		Content:     map[string]*huma.MediaType{"application/json": {Schema: schemas.Schema(reflect.TypeFor[Accepted](), true, "")}},
	}
	a.route(&huma.Operation{
		OperationID: "publish-events", Method: http.MethodPost, Path: schoolPath + "/events",
		Tags:    []string{tagEvents},
		Summary: "Publish events",
		Description: "Takes one structured CloudEvent, a batch, or one event in binary mode. " +
			"Either all events are written or none. Sending an event again is safe: an event " +
			"with the same source and id is a duplicate. The body may be gzip-compressed. Data " +
			"may be in data, in data_base64 or, in binary mode, the body; its type is " +
			"application/json or another type of JSON, and may be left out. Attributes that are " +
			"null are unset. authsub and authjti, which say who wrote an event, are Schoolbell's " +
			"own and refused; actor is a claim of yours. Of other extensions, school, " +
			"causationid, correlationid, actor, traceparent and tracestate are stored; others " +
			"are taken and not stored. Dates may " +
			"lie 366 days after the event's time at most. A school that sends more than is " +
			"processed is slowed down, and gets 429 with Retry-After once it exceeds its " +
			"share; send the same events again then.",
		Parameters: []*huma.Param{schoolParam()},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			cloudevents.StructuredType: {Schema: event}, cloudevents.BatchType: {Schema: events},
			"application/json": {Schema: &huma.Schema{
				Type: huma.TypeObject,
				Description: "The data of an event in binary mode; its attributes are in ce- " +
					"headers.",
			}},
		}},
		Responses: responses,
	}, needPublish, a.ingest)
	a.webhookRoute()

	responses = a.problems("400", "401", "403", "409", "410", "429", "503")
	responses["200"] = &huma.Response{
		Description: "Events in the order of the log.",
		Content: map[string]*huma.MediaType{
			"application/json": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"next", "unreadable", "events"},
				Properties: map[string]*huma.Schema{
					"next": {Type: huma.TypeString, Description: "Pass as after to read on. It is " +
						"the position of the last event that was read, or after itself if there " +
						"was none."},
					"unreadable": {
						Type: huma.TypeInteger,
						Description: "Events of a newer version, which are left out: this " +
							"installation cannot read them yet.",
					},
					"events": events,
				},
			}},
			ndjsonType: {Schema: event},
		},
	}
	query := func(name, description string, s *huma.Schema) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: description, Schema: s}
	}
	one, thousand, zero, longest := 1.0, 1000.0, 0.0, MaxWait.Seconds()
	a.route(&huma.Operation{
		OperationID: "read-events", Method: http.MethodGet, Path: schoolPath + "/events",
		Tags:    []string{tagEvents},
		Summary: "Read a school's events",
		Description: "In the order of the log, each with its position. A response may have " +
			"fewer events than there are: read on until next stays as it is. An event that has just " +
			"been sent twice may be here twice; its id identifies it. With Accept: " +
			"application/x-ndjson, one event per line, and the position to read on after in " +
			"Schoolbell-Position.",
		Parameters: []*huma.Param{
			schoolParam(),
			query("after", "Only events after this position. Without it, from the start of the "+
				"log.", positionSchema("").Schema(nil)),
			query("limit", "How many events to return; 100 by default.",
				&huma.Schema{Type: huma.TypeInteger, Minimum: &one, Maximum: &thousand}),
			query("wait", "How many seconds to wait for an event when there is none yet.",
				&huma.Schema{Type: huma.TypeInteger, Minimum: &zero, Maximum: &longest}),
		},
		Responses: responses,
	}, needRead, a.readLog)
}

// problems are the responses with a [Problem], by status.
func (a *API) problems(statuses ...string) map[string]*huma.Response {
	rs := map[string]*huma.Response{}
	for _, status := range statuses {
		code, _ := strconv.Atoi(status)
		rs[status] = &huma.Response{
			Description: http.StatusText(code),
			Content: map[string]*huma.MediaType{
				problemType: {Schema: a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "")},
			},
		}
	}
	return rs
}

// route adds a route about a school that reads its request itself.
func (a *API) route(
	op *huma.Operation, need auth.Need, serve func(http.ResponseWriter, *http.Request) error,
) {
	a.needs[op.Method+" "+op.Path] = need
	a.mux.HandleFunc(op.Method+" "+op.Path, a.guarded(need, serve))
	a.huma.OpenAPI().AddOperation(op)
}
