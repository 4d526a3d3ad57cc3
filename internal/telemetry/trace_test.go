package telemetry

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpansGoWhereOTLPTakesThem(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]string{
		"http://localhost:4318":             "http://localhost:4318/v1/traces",
		"http://localhost:4318/":            "http://localhost:4318/v1/traces",
		"https://c.example/otlp/v1/traces":  "https://c.example/otlp/v1/traces",
		"https://c.example/tenants/7/spans": "https://c.example/tenants/7/spans",
	} {
		require.Equal(t, want, TraceConfig{Endpoint: endpoint}.url())
	}
}

// What goes wrong is in the program's log, in its format.
func TestTheLogSaysThatSpansAreLost(t *testing.T) {
	t.Parallel()
	collector := httptest.NewServer(http.NotFoundHandler())
	defer collector.Close()
	var out bytes.Buffer
	tracers, stop, err := StartTracing(t.Context(), TraceConfig{Endpoint: collector.URL, Ratio: 1}, "v1",
		slog.New(slog.NewJSONHandler(&out, nil)))
	require.NoError(t, err)
	_, span := tracers.Tracer("test").Start(context.Background(), "work")
	span.End()
	require.NoError(t, stop(context.Background()))
	require.Contains(t, out.String(), `"msg":"export traces"`)
	require.Contains(t, out.String(), "404")
}
