package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Planner plans events.
type Planner interface {
	// Wants says whether anything may follow from events of a type.
	Wants(eventType string) bool
	// Plan returns when what follows from an event is kept.
	Plan(ctx context.Context, event consumers.Event) error
}

// DeadLetters keeps the places of records that cannot be read.
type DeadLetters func(ctx context.Context, at domain.Position, school, eventID, eventType, reason string) error

// Config is what a router is made of. A zero value means the default in parentheses.
type Config struct {
	Log         Log                                             // required
	Topic       string                                          // of the log; required
	Group       string                                          // (consumers)
	Positions   Positions                                       // required
	Planner     Planner                                         // required
	DeadLetters DeadLetters                                     // required
	Decode      func(eventlog.Record) (*domain.Envelope, error) // required
	InFlight    int                                             // events of a partition that are planned at the same time (1,000)
	Timeout     time.Duration                                   // for one event, until it comes again (30 s)
	Logger      *slog.Logger                                    // (none)
	Metrics     prometheus.Registerer                           // (none)
}

func (c *Config) setDefaults() error {
	if c.Log == nil || c.Topic == "" || c.Positions == nil || c.Planner == nil || c.DeadLetters == nil || c.Decode == nil {
		return errors.New("router: a log, its topic, positions, a planner, a decoder and a place for what cannot be read are required")
	}
	if c.InFlight < 0 || c.Timeout < 0 {
		return errors.New("router: numbers must not be negative")
	}
	if c.Group == "" {
		c.Group = "consumers"
	}
	if c.InFlight == 0 {
		c.InFlight = 1000
	}
	if c.Timeout == 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return nil
}

// Router hands each event of the log to the planners.
type Router struct {
	cfg     Config
	metrics *metrics
}

// New returns a router that is ready to run.
func New(cfg Config) (*Router, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Router{cfg: cfg, metrics: m}, nil
}

// Run hands out events until ctx ends. Those that are being planned then are finished first.
func (r *Router) Run(ctx context.Context) error {
	subscriber, err := NewSubscriber(SubscriberConfig{
		Open: SingleTopic(r.cfg.Log, r.cfg.Topic), Positions: r.cfg.Positions, Group: r.cfg.Group, InFlight: r.cfg.InFlight,
		Wants: r.wants, Logger: r.cfg.Logger,
	})
	if err != nil {
		return err
	}
	w, err := message.NewRouter(message.RouterConfig{CloseTimeout: r.cfg.Timeout}, newLogger(r.cfg.Logger))
	if err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	w.AddMiddleware(
		r.metrics.observe,        // sees what the others made of it
		r.divertPoison,           // takes what would fail for ever
		middleware.Recoverer,     // makes an error of a panic
		correlate,                // names what belongs together
		middleware.CorrelationID, // and hands that on
		middleware.Timeout(r.cfg.Timeout),
	)
	w.AddConsumerHandler("plan", r.cfg.Topic, subscriber, r.plan)
	if err := w.Run(ctx); err != nil {
		return fmt.Errorf("run the router: %w", err)
	}
	return nil
}

// wants leaves out the types from which nothing follows, by the header alone. A record without one is to be looked at.
func (r *Router) wants(rec *eventlog.Record) bool {
	t := header(rec, headerType)
	return t == "" || r.cfg.Planner.Wants(t)
}

// plan is the handler.
func (r *Router) plan(m *message.Message) error {
	rec := recordOf(m)
	event, err := r.cfg.Decode(*rec)
	if err != nil {
		return &poisonError{fmt.Errorf("read the event: %w", err)}
	}
	return r.cfg.Planner.Plan(m.Context(), consumers.Event{Envelope: event, AppendedAt: rec.Time})
}

// poisonError is an error that the same message would bring for ever.
type poisonError struct{ error }

func (e *poisonError) Unwrap() error { return e.error }

// poison says whether an error is the message's fault. What went wrong outside goes by, and the message comes again.
func poison(err error) bool {
	var p *poisonError
	var panicked middleware.RecoveredPanicError
	return errors.As(err, &p) || errors.As(err, &panicked)
}

// divertPoison takes what would fail for ever out of the way. Watermill's own poison queue would publish a copy, away
// from its place; here the event stays where it is in the log, and its place is noted before it is acknowledged, so it is
// neither lost nor reordered.
func (r *Router) divertPoison(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		out, err := next(m)
		if err == nil || !poison(err) {
			return out, err
		}
		rec := recordOf(m)
		// The context of the message may have timed out within.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.Context()), r.cfg.Timeout)
		defer cancel()
		if failed := r.cfg.DeadLetters(ctx, rec.Position, string(rec.Key), m.UUID, header(rec, headerType), err.Error()); failed != nil {
			return nil, errors.Join(err, failed)
		}
		r.metrics.deadLetters.Inc()
		r.cfg.Logger.ErrorContext(ctx, "set an event aside that cannot be handled", "position", rec.Position.String(), "error", err)
		return nil, nil
	}
}

// correlate gives a message the correlation id of its event, or else makes the event the first of what follows.
func correlate(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		id := m.Metadata.Get("ce_correlationid")
		if id == "" {
			id = m.UUID
		}
		middleware.SetCorrelationID(id, m)
		return next(m)
	}
}

// newLogger passes on what Watermill has to say. That a message comes again is not worth an error for each.
func newLogger(logger *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{
		slog.LevelInfo: slog.LevelDebug, slog.LevelError: slog.LevelWarn,
	})
}
