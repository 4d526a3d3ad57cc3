package httpapi_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/document"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/consumers/logo"
	"github.com/schoolbell/schoolbell/consumers/plan"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/ingest/authors"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/auth"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/catalog"
	"github.com/schoolbell/schoolbell/projections/students"
)

const (
	secret     = "a secret of at least thirty-two bytes"
	setName    = "test"
	partitions = 4
)

func TestMain(m *testing.M) { devtest.Main(m) }

// today is the day at every school of [full]: numbers are those of a window that ends with it.
var today = domain.NewDate(2026, time.November, 20)

// stack is a whole Schoolbell in one test: a log in memory, real tables, a Redis and the API in
// front.
type stack struct {
	t      testing.TB
	log    *memlog.Log
	redis  *miniredis.Miniredis
	api    *httpapi.API
	server *httptest.Server
	dsn    string
	jobs   *postgres.Pool // in the role of the consumers
	ledger *ledger.Ledger
	logs   *syncBuffer
	trail  *audit.Trail
}

type option func(*httpapi.Config, *httpapi.Deps)

// logOnly starts a stack without tables.
func logOnly(t testing.TB, options ...option) *stack {
	t.Helper()
	s := &stack{t: t, log: memlog.New(partitions), logs: &syncBuffer{}}
	s.start(httpapi.Deps{Log: s.log, Partitions: partitions}, options...)
	return s
}

