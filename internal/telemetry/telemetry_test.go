package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReadyzReportsWhatIsWrong(t *testing.T) {
	t.Parallel()
	var database, cache error
	var h Health
	h.Add(
		Check{Name: "database", Probe: func(context.Context) error { return database }},
		Check{Name: "cache", Optional: true, Probe: func(context.Context) error { return cache }},
	)
	handler := Handler(&h, NewRegistry("v1", "abc"), false)
	requireReady := func(status int, body string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w,
			httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
		require.Equal(t, status, w.Code)
		require.JSONEq(t, body, w.Body.String())
	}

	requireReady(503, `{"status":"not ready","checks":{"database":"ok","cache":"ok","process":"starting or stopping"}}`)
	h.Serve()
	requireReady(200, `{"status":"ready","checks":{"database":"ok","cache":"ok"}}`)
	cache = errors.New("silent")
	requireReady(200, `{"status":"degraded","checks":{"database":"ok","cache":"silent"}}`)
	database = errors.New("gone")
	requireReady(503, `{"status":"not ready","checks":{"database":"gone","cache":"silent"}}`)
	database, cache = nil, nil
	h.Drain()
	requireReady(503, `{"status":"not ready","checks":{"database":"ok","cache":"ok","process":"starting or stopping"}}`)
}

func TestMetricsNameTheBuild(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	Handler(new(Health), NewRegistry("v1.2.3", "abcdef"), false).
		ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `revision="abcdef",version="v1.2.3"} 1`)
	require.Contains(t, w.Body.String(), "go_goroutines")
}

func TestLogWritesEachErrorOnOneLine(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	NewLogger(&out, LogConfig{Level: slog.LevelInfo}).Error("stop", "error",
		errors.Join(errors.New("one"), errors.New("two")))
	require.Contains(t, out.String(), `error="one; two"`)
	require.ErrorContains(t, LogConfig{Format: "xml"}.Validate(), `"xml"`)
}

func TestRequestsPassTheirTraceOn(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := newProvider(sdktrace.NewSimpleSpanProcessor(spans), 1, "v1")
	defer func() { require.NoError(t, provider.Shutdown(t.Context())) }()
	var passedOn string
	handler := TraceRequests(provider,
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			passedOn = r.Header.Get("Traceparent")
			w.WriteHeader(http.StatusServiceUnavailable)
		}))

	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/schools/s/events", nil)
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	handler.ServeHTTP(httptest.NewRecorder(), r)

	require.Len(t, spans.GetSpans(), 1)
	span := spans.GetSpans()[0]
	require.Equal(t, "b7ad6b7169203331", span.Parent.SpanID().String())
	require.Equal(t,
		"00-0af7651916cd43dd8448eb211c80319c-"+span.SpanContext.SpanID().String()+"-01", passedOn)
	require.Equal(t, codes.Error, span.Status.Code)
}

func TestTracesFollowTheCallersChoice(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	provider := newProvider(sdktrace.NewSimpleSpanProcessor(spans), 0, "v1")
	defer func() { require.NoError(t, provider.Shutdown(t.Context())) }()
	tracer := provider.Tracer("test")

	_, own := tracer.Start(t.Context(), "started here")
	own.End()
	require.Empty(t, spans.GetSpans(), "none of our own are sampled at ratio 0")

	sampled := trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1},
		SpanID:  trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	})
	_, linked := tracer.Start(t.Context(), "linked to a sampled one",
		trace.WithLinks(trace.Link{SpanContext: sampled}))
	linked.End()
	require.Len(t, spans.GetSpans(), 1)

	require.Error(t, TraceConfig{Endpoint: "localhost:4318", Ratio: 2}.Validate())
	require.NoError(t, TraceConfig{Endpoint: "http://localhost:4318", Ratio: 1}.Validate())
	_, stop, err := StartTracing(t.Context(), TraceConfig{}, "v1", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, stop(t.Context()))
}

func TestProfilesAreServedOnRequestOnlyAndWithoutTheCommandLine(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]int{
		"/debug/pprof/heap":    {http.StatusNotFound, http.StatusOK},
		"/debug/pprof/cmdline": {http.StatusNotFound, http.StatusNotFound},
	} {
		for i, profiles := range []bool{false, true} {
			w := httptest.NewRecorder()
			Handler(new(Health), NewRegistry("v1", "abc"), profiles).
				ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			require.Equal(t, want[i], w.Code, path)
		}
	}
}
