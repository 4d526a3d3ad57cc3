package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/log"
)

// Ledger stores plans.
type Ledger interface {
	// Commit writes what is new about the plans, with its jobs, in one transaction, and returns the
	// number of new deliveries. A delivery that exists is left as it is, and nothing is added to
	// what a planner planned from an event before, whatever the facts are by now. An event with a
	// fault becomes a dead letter, and stops being one when it is planned again without. The error
	// is [ErrRejected] when the plans themselves are to blame.
	Commit(ctx context.Context, plans []Planning) (int, error)
}

// ErrRejected means that the ledger refuses a plan and would refuse it again. Nothing has changed.
var ErrRejected = errors.New("ledger refuses the plan")

// Config configures an engine. A zero value means the default in parentheses.
type Config struct {
	Planners *Planners                                // required
	Facts    func(context.Context) (*Snapshot, error) // takes a snapshot; required
	Settings SettingsSource                           // required
	Ledger   Ledger                                   // required
	// Await returns when the projections have reached a position, or with the context's error
	// (facts are there from the beginning).
	Await func(context.Context, domain.Position) error

	MaxBatch int                   // events that are planned together (1,000)
	Logger   *slog.Logger          // (none)
	Metrics  prometheus.Registerer // (none)
}

// Validate reports everything that is wrong.
func (c *Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		missing bool
		what    string
	}{
		{c.Planners == nil, "planners"},
		{c.Facts == nil, "facts"},
		{c.Settings == nil, "settings"},
		{c.Ledger == nil, "ledger"},
	} {
		if f.missing {
			faults = append(faults, fmt.Errorf("consumer engine: %s: required", f.what))
		}
	}
	if c.MaxBatch < 0 {
		faults = append(faults, errors.New("consumer engine: batch limit must not be negative"))
	}
	return errors.Join(faults...)
}

// Engine plans events. Events that are handed to it at the same time are planned together, in one
// snapshot and one transaction: a backlog is worked off quickly, and a single event at once.
type Engine struct {
	cfg     Config
	metrics *metrics
	queue   chan *planRequest
}

type planRequest struct {
	ctx   context.Context // of the caller that waits
	event Event
	done  chan error
}

// NewEngine returns an engine that is ready to run.
func NewEngine(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.MaxBatch = cmp.Or(cfg.MaxBatch, 1000)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	if cfg.Await == nil {
		cfg.Await = func(context.Context, domain.Position) error { return nil }
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Engine{cfg: cfg, metrics: m, queue: make(chan *planRequest, cfg.MaxBatch)}, nil
}

// Wants reports whether any planner looks at events of a type, or the ledger does: an event that is
// skipped is no dead letter any more.
func (e *Engine) Wants(eventType string) bool {
	return eventType == log.TypeEventSkipped || e.cfg.Planners.Wants(eventType)
}

// Plan waits for the projections to reach an event, plans it, and returns when the plan is in the
// ledger. Planning it again changes nothing.
func (e *Engine) Plan(ctx context.Context, event Event) error {
	if err := e.cfg.Await(ctx, event.Position); err != nil {
		return fmt.Errorf("wait for the projections to reach %s: %w", event.Position, err)
	}
	r := &planRequest{ctx: ctx, event: event, done: make(chan error, 1)}
	select {
	case e.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// batchTimeout bounds the planning of one batch. Its events then go back to where they came from
// and are delivered again.
const batchTimeout = 20 * time.Second

// Run plans what [Engine.Plan] receives, until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	for {
		select {
		case r := <-e.queue:
			e.planBatch(ctx, e.gather(r))
		case <-ctx.Done():
			return nil
		}
	}
}

// gather takes whatever else is in the queue. It does not wait for more.
func (e *Engine) gather(first *planRequest) []*planRequest {
	batch := []*planRequest{first}
	for len(batch) < e.cfg.MaxBatch {
		select {
		case r := <-e.queue:
			batch = append(batch, r)
		default:
			return batch
		}
	}
	return batch
}

// errBehind is for an event that is no longer in the projections, because they were reset after it
// had been waited for.
var errBehind = errors.New("the projections are behind the event")

func (e *Engine) planBatch(ctx context.Context, batch []*planRequest) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	ready, err := e.planReady(ctx, batch)
	for _, r := range batch {
		if err == nil && !ready[r] {
			r.done <- errBehind
		} else {
			r.done <- err
		}
	}
}

// planReady plans those events of a batch that the snapshot has, and says which.
func (e *Engine) planReady(
	ctx context.Context, batch []*planRequest,
) (ready map[*planRequest]bool, err error) {
	began := time.Now()
	snapshot, err := e.cfg.Facts(ctx)
	if err != nil {
		return nil, fmt.Errorf("read facts: %w", err)
	}
	defer snapshot.Close()
	ready = map[*planRequest]bool{}
	var events []Event
	var settings []*Settings
	for _, r := range batch {
		if r.ctx.Err() != nil {
			continue // the caller has given up; the event will be delivered again
		}
		if r.event.Position.Offset >= snapshot.Next(r.event.Position.Partition) {
			continue
		}
		s, err := e.cfg.Settings.At(ctx, r.event.School, r.event.AppendedAt)
		if err != nil {
			return nil, fmt.Errorf("read settings of school %q: %w", r.event.School, err)
		}
		ready[r], events, settings = true, append(events, r.event), append(settings, s)
	}
	if len(events) == 0 {
		return ready, nil
	}
	plans, err := e.cfg.Planners.PlanAll(ctx, events, settings, snapshot)
	if err != nil {
		return nil, err
	}
	snapshot.Close() // the ledger needs a connection too
	planned, err := e.commit(ctx, plans)
	if err != nil {
		return nil, fmt.Errorf("commit plans of %d events: %w", len(plans), err)
	}
	e.metrics.planned(plans, planned, time.Since(began))
	return ready, nil
}

// commit hands plans to the ledger. When it refuses them, each goes alone, so that only those to
// blame become dead letters.
func (e *Engine) commit(ctx context.Context, plans []Planning) (int, error) {
	n, err := e.cfg.Ledger.Commit(ctx, plans)
	switch {
	case err == nil:
		e.reportFaults(ctx, plans)
		return n, nil
	case !errors.Is(err, ErrRejected):
		return 0, err
	case len(plans) == 1:
		plans[0].Deliveries, plans[0].Fault = nil, err
		n, err = e.cfg.Ledger.Commit(ctx, plans)
		e.reportFaults(ctx, plans)
		return n, err
	}
	total := 0
	for i := range plans {
		n, err := e.commit(ctx, plans[i:i+1])
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (e *Engine) reportFaults(ctx context.Context, plans []Planning) {
	for i := range plans {
		if p := &plans[i]; p.Fault != nil {
			e.metrics.faults.Inc()
			e.cfg.Logger.ErrorContext(ctx, "event cannot be planned, it is a dead letter now",
				"position", p.Event.Position.String(), "type", p.Event.Type, "error", p.Fault)
		}
	}
}
