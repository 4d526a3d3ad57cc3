package httpapi

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/projections/cache"
	"github.com/schoolbell/schoolbell/projections/query"
)

// Log is the part of the log that the API uses.
type Log interface {
	eventlog.Appender
	eventlog.Fetcher
	eventlog.Inspector
}

// Tables runs fn in a transaction of the database that sees only what belongs to a school, or to
// one user of it.
type Tables interface {
	Read(ctx context.Context, school string, fn func(pgx.Tx) error) error
	AsUser(ctx context.Context, school, user string, fn func(pgx.Tx) error) error
}

// Deps is what the API works with. A process that takes no events has no Log, and one that serves
// no queries has no Tables; the routes that need them are then absent.
type Deps struct {
	Verifier   *auth.Verifier
	Log        Log
	Pacer      *ingest.Pacer // of events; nil takes them as fast as they come
	Partitions int32         // of the log
	// Reader of Log, which this process shares (one of the API's own).
	Reader *eventlog.Reader
	// Index finds a school's events in the log; nil: they are looked for in all of its partition.
	Index eventlog.Index
	// LogID is what the log is called in positions.
	LogID domain.LogID
	// Refused returns why a partition of the log is neither read nor written; nil refuses none.
	Refused func(partition int32) error

	Tables    Tables // row security must hold for its transactions
	Set       string // the name of the set of projections whose tables are read
	Positions *checkpoint.Positions
	Cache     cache.Store // nil: results are not cached
	Queries   []query.Endpoint
	// IsGuardian reports whether a user is a guardian of a student on a day; nil denies every
	// guardian.
	IsGuardian func(ctx context.Context, tx pgx.Tx, school, guardian, student string,
		on domain.Date) (bool, error)
	// Today returns a school's day, by its clock; nil is the day in UTC.
	Today func(ctx context.Context, school string) (domain.Date, error)

	Live  *Live // nil: this process has no live connections
	Logos Logos // nil: there are no routes for logos
	// Revoke refuses tokens in all processes from now on; nil: there is no route for it.
	Revoke func(context.Context, auth.Revocation) error

	// Skip gives up a parked event; nil: there is no route for it.
	Skip func(context.Context, SkipRequest) (Skipped, error)

	Imports *imports.Service // nil: there are no routes for imports; needs Log and Tables

	Consumers *Consumers // nil: deliveries can be read, but not decided about; needs Tables

	Metrics prometheus.Registerer
	Logger  *slog.Logger
	Now     func() time.Time // nil is time.Now
}

// The tags of OpenAPI, in the order in which a newcomer meets them.
const (
	tagEvents     = "Events"
	tagAnalytics  = "Analytics"
	tagStudents   = "Students"
	tagImports    = "Imports"
	tagDeliveries = "Deliveries"
	tagInbox      = "Inbox"
	tagSettings   = "Settings"
	tagLive       = "Live"
	tagOperations = "Operations"
	tagReference  = "Reference"
)

var tags = []*huma.Tag{
	{Name: tagEvents, Description: "Publish events, and read a school's log."},
	{
		Name:        tagAnalytics,
		Description: "What the events add up to: attendance, results, fees, risk.",
	},
	{Name: tagStudents, Description: "Students, their classes and their history."},
	{
		Name:        tagImports,
		Description: "Bring in what another system holds of the school, as a plan that is applied.",
	},
	{Name: tagDeliveries, Description: "Text messages, e-mails, push messages and documents: " +
		"what was sent, and decisions about it."},
	{Name: tagInbox, Description: "What users read of their own messages, and the devices that " +
		"they get push messages on."},
	{Name: tagSettings, Description: "What a school sends to whom, how and when."},
	{Name: tagLive, Description: "Connections that receive events as they happen, and the tokens " +
		"that open them."},
	{Name: tagOperations, Description: "Queues, dead letters and deliveries of all schools, for " +
		"operators of the platform."},
	{Name: tagReference, Description: "Descriptions of the events and of the log, for programs."},
}

// API is the public side of a process.
type API struct {
	config   Config
	deps     Deps
	metrics  *metrics
	huma     huma.API
	mux      *http.ServeMux
	live     *http.ServeMux       // the routes whose connections stay open
	needs    map[string]auth.Need // by method and path, of every route about a school
	results  *cache.ReadThrough[result]
	rates    *rates // of events, by token
	requests *rates // of requests other than events, by school
	bodies   *bodies
	scans    *reads // of the log
	recent   *recent
	internal http.Handler // for queries of live clients
	handler  http.Handler
}

