package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/revocation"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

// program is one process. The roles add their parts to it, each in a file of its own.
type program struct {
	cfg      *config.Config
	log      *slog.Logger
	registry *prometheus.Registry
	// deadLetters counts those of all roles.
	deadLetters *deadletter.Metrics
	tracers     trace.TracerProvider
	health      telemetry.Health
	servers     *Servers
	events      *kafka.Log
	topic       eventlog.Topic // of events, as it was at the start
	guard       *checkpoint.Guard
	appender    eventlog.Appender // to events, but not to partitions that are refused
	reader      *eventlog.Reader  // of events, for all roles of this process
	live        *live             // nil without the role realtime
	handler     http.Handler      // the public side
	verifier    *auth.Verifier
	revoked     *revocation.List
	audit       *audit.Trail
	tables      *postgres.Pool  // nil without the role api
	workers     *workerWatch    // nil without a role that uses PostgreSQL
	letters     *ingest.Letters // nil without the roles ingest and api
	intake      *pgxpool.Pool   // of ingest; nil likewise
	pacer       *ingest.Pacer   // nil without the role ingest, or when nobody is paced

	stopBy time.Time // zero until it stops
	url    string    // of the public side, on this machine

	tasks  []func(context.Context) error // run until their context ends
	closes []func() error                // called in reverse order
}

// ConfigError says that the configuration cannot work. Whoever started the program has to change
// it; trying again does not help.
type ConfigError struct{ error }

// Unwrap returns the cause.
func (e ConfigError) Unwrap() error { return e.error }

// Run starts the whole program and serves until ctx ends. When it serves, it calls ready with its
// addresses. It ends with [ErrLogChanged] when the program is to be run again.
//
// A stop happens in this order: /readyz turns red; live connections are closed, spread over time;
// the listeners close and accepted requests are completed; the projections commit what they have
// folded and release their partitions; connections close; embedded servers stop.
func Run(
	ctx context.Context, cfg *config.Config, log *slog.Logger, ready func(Address),
) (err error) {
	if err := cfg.Validate(); err != nil {
		return ConfigError{err}
	}
	for _, advice := range cfg.Advice() {
		log.WarnContext(ctx, advice)
	}
	p := &program{cfg: cfg, log: log}
	defer func() { err = errors.Join(err, p.close()) }()
	// The ports come first: that one is in use should be known before everything else has started.
	api, apiURL, err := listen(ctx, cfg.HTTP)
	if err != nil {
		return err
	}
	defer api.Close()
	p.url = apiURL
	ops, opsURL, err := listen(ctx, cfg.Ops)
	if err != nil {
		return err
	}
	defer ops.Close()
	if err := p.assemble(ctx); err != nil {
		return err
	}
	return p.serve(ctx, api, ops, func() {
		ready(p.address(apiURL, opsURL))
	})
}

// assemble opens everything that the roles of the process need.
func (p *program) assemble(ctx context.Context) (err error) {
	b := ThisBuild()
	p.registry = telemetry.NewRegistry(b.Version, b.Revision)
	if err := errors.Join(p.registry.Register(&p.health),
		telemetry.ObserveRoles(p.registry, p.cfg.RolesOfProcess())); err != nil {
		return err
	}
	p.deadLetters = deadletter.NewMetrics(p.registry)
	var stopTracing func(context.Context) error
	if p.tracers, stopTracing, err = telemetry.StartTracing(ctx, p.cfg.Trace.Config(), b.Version, p.log); err != nil {
		return err
	}
	p.onClose(func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		return stopTracing(ctx)
	})
	if p.servers, err = StartServers(ctx, p.cfg, p.log); err != nil {
		return err
	}
	p.onClose(func() error { return p.servers.StopWithin(p.graceLeft()) })
	p.task(p.servers.Run)

	prepare := postgres.CheckSessions // which migrating does as well
	if p.cfg.Database.Migrate {
		prepare = postgres.Migrate
	}
	if err := prepare(ctx, p.servers.DatabaseURL); err != nil {
		return err
	}
	if err := p.openLog(ctx); err != nil {
		return err
	}
	if err := postgres.CheckLog(ctx, p.servers.DatabaseURL, p.topic); err != nil {
		return err
	}
	if err := p.wireGuard(ctx); err != nil {
		return err
	}
	p.reader = eventlog.NewReader(eventlog.ReaderConfig{
		Source: p.events, Decode: cloudevents.Decode, Logger: p.log,
	})
	p.wireLogHealth()
	return p.wireRoles(ctx)
}

// startWithoutLog is how long a process that can do without the log waits for it.
const startWithoutLog = 3 * time.Second

// openLog opens the log. Dashboards are served from the tables, so a process that does nothing else
// starts without the log as well: when Kafka is away, no other process may be left to serve them.
func (p *program) openLog(ctx context.Context) error {
	c, err := p.servers.Kafka.Config()
	if err != nil {
		return err
	}
	if slices.Equal(p.cfg.Roles, []config.Role{config.RoleAPI}) {
		known, folded, err := postgres.FoldedLog(ctx, p.servers.DatabaseURL, SetName)
		if err != nil {
			return err
		}
		if folded {
			known.Name = c.Topic
			c.Known, c.ConnectTimeout = known, startWithoutLog
		}
	}
	if p.events, err = kafka.Open(ctx, c, p.log, p.registry); err != nil {
		return err
	}
	p.onClose(p.events.Close)
	p.topic, err = p.events.Topic(ctx)
	if c.Known.ID != "" && errors.Is(err, eventlog.ErrUnavailable) {
		p.topic, err = c.Known, nil
	}
	if err != nil {
		return fmt.Errorf("describe the log: %w", err)
	}
	return nil
}