// full starts a stack with tables and a projector.
func full(t testing.TB, options ...option) *stack {
	t.Helper()
	s := &stack{t: t, log: memlog.New(partitions), redis: miniredis.RunT(t), logs: &syncBuffer{}}
	s.dsn = devtest.Postgres(t)
	set, err := projections.NewSet(catalog.All()...)
	require.NoError(t, err)
	cache, err := redis.Open(redis.Config{URL: "redis://" + s.redis.Addr(), Timeout: time.Second},
		prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	tables, writer, jobs := devtest.Pool(t, s.dsn, postgres.API),
		devtest.Pool(t, s.dsn, postgres.Projector), devtest.Pool(t, s.dsn, postgres.Jobs)
	positions := checkpoint.NewPositions(tables.Acquire, setName)
	engine, err := projections.NewEngine(projections.Config{
		Name: setName, Set: set, Log: s.log, Group: s.log,
		Store:  postgres.NewProjectionStore(writer, set, setName),
		Decode: cloudevents.Decode,
		Notifiers: []projections.Notifier{
			redis.NewNotifier(cache, set),
			projections.PositionNotifier(positions.Reached),
		},
	})
	require.NoError(t, err)
	s.run(engine.Run)
	dir, err := document.OpenDir(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dir.Close()) })
	logos := &logo.Service{
		Store:    document.NewStore(dir),
		Settings: ledger.NewSettings(devtest.Pool(t, s.dsn, postgres.Jobs).Conns()),
	}
	s.trail, err = audit.New(audit.Config{
		Pool: jobs.Conns(), Metrics: prometheus.NewRegistry(), Keep: time.Hour,
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	of, err := authors.Open(t.Context(), jobs.Conns(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	s.start(httpapi.Deps{
		Audit: s.trail,
		Today: func(context.Context, string) (domain.Date, error) { return today, nil },
		Author: func(ctx context.Context, school string, p auth.Principal) domain.Author {
			return of.Of(ctx, school,
				authors.Token{Subject: p.Subject, ID: p.TokenID, Operator: p.Operator()})
		},
		Imports: imports.New(imports.Config{
			Database: tables, Log: s.log, Partitions: partitions, Set: setName, Positions: positions,
			Writer: ingest.Writer{Log: s.log, Limit: 10 * time.Second},
		}),
		Log: s.log, Partitions: partitions, Logos: logos, Tables: tables, Set: setName,
		Positions: positions, Cache: cache, Index: postgres.NewLogIndex(tables, setName),
		Skip: func(_ context.Context, r httpapi.SkipRequest) (httpapi.Skipped, error) {
			return httpapi.Skipped{}, fmt.Errorf("skip %s: %w", r.Subject, httpapi.ErrNotParked)
		},
		Queries: catalog.Queries(), Directory: students.ConnectionsOf, Consumers: s.consumers(jobs),
	}, options...)
	return s
}

// consumers are the routes about deliveries, on a ledger without workers.
func (s *stack) consumers(jobs *postgres.Pool) *httpapi.Consumers {
	s.t.Helper()
	deliveries, err := ledger.New(ledger.Config{
		Pool: jobs.Conns(), Encode: cloudevents.Encode, Log: s.log, Source: s.log,
		Decode: cloudevents.Decode,
	})
	require.NoError(s.t, err)
	planners, err := consumers.NewPlanners(plan.Planners()...)
	require.NoError(s.t, err)
	s.ledger, s.jobs = deliveries, jobs
	return &httpapi.Consumers{
		Ledger: deliveries, Settings: ledger.NewSettings(jobs.Conns()), Planners: planners,
		DeadLetters: jobs.Conns(),
		PushKey:     "a-public-key", Outbox: true,
		Link: func(_, _, hash string) string {
			return "https://school.example/documents/" + hash
		},
		StaffLink: func(school, user, hash string) string {
			return "https://school.example/documents/" + hash + "?reader=" + school + "." + user
		},
		SMSCallback: http.NotFoundHandler(), SMSInbound: http.NotFoundHandler(),
		Documents: http.NotFoundHandler(),
	}
}

func (s *stack) start(deps httpapi.Deps, options ...option) {
	s.t.Helper()
	verifier, err := auth.New(s.t.Context(), auth.Config{Secret: secret},
		slog.New(slog.DiscardHandler))
	require.NoError(s.t, err)
	deps.Verifier = verifier
	deps.Metrics = prometheus.NewRegistry()
	deps.Logger = slog.New(slog.NewTextHandler(s.logs,
		&slog.HandlerOptions{Level: slog.LevelDebug}))
	config := httpapi.Config{Version: "test"}
	for _, o := range options {
		o(&config, &deps)
	}
	s.api, err = httpapi.New(config, deps)
	require.NoError(s.t, err)
	s.run(s.api.Run)
	s.server = httptest.NewServer(s.api)
	s.t.Cleanup(s.server.Close)
}

// run runs a task until the test ends.
func (s *stack) run(task func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var g errgroup.Group
	g.Go(func() error { return task(ctx) })
	s.t.Cleanup(func() {
		cancel()
		require.NoError(s.t, g.Wait())
	})
}

func token(t testing.TB, school, subject string, roles ...string) string {
	t.Helper()
	p := auth.Principal{School: school, Subject: subject, Expires: time.Now().Add(time.Hour)}
	for _, r := range roles {
		if strings.Contains(r, ":") {
			p.Scopes = append(p.Scopes, r)
		} else {
			p.Roles = append(p.Roles, r)
		}
	}
	text, err := auth.Mint(secret, p, time.Now())
	require.NoError(t, err)
	return text
}

type response struct {
	*http.Response
	body []byte
}

func (r response) problem(t testing.TB) httpapi.Problem {
	t.Helper()
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"), string(r.body))
	var p httpapi.Problem
	require.NoError(t, json.Unmarshal(r.body, &p), string(r.body))
	require.Equal(t, r.StatusCode, p.Status)
	require.Equal(t, r.Header.Get("X-Request-Id"), p.RequestID)
	return p
}

// do sends a request with a token; headers are names and values in turn.
func (s *stack) do(method, path, token, body string, headers ...string) response {
	s.t.Helper()
	r, err := http.NewRequest(method, s.server.URL+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.server.Client().Do(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return response{resp, b}
}

func (s *stack) get(path, token string, headers ...string) response {
	s.t.Helper()
	return s.do(http.MethodGet, path, token, "", headers...)
}

// publish sends events to a school and returns the position of the last.
func (s *stack) publish(school string, events ...string) string {
	s.t.Helper()
	r := s.do(http.MethodPost, "/v1/schools/"+school+"/events",
		token(s.t, school, "sis", "events:write"),
		"["+strings.Join(events, ",")+"]", "Content-Type", cloudevents.BatchType)
	require.Equal(s.t, http.StatusAccepted, r.StatusCode, string(r.body))
	var a httpapi.Accepted
	require.NoError(s.t, json.Unmarshal(r.body, &a))
	return a.Position.String()
}

func structured(id, eventType, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/sis","type":"schoolbell.%s.v1","time":"2026-09-01T08:00:00Z","data":%s}`, id, eventType, data)
}

func enrolled(student string) string {
	return structured("enrol-"+student, "student.enrolled",
		fmt.Sprintf(`{"student_id":%q,"given_name":"Ada","family_name":"Byron","class_id":"c-1","on":"2026-09-01"}`, student))
}

func marked(id, student, status string) string {
	return structured(id, "attendance.marked",
		fmt.Sprintf(`{"student_id":%q,"class_id":"c-1","date":"2026-09-01","session":"day","status":%q}`, student, status))
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
