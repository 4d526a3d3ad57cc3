package httpapi

import (
	"context"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/gzhttp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/audit"
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
	Verifier *auth.Verifier
	Log      Log
	Pacer    *ingest.Pacer // of events; nil takes them as fast as they come
	// Author returns what the events that a bearer writes to a school are marked with; nil marks
	// none.
	Author     func(ctx context.Context, school string, bearer auth.Principal) domain.Author
	Partitions int32 // of the log
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
	// Directory returns what links a user with classes and students on a day; nil: nothing does.
	Directory func(ctx context.Context, tx pgx.Tx, school, user string, on domain.Date,
		p access.Policy) (access.Directory, error)
	// Policy returns what a school has decided about access; nil is the default.
	Policy func(ctx context.Context, school string) (access.Policy, error)
	// Today returns a school's day, by its clock; nil is the day in UTC.
	Today func(ctx context.Context, school string) (domain.Date, error)
	// Numbers returns what a school has decided that its numbers depend on; nil is the default.
	Numbers func(ctx context.Context, school string) (query.Settings, error)

	Audit *audit.Trail // nil: it is not recorded who reads what

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

// API is the public side of a process.
type API struct {
	config      Config
	deps        Deps
	metrics     *metrics
	huma        huma.API
	mux         *http.ServeMux
	live        *http.ServeMux       // the routes whose connections stay open
	needs       map[string]auth.Need // by method and path, of every route about a school
	queries     map[string]bool      // which of them are queries
	results     *cache.ReadThrough[result]
	directories *directories
	rates       *rates // of events, by token
	requests    *rates // of requests other than events, by school
	bodies      *bodies
	scans       *reads // of the log
	recent      *recent
	internal    http.Handler // for queries of live clients
	handler     http.Handler
	elsewhere   elsewhere
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
	if deps.Directory == nil {
		deps.Directory = func(context.Context, pgx.Tx, string, string, domain.Date, access.Policy,
		) (d access.Directory, err error) {
			return d, nil
		}
	}
	if deps.Author == nil {
		deps.Author = func(context.Context, string, auth.Principal) domain.Author {
			return domain.Author{}
		}
	}
	if deps.Policy == nil {
		deps.Policy = func(context.Context, string) (p access.Policy, err error) { return p, nil }
	}
	if deps.Today == nil {
		deps.Today = func(context.Context, string) (domain.Date, error) {
			return domain.DateOf(deps.Now().UTC()), nil
		}
	}
	if deps.Numbers == nil {
		deps.Numbers = func(context.Context, string) (s query.Settings, err error) { return s, nil }
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
		needs:       map[string]auth.Need{},
		queries:     map[string]bool{},
		results:     cache.NewReadThrough(deps.Cache, resultCodec, loadTimeout),
		directories: newDirectories(),
		rates:       newRates(config.EventRate, config.eventBurst()),
		requests:    newRates(config.RequestRate, int(math.Ceil(2*config.RequestRate))),
		bodies:      newBodies(config.InFlightBytes, config.MaxBody),
		scans:       newReads(config.ReadsPerSchool),
		recent:      newRecent(deps.Now),
		elsewhere:   newElsewhere(deps),
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
		a.actorRoutes()
		if a.deps.Log != nil {
			a.explainRoutes()
		}
		a.auditRoutes()
	}
	if a.deps.Live != nil {
		a.liveRoutes()
	}
	if a.deps.Logos != nil {
		a.logoRoutes()
	}
	if a.deps.Revoke != nil {
		a.revokeRoutes()
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
		w.Header().Del("Location") // of a path that is cleaned and leads nowhere all the same
		switch none.status {
		case http.StatusMethodNotAllowed:
			problem(none.status, "this path does not support %s, but %s", r.Method,
				w.Header().Get("Allow")).write(w, r)
		default:
			fault := problem(http.StatusNotFound, "there is nothing at this path")
			if role := a.elsewhere.role(r); role != "" {
				fault = problem(http.StatusNotFound, "this process does not serve this path, but "+
					"processes with %s do: a balancer in front should send it there", role)
			}
			fault.write(w, r)
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

// compressible reports which responses compression makes smaller.
func compressible(contentType string) bool {
	return strings.Contains(contentType, "json") || strings.HasPrefix(contentType, "text/")
}