// serve runs all tasks and stops them in order.
func (p *program) serve(ctx context.Context, api, ops net.Listener, ready func()) error {
	// Tasks do not end with ctx, but when the stop has come to them.
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	g, work := errgroup.WithContext(work)
	for _, task := range p.tasks {
		g.Go(func() error { return task(work) })
	}
	apiServer, opsServer := httpapi.Server(p.handler, p.log), httpapi.Server(p.operations(), p.log)
	opsServer.WriteTimeout = 0 // a profile takes as long as requested
	g.Go(func() error {
		return ignoreClosed(apiServer.Serve(httpapi.Listen(api, httpapi.Limits{
			Connections: p.connections(ctx), PerAddress: p.cfg.API.PerAddress,
			Proxies: p.cfg.API.TrustedProxies(), Logger: p.log,
			ProxyHeader: httpapi.ProxyHeader(p.cfg.API.ProxyHeader),
		})))
	})
	g.Go(func() error { return ignoreClosed(opsServer.Serve(ops)) })

	p.health.Serve()
	ready()
	select {
	case <-ctx.Done():
		p.log.InfoContext(ctx, "stopping", "grace", p.cfg.Grace)
	case <-work.Done():
	}

	p.health.Drain()
	p.waitForBalancers(ctx)
	p.stopBy = time.Now().Add(p.cfg.Grace)
	grace, cancel := context.WithDeadline(context.WithoutCancel(ctx), p.stopBy)
	defer cancel()
	var stopped error
	if p.live != nil { // streams are requests that do not end by themselves
		stopped = p.live.drain(grace, p.cfg.Realtime.DrainTime)
	}
	stopped = errors.Join(stopped, apiServer.Shutdown(grace))
	stopWork()
	stopped = errors.Join(stopped, opsServer.Shutdown(grace))
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		return errors.Join(err, stopped)
	case <-grace.Done():
		return fmt.Errorf("stop: not finished within %v (--grace)", p.cfg.Grace)
	}
}

// operations is the handler of the operations port.
func (p *program) operations() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", telemetry.Handler(&p.health, p.registry, p.cfg.OpsProfiles))
	if p.live != nil {
		mux.HandleFunc("GET /realtime", p.live.nodes)
	}
	return httpapi.Internal(p.cfg.OpsHosts, mux)
}

// connections is how many connections the public port may hold open: as many as are configured, or
// as the operating system allows. Without a reserve of files nobody could ask how the process does.
func (p *program) connections(ctx context.Context) int {
	n := p.cfg.API.Connections
	if p.live != nil {
		n += p.cfg.Realtime.Connections
	}
	limit := maxFiles()
	if allowed := affordable(n, limit); allowed < n {
		p.log.WarnContext(ctx, "this process may open too few files for the configured "+
			"connections: raise the limit (ulimit -n, LimitNOFILE)",
			"files", limit, "configured", n, "connections", allowed)
		return allowed
	}
	return n
}

// affordable is how many of n connections a process may hold that may have some files open; 0 is any
// number.
func affordable(n, files int) int {
	if files == 0 {
		return n
	}
	return max(1, min(n, files-reservedFiles))
}

// reservedFiles is how many files a process needs for itself: connections to servers, the embedded
// ones with their files, documents, and the operations port.
const reservedFiles = 256

// waitForBalancers keeps serving until load balancers have noticed that the process is not ready. A
// second signal ends the wait together with the process.
func (p *program) waitForBalancers(ctx context.Context) {
	if ctx.Err() == nil || p.cfg.DrainDelay == 0 {
		return // something failed, or there is no load balancer
	}
	timer := time.NewTimer(p.cfg.DrainDelay)
	defer timer.Stop()
	<-timer.C
}

// graceLeft is how long the rest of the stop may take.
func (p *program) graceLeft() time.Duration {
	if p.stopBy.IsZero() {
		return p.cfg.Grace // the start failed: nothing has been spent
	}
	return max(0, time.Until(p.stopBy))
}

func (p *program) task(run func(context.Context) error) { p.tasks = append(p.tasks, run) }

func (p *program) onClose(f func() error) { p.closes = append(p.closes, f) }

func (p *program) close() error {
	var faults []error
	for _, c := range slices.Backward(p.closes) {
		faults = append(faults, c())
	}
	return errors.Join(faults...)
}

func listen(ctx context.Context, addr string) (net.Listener, string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, "", fmt.Errorf("listen: %w", err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return l, "http://" + l.Addr().String(), nil
	}
	if at.IP.IsUnspecified() { // any address of this machine: name one
		return l, fmt.Sprintf("http://localhost:%d", at.Port), nil
	}
	return l, "http://" + at.String(), nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