// New builds the API. It fails when the config is invalid or a metric is registered already.
func New(config Config, deps Deps) (*API, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Refused == nil {
		deps.Refused = func(int32) error { return nil }
	}
	if deps.IsGuardian == nil {
		deps.IsGuardian = func(context.Context, pgx.Tx, string, string, string, domain.Date) (bool,
			error,
		) {
			return false, nil
		}
	}
	if deps.Today == nil {
		deps.Today = func(context.Context, string) (domain.Date, error) {
			return domain.DateOf(deps.Now().UTC()), nil
		}
	}
	if deps.Reader == nil && deps.Log != nil {
		deps.Reader = eventlog.NewReader(eventlog.ReaderConfig{
			Source: deps.Log, Decode: cloudevents.Decode, Logger: deps.Logger,
		})
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	config = config.withDefaults()
	a := &API{
		config: config, deps: deps, metrics: m, mux: http.NewServeMux(),
		needs:    map[string]auth.Need{},
		results:  cache.NewReadThrough(deps.Cache, resultCodec, loadTimeout),
		rates:    newRates(config.EventRate, config.eventBurst()),
		requests: newRates(config.RequestRate, int(math.Ceil(2*config.RequestRate))),
		bodies:   newBodies(config.InFlightBytes, config.MaxBody),
		scans:    newReads(config.ReadsPerSchool),
		recent:   newRecent(deps.Now),
	}
	if deps.Tables != nil {
		a.deps.Tables = sharedTables{deps.Tables, newReads(config.ReadsPerSchool)}
	}
	// Routes are described and served by one library, so that OpenAPI cannot drift from what is
	// served.
	a.huma = humago.New(a.mux, humaConfig(config))
	if err := a.routes(); err != nil {
		return nil, err
	}
	// Below a kilobyte the headers of compression outweigh what it saves.
	compress, err := gzhttp.NewWrapper(gzhttp.MinSize(1024), gzhttp.ContentTypeFilter(compressible))
	if err != nil {
		return nil, err
	}
	// Queries of live clients skip what is about connections: headers of browsers, compression,
	// streams.
	a.internal = observe(m, deps.Logger, a.mux)
	a.handler = fromClients(config, observe(m, deps.Logger,
		secure(config, a.splitLive(compress(http.HandlerFunc(a.dispatch))))))
	return a, nil
}

// ServeHTTP implements [http.Handler].
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// Handle adds a route that OpenAPI does not describe, for example the dashboard's pages.
func (a *API) Handle(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// Run watches the positions that reads wait for, until ctx ends.
func (a *API) Run(ctx context.Context) error {
	if a.deps.Positions == nil {
		<-ctx.Done()
		return nil
	}
	return a.deps.Positions.Run(ctx)
}

func (a *API) routes() error {
	if a.deps.Log != nil {
		a.eventRoutes()
	}
	if a.deps.Tables != nil {
		for _, q := range a.deps.Queries {
			a.mount(q)
		}
	}
	if a.deps.Live != nil {
		a.liveRoutes()
	}
	if a.deps.Logos != nil {
		a.logoRoutes()
	}
	if a.deps.Revoke != nil {
		a.revokeRoute()
	}
	if a.deps.Skip != nil {
		a.skipRoute()
	}
	if a.deps.Imports != nil {
		a.importRoutes()
	}
	if a.deps.Consumers != nil {
		a.consumerRoutes()
	}
	a.movedRoutes()
	return a.documentRoutes()
}

// splitLive routes connections that stay open around compression, which would buffer what they
// send.
func (a *API) splitLive(next http.Handler) http.Handler {
	if a.live == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := a.live.Handler(r); pattern != "" {
			a.live.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// dispatch serves a request by its route. Without one, the mux's plain-text error becomes a
// problem.
func (a *API) dispatch(w http.ResponseWriter, r *http.Request) {
	if h, pattern := a.mux.Handler(r); pattern == "" {
		// The mux's handler knows whether the method is wrong, and which ones are right (Allow).
		none := &headOnly{header: w.Header()}
		h.ServeHTTP(none, r)
		switch none.status {
		case http.StatusMethodNotAllowed:
			problem(none.status, "this path does not support %s, but %s", r.Method,
				w.Header().Get("Allow")).write(w, r)
		default:
			problem(http.StatusNotFound, "there is nothing at this path").write(w, r)
		}
		return
	}
	a.mux.ServeHTTP(w, r)
}

// headOnly records a response's status and headers, and drops its body.
type headOnly struct {
	header http.Header
	status int
}

func (h *headOnly) Header() http.Header         { return h.header }
func (h *headOnly) WriteHeader(status int)      { h.status = status }
func (h *headOnly) Write(b []byte) (int, error) { return len(b), nil }

func humaConfig(c Config) huma.Config {
	// Types that marshal themselves have no schema that reflection could find; the aliases stand in
	// for them.
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	schemas.RegisterTypeAlias(reflect.TypeFor[domain.Date](), reflect.TypeFor[dateSchema]())
	schemas.RegisterTypeAlias(
		reflect.TypeFor[domain.LogPosition](), reflect.TypeFor[positionSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[consumers.Clock](), reflect.TypeFor[clockSchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[jsontext.Value](), reflect.TypeFor[anySchema]())
	schemas.RegisterTypeAlias(reflect.TypeFor[huma.ErrorModel](), reflect.TypeFor[Problem]())
	format := huma.Format{
		Marshal:   func(w io.Writer, v any) error { return json.MarshalWrite(w, v) },
		Unmarshal: func(b []byte, v any) error { return json.Unmarshal(b, v) },
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0", Tags: tags,
			Info: &huma.Info{
				Title: "Schoolbell", Version: c.Version,
				Description: "Publish events of schools, and query what they add up to. Every " +
					"response says in Schoolbell-Position how much of the log it covers. To read " +
					"your own writes, send the position of your last event in " +
					"Schoolbell-Min-Position: the response then covers it.",
				License: &huma.License{Name: "Apache 2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: schemas,
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {
						Type: "http", Scheme: "bearer", BearerFormat: "JWT",
						Description: "A JSON Web Token with sub, school, roles and scope. The " +
							"school * is for operators of the platform.",
					},
				},
			},
			Security: []map[string][]string{{"bearer": {}}},
			// huma describes errors as its own type; every error of ours is a Problem.
			OnAddOperation: []huma.AddOpFunc{func(_ *huma.OpenAPI, op *huma.Operation) {
				for status, response := range op.Responses {
					if status >= "400" && response.Content != nil {
						schema := schemas.Schema(reflect.TypeFor[Problem](), true, "")
						response.Content = map[string]*huma.MediaType{problemType: {Schema: schema}}
					}
				}
			}},
		},
		Formats: map[string]huma.Format{
			"application/json": format,
			"json":             format,
		},
		DefaultFormat: "application/json",
		// A misspelt filter that is ignored returns too much, which a caller may not notice.
		RejectUnknownQueryParameters: true,
		// The last step before a body is written, where errors of huma itself can still become
		// problems.
		Transformers: []huma.Transformer{func(hc huma.Context, _ string, v any) (any, error) {
			_, w := humago.Unwrap(hc)
			switch e := v.(type) {
			case *huma.ErrorModel:
				p := asProblem(e)
				p.prepare(w.Header(), requestOf(hc.Context()))
				return p, nil
			case *Problem:
				e.prepare(w.Header(), requestOf(hc.Context()))
			}
			return v, nil
		}},
	}
}

// schemaName prefixes a type's name with its package, since read models may use the same name for
// different types.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	if t.Name() == "" || pkg == "" || pkg == "httpapi" || pkg == "domain" {
		return name
	}
	title := []rune(pkg)
	title[0] = unicode.ToUpper(title[0])
	if strings.HasPrefix(name, string(title)) {
		return name
	}
	return string(title) + name
}

type dateSchema string

// Schema implements [huma.SchemaProvider].
func (dateSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date"}
}

type positionSchema string

// Schema implements [huma.SchemaProvider].
func (positionSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^(0|[1-9]\d*):(-1|0|[1-9]\d*)(-[0-9a-z]{5})?$`,
		Examples: []any{"7:1042-k3f9a"},
	}
}

type clockSchema string

// Schema implements [huma.SchemaProvider].
func (clockSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Pattern: `^([01]\d|2[0-3]):[0-5]\d$`,
		PatternDescription: "a time of day, for example 21:30", Examples: []any{"21:30"},
	}
}

type anySchema string

// Schema implements [huma.SchemaProvider]: any JSON.
func (anySchema) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

// compressible reports which responses compression makes smaller.
func compressible(contentType string) bool {
	return strings.Contains(contentType, "json") || strings.HasPrefix(contentType, "text/")
}
