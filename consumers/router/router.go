package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
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
	// Wants reports whether any planner looks at events of a type.
	Wants(eventType string) bool
	// Plan returns when the plan of an event is stored.
	Plan(ctx context.Context, event consumers.Event) error
}

// DeadLetters stores the positions of records that cannot be handled, and why.
type DeadLetters func(
	ctx context.Context, at domain.Position, school, eventID, eventType, reason string,
) error

// Config configures a router. A zero value means the default in parentheses.
type Config struct {
	Log         eventlog.Log // required
	Topic       string       // of the log; required
	Group       string       // (consumers)
	Positions   Positions    // required
	Planner     Planner      // required
	DeadLetters DeadLetters  // required
	// Reader of Log, which this process shares; required.
	Reader   *eventlog.Reader
	InFlight int                   // unacknowledged events of a partition ([DefaultInFlight])
	Timeout  time.Duration         // for one event, until it is delivered again (30 s)
	Logger   *slog.Logger          // (none)
	Metrics  prometheus.Registerer // (none)
}

func (c *Config) setDefaults() error {
	if c.Log == nil || c.Topic == "" || c.Positions == nil || c.Planner == nil ||
		c.DeadLetters == nil || c.Reader == nil {
		return errors.New("router: a log, its topic and reader, positions, a planner and a store " +
			"for dead letters are required")
	}
	if c.InFlight < 0 || c.Timeout < 0 {
		return errors.New("router: numbers must not be negative")
	}
	c.Group = cmp.Or(c.Group, "consumers")
	c.Timeout = cmp.Or(c.Timeout, 30*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	return nil
}

// Router hands each event of the log to the planners.
type Router struct {
	cfg      Config
	metrics  *metrics
	progress *Progress
}

// Status returns the state of each partition of this process, in order.
func (r *Router) Status() []Status { return r.progress.Status() }

// New returns a router that is ready to run.
func New(cfg Config) (*Router, error) {
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	progress := NewProgress()
	if err := cfg.Metrics.Register(progress); err != nil {
		return nil, fmt.Errorf("register metrics of the router: %w", err)
	}
	return &Router{cfg: cfg, metrics: m, progress: progress}, nil
}

// Run hands out events until ctx ends. Those that are being planned then are finished first.
func (r *Router) Run(ctx context.Context) error {
	subscriber, err := NewSubscriber(SubscriberConfig{
		Open: SingleTopic(r.cfg.Log, r.cfg.Topic), Positions: r.cfg.Positions,
		Group: r.cfg.Group, InFlight: r.cfg.InFlight, Reader: r.cfg.Reader, Wants: r.wants, Logger: r.cfg.Logger,
		Progress: r.progress,
	})
	if err != nil {
		return err
	}
	w, err := message.NewRouter(
		message.RouterConfig{CloseTimeout: r.cfg.Timeout}, newLogger(r.cfg.Logger))
	if err != nil {
		return fmt.Errorf("make the router: %w", err)
	}
	w.AddMiddleware(
		r.metrics.observe,    // sees the result of all the others
		r.divertPoison,       // makes dead letters of what would always fail
		middleware.Recoverer, // makes an error of a panic
		middleware.Timeout(r.cfg.Timeout),
	)
	w.AddConsumerHandler("plan", r.cfg.Topic, subscriber, r.plan)
	if err := w.Run(ctx); err != nil {
		return fmt.Errorf("run the router: %w", err)
	}
	return nil
}

// wants reports whether any planner looks at events of the record's type, by the header alone. A
// record without one has to be decoded.
func (r *Router) wants(rec *eventlog.Record) bool {
	t := rec.Header(eventlog.HeaderType)
	return t == "" || r.cfg.Planner.Wants(t) || r.wantsOlder(t)
}

// maxVersion is up to which version of a type an older one is looked for. No type has had so many.
const maxVersion = 20

// wantsOlder reports whether any planner looks at an older version of a type. A newer one cannot be
// read here, and becomes a dead letter that is planned after an upgrade.
func (r *Router) wantsOlder(eventType string) bool {
	if strings.HasSuffix(eventType, ".v1") {
		return false
	}
	context, fact, version, err := domain.SplitType(eventType)
	for older := 1; err == nil && older < min(version, maxVersion); older++ {
		if r.cfg.Planner.Wants(fmt.Sprintf("schoolbell.%s.%s.v%d", context, fact, older)) {
			return true
		}
	}
	return false
}

// plan is the handler.
func (r *Router) plan(m *message.Message) error {
	entry := entryOf(m)
	event, err := entry.Event()
	if eventlog.IsUnusable(err) {
		return nil // no role uses it, and the projections make a dead letter of it
	}
	if err != nil {
		return &poisonError{fmt.Errorf("read the event: %w", err)}
	}
	return r.cfg.Planner.Plan(m.Context(), consumers.Event{
		Envelope: event, AppendedAt: entry.Record.Time, Gap: gapOf(m),
	})
}

// poisonError is an error that the same message would always cause.
type poisonError struct{ error }

func (e *poisonError) Unwrap() error { return e.error }

// poison reports whether an error is the message's fault. Other errors pass, and the message is
// delivered again.
func poison(err error) bool {
	_, poisoned := errors.AsType[*poisonError](err)
	_, panicked := errors.AsType[middleware.RecoveredPanicError](err)
	return poisoned || panicked
}

// divertPoison makes dead letters of what would always fail. Watermill's own poison queue would
// publish a copy elsewhere; here the event stays where it is in the log, and its position is stored
// before it is acknowledged, so it is neither lost nor reordered.
func (r *Router) divertPoison(next message.HandlerFunc) message.HandlerFunc {
	return func(m *message.Message) ([]*message.Message, error) {
		out, err := next(m)
		if err == nil || !poison(err) {
			return out, err
		}
		rec := &entryOf(m).Record
		// The context of the message may have timed out by now.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.Context()), r.cfg.Timeout)
		defer cancel()
		storing := r.cfg.DeadLetters(ctx, rec.Position, string(rec.Key), m.UUID,
			rec.Header(eventlog.HeaderType), err.Error())
		if storing != nil {
			return nil, errors.Join(err, storing)
		}
		r.metrics.deadLetters.Inc()
		r.cfg.Logger.ErrorContext(ctx, "event cannot be handled, it is a dead letter now",
			"position", rec.Position.String(), "error", err)
		return nil, nil
	}
}

// newLogger passes on what Watermill logs, a level lower: that a message is delivered again is not
// an error.
func newLogger(logger *slog.Logger) watermill.LoggerAdapter {
	return watermill.NewSlogLoggerWithLevelMapping(logger, map[slog.Level]slog.Level{
		slog.LevelInfo: slog.LevelDebug, slog.LevelError: slog.LevelWarn,
	})
}
