package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Ledger keeps plans.
type Ledger interface {
	// Keep writes what is new about the plans, with its jobs, in one transaction, and returns how many deliveries that
	// were. A delivery that is there already is left as it is; and what a planner has planned from an event once is not
	// added to, whatever is known by now. Events with a fault are set aside, and no longer when they come again without.
	// The error is [ErrRejected] when the plans themselves are to blame.
	Commit(ctx context.Context, plans []Planning) (int, error)
}

// ErrRejected says that the ledger refuses a plan, so that it would refuse it again. Nothing has changed.
var ErrRejected = errors.New("ledger refuses the plan")

// Config is what an engine is made of. A zero value means the default in parentheses.
type Config struct {
	Planners *Planners      // required
	Facts    FactSource     // required
	Settings SettingsSource // required
	Ledger   Ledger         // required

	MaxBatch int                   // events that are planned together at most (1,000)
	Logger   *slog.Logger          // (none)
	Metrics  prometheus.Registerer // (none)
}

// Validate reports all that is wrong.
func (c *Config) Validate() error {
	var faults []error
	for _, f := range []struct {
		missing bool
		what    string
	}{
		{c.Planners == nil, "planners"}, {c.Facts == nil, "knowledge"}, {c.Settings == nil, "settings"}, {c.Ledger == nil, "ledger"},
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

// Engine plans events. Events that are handed to it at the same time are planned together, in one snapshot and one
// transaction, so that a backlog is worked off quickly and a single event at once.
type Engine struct {
	cfg     Config
	metrics *metrics
	queue   chan *planRequest
}

type planRequest struct {
	ctx   context.Context // of the one who waits for it
	event Event
	done  chan error
}

// NewEngine returns an engine that is ready to run.
func NewEngine(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = 1000
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = prometheus.NewRegistry()
	}
	m, err := newMetrics(cfg.Metrics)
	if err != nil {
		return nil, err
	}
	return &Engine{cfg: cfg, metrics: m, queue: make(chan *planRequest, cfg.MaxBatch)}, nil
}

// Wants says whether anything may follow from events of a type.
func (e *Engine) Wants(eventType string) bool { return e.cfg.Planners.Wants(eventType) }

// Plan plans an event and returns when what follows from it is in the ledger. Planning it again changes nothing.
func (e *Engine) Plan(ctx context.Context, event Event) error {
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

const (
	// lookAgain is how often it is looked whether the projections have come up to an event.
	lookAgain = 3 * time.Millisecond
	// plannersWait is how long an event may have to wait before it goes back to where it came from, to come again.
	plannersWait = 20 * time.Second
)

// Run plans what [Engine.Plan] is given, until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	var waiting []*planRequest // for the projections
	for {
		batch := waiting
		if len(batch) == 0 {
			select {
			case r := <-e.queue:
				batch = append(batch, r)
			case <-ctx.Done():
				return nil
			}
		}
		for len(batch) < e.cfg.MaxBatch {
			select {
			case r := <-e.queue:
				batch = append(batch, r)
				continue
			default:
			}
			break
		}
		waiting = e.plan(ctx, batch)
		if len(waiting) > 0 && len(waiting) == len(batch) {
			select {
			case <-time.After(lookAgain):
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// plan plans those events of a batch that the projections have, and returns the others.
func (e *Engine) plan(ctx context.Context, batch []*planRequest) (waiting []*planRequest) {
	ready, waiting, err := e.planReady(ctx, batch)
	for _, r := range ready {
		r.done <- err
	}
	return waiting
}

func (e *Engine) planReady(ctx context.Context, batch []*planRequest) (ready, waiting []*planRequest, err error) {
	ctx, cancel := context.WithTimeout(ctx, plannersWait)
	defer cancel()
	snapshot, err := e.cfg.Facts.Snapshot(ctx)
	if err != nil {
		return batch, nil, fmt.Errorf("read what is known: %w", err)
	}
	defer snapshot.Close()
	var events []Event
	var settings []*Settings
	for _, r := range batch {
		if r.ctx.Err() != nil {
			continue // it will come again
		}
		next, err := snapshot.Next(ctx, r.event.Position.Partition)
		if err != nil {
			return batch, nil, fmt.Errorf("read what is known: %w", err)
		}
		if r.event.Position.Offset >= next {
			waiting = append(waiting, r)
			continue
		}
		s, err := e.cfg.Settings.At(ctx, r.event.School, r.event.AppendedAt)
		if err != nil {
			return batch, nil, fmt.Errorf("read settings of school %q: %w", r.event.School, err)
		}
		ready, events, settings = append(ready, r), append(events, r.event), append(settings, s)
	}
	if len(ready) == 0 {
		return nil, waiting, nil
	}
	began := time.Now()
	plans, err := e.cfg.Planners.PlanAll(ctx, events, settings, snapshot)
	if err != nil {
		return ready, waiting, err
	}
	snapshot.Close()
	planned, err := e.commit(ctx, plans)
	if err != nil {
		return ready, waiting, fmt.Errorf("keep plans of %d events: %w", len(plans), err)
	}
	e.metrics.planned(plans, planned, time.Since(began))
	return ready, waiting, nil
}

// commit hands plans to the ledger. When it refuses them, each goes alone, and the ones that are to blame are set aside.
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
			e.cfg.Logger.ErrorContext(ctx, "set an event aside that cannot be planned",
				"position", p.Event.Position.String(), "type", p.Event.Type, "error", p.Fault)
		}
	}
}
