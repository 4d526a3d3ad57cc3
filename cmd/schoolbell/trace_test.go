package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
)

// TestATraceGoesFromTheRequestToTheCommit stands in for an OTLP collector.
func TestATraceGoesFromTheRequestToTheCommit(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var spans []*tracev1.Span
	otlp := http.NewServeMux() // which serves the path of OTLP alone
	otlp.HandleFunc("POST /v1/traces", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent collector.ExportTraceServiceRequest
		if err != nil || proto.Unmarshal(body, &sent) != nil {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range sent.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				spans = append(spans, scope.Spans...)
			}
		}
	})
	endpoint := httptest.NewServer(otlp)
	defer endpoint.Close()
	a := startApp(t, func(c *config.Config) { c.Trace.Endpoint, c.Trace.Ratio = endpoint.URL, 0 })

	body := `{"specversion":"1.0","id":"1","source":"test","type":"schoolbell.student.enrolled.v1","school":"north","subject":"s1",` +
		`"time":"2026-09-07T08:00:00Z","data":{"student_id":"s1","given_name":"Ada","family_name":"Lovelace","class_id":"7a","on":"2026-09-01"}}`
	resp, b := a.call(t, http.MethodPost, a.HTTP+"/v1/schools/north/events", body, "Content-Type",
		"application/cloudevents+json", "Traceparent",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	require.Equal(t, http.StatusAccepted, resp.StatusCode, "%s", b)

	find := func(belongs func(*tracev1.Span) bool) *tracev1.Span {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range spans {
			if belongs(s) {
				return s
			}
		}
		return nil
	}
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	var request, commit *tracev1.Span
	require.Eventually(t, func() bool {
		request = find(
			func(s *tracev1.Span) bool { return s.Name == "HTTP POST" && hex.EncodeToString(s.TraceId) == traceID },
		)
		commit = find(func(s *tracev1.Span) bool {
			return len(s.Links) > 0 && hex.EncodeToString(s.Links[0].TraceId) == traceID
		})
		return request != nil && commit != nil
	}, 30*time.Second, 50*time.Millisecond)
	require.Equal(t, "b7ad6b7169203331", hex.EncodeToString(request.ParentSpanId))
	require.Equal(t, request.SpanId, commit.Links[0].SpanId, "the commit follows from the request")
}
