package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// TraceConfig is where spans go.
type TraceConfig struct {
	// of an OTLP collector over HTTP, for example http://localhost:4318; empty: no traces
	Endpoint string
	// the share of traces started here that are sampled; a caller's trace follows the caller's
	// choice
	Ratio float64
}

// Validate reports all faults at once.
func (c TraceConfig) Validate() error {
	var faults []error
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			faults = append(faults,
				errors.New("trace endpoint is malformed: want http://host:4318"))
		}
	}
	if c.Ratio < 0 || c.Ratio > 1 {
		faults = append(faults, fmt.Errorf("trace ratio %v is not between 0 and 1", c.Ratio))
	}
	return errors.Join(faults...)
}

// url is where spans are posted. An endpoint without a path is a collector, which takes them where
// OTLP says.
func (c TraceConfig) url() string {
	u, err := url.Parse(c.Endpoint)
	if err != nil || strings.Trim(u.Path, "/") != "" {
		return c.Endpoint
	}
	return u.JoinPath("v1", "traces").String()
}

// loggedExporter writes into the program's log what goes wrong, which otherwise ends on standard
// error.
type loggedExporter struct {
	sdktrace.SpanExporter
	log *slog.Logger
}

func (e loggedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.log.WarnContext(ctx, "export traces", "spans", len(spans), "error", err)
	}
	return nil
}

// StartTracing returns the provider for the program's tracers, and the function that flushes spans
// and stops. A trace crosses the log in an event's traceparent attribute: from the request that
// brought the event to the transaction that committed it.
func StartTracing(
	ctx context.Context, c TraceConfig, version string, log *slog.Logger,
) (trace.TracerProvider, func(context.Context) error, error) {
	if c.Endpoint == "" {
		return noop.NewTracerProvider(), func(context.Context) error { return nil }, nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(c.url()))
	if err != nil {
		return nil, nil, fmt.Errorf("open trace endpoint: %w", err)
	}
	logged := loggedExporter{exporter, log}
	provider := newProvider(sdktrace.NewBatchSpanProcessor(logged), c.Ratio, version)
	return provider, provider.Shutdown, nil
}

func newProvider(
	processor sdktrace.SpanProcessor, ratio float64, version string,
) *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(
		sdktrace.WithSpanProcessor(processor),
		sdktrace.WithSampler(sdktrace.ParentBased(followLinks{sdktrace.TraceIDRatioBased(ratio)})),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "schoolbell"),
			attribute.String("service.version", version),
		)),
	)
}

// followLinks samples a span without a parent when it links to a sampled one. The commit of a batch
// is such a span: it has many requests as its cause, and can have none of them as its parent.
type followLinks struct{ fallback sdktrace.Sampler }

func (s followLinks) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	for _, link := range p.Links {
		if link.SpanContext.IsSampled() {
			return sdktrace.AlwaysSample().ShouldSample(p)
		}
	}
	return s.fallback.ShouldSample(p)
}

func (s followLinks) Description() string { return "FollowLinks{" + s.fallback.Description() + "}" }
