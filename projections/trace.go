package projections

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/schoolbell/schoolbell/domain"
)

// links are the traces whose events are in a batch.
type links []trace.Link

const maxLinks = 64

// collectLink adds the trace of an event to the batch, if there is one and it is sampled.
func (s *lease) collectLink(e *domain.Envelope) {
	if s.cfg.Tracer == nil || len(s.batch.links) >= maxLinks ||
		!strings.HasSuffix(e.TraceParent, "-01") {
		return
	}
	carrier := propagation.MapCarrier{"traceparent": e.TraceParent, "tracestate": e.TraceState}
	origin := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(),
		carrier))
	if origin.IsValid() {
		s.batch.links = append(s.batch.links, trace.Link{SpanContext: origin})
	}
}

// startSpan starts the span of a commit. The function it returns ends it.
func (s *lease) startSpan(ctx context.Context, j *job) (context.Context, func(error)) {
	if s.cfg.Tracer == nil {
		return ctx, func(error) {}
	}
	ctx, span := s.cfg.Tracer.Start(ctx, "projections.commit", trace.WithLinks(j.links...),
		trace.WithAttributes(
			attribute.String("schoolbell.set", s.cfg.Name),
			attribute.Int64("schoolbell.partition", int64(s.claim.Partition)),
			attribute.Int64("schoolbell.offset.from", j.commit.From),
			attribute.Int64("schoolbell.offset.to", j.commit.To),
		))
	return ctx, func(err error) {
		if err != nil {
			span.SetStatus(codes.Error, err.Error())
		}
		span.End()
	}
}
