package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Event is an event of the log with the time at which it was appended.
type Event struct {
	*domain.Envelope
	AppendedAt time.Time
	Replan     bool // an operator wants it planned, although it may have been before
	// Gap is how many records before it, without any other in between, no planner looks at.
	Gap int64
}

// SettingsSource reads the settings of schools.
type SettingsSource interface {
	// At returns the settings that were in force at a time; never nil.
	At(ctx context.Context, school string, at time.Time) (*Settings, error)
}

// Planning is the result of planning one event.
type Planning struct {
	Event      Event
	FactsAt    int64 // the offset of the last event of the partition that the facts include
	UsedFacts  bool  // the plan depends on facts
	Deliveries []Delivery
	Fault      error // why the event cannot be planned; there are no deliveries then
}

// Planners are the rules, by the type of the events that they look at.
type Planners struct {
	byType map[string][]Planner
	still  map[string]Still // by the planner's name
	names  []string
}

// NewPlanners checks that every planner is complete and has a name of its own.
func NewPlanners(planners ...Planner) (*Planners, error) {
	p := &Planners{byType: map[string][]Planner{}, still: map[string]Still{}}
	for _, planner := range planners {
		if planner.Name == "" || len(planner.Types) == 0 || planner.Plan == nil {
			return nil, fmt.Errorf("planner %q: name, types and plan are required", planner.Name)
		}
		if slices.Contains(p.names, planner.Name) {
			return nil, fmt.Errorf("planner %q: the name is used twice", planner.Name)
		}
		p.names = append(p.names, planner.Name)
		p.still[planner.Name] = planner.Still
		for _, t := range planner.Types {
			p.byType[t] = append(p.byType[t], planner)
		}
	}
	return p, nil
}

// Wants reports whether any planner looks at events of a type.
func (p *Planners) Wants(eventType string) bool { return len(p.byType[eventType]) > 0 }

// errPanicked is the fault of a planner that did not return.
var errPanicked = errors.New("planner panicked")

// PlanAll plans events with the facts of a snapshot, which must include all of the events. The
// settings are one for each event, in their order.
func (p *Planners) PlanAll(
	ctx context.Context, events []Event, settings []*Settings, snapshot *Snapshot,
) ([]Planning, error) {
	cache := newFactCache(&snapshot.Lookups)
	all := make([]Planning, len(events))
	for i := range events {
		all[i] = Planning{
			Event: events[i], FactsAt: snapshot.Next(events[i].Position.Partition) - 1,
		}
	}
	err := cache.complete(ctx, len(all), func(i int) bool {
		return p.planOne(&all[i], settings[i], cache)
	})
	if err != nil {
		return nil, fmt.Errorf("plan %d events: %w", len(all), err)
	}
	return all, nil
}

// planOne reports whether the plan is complete: no fact that it looked up was missing.
func (p *Planners) planOne(plan *Planning, settings *Settings, cache *factCache) (complete bool) {
	now := plan.Event.AppendedAt
	v := &view{
		factCache: cache, school: plan.Event.School, now: now,
		today: domain.DateOf(now.In(settings.Location())),
	}
	plan.Deliveries, plan.Fault = nil, nil
	defer func() {
		plan.UsedFacts, complete = v.used, !v.missed
		// Where a fact was missing, the panic may be due to its zero value.
		if cause := recover(); cause != nil && complete {
			plan.Deliveries, plan.Fault = nil, fmt.Errorf("%w: %v", errPanicked, cause)
		}
	}()
	for _, planner := range p.byType[plan.Event.Type] {
		for _, d := range planner.Plan(plan.Event.Envelope, Facts{v}, settings) {
			d.Complete(plan.Event.Envelope, planner.Name)
			plan.Deliveries = append(plan.Deliveries, d)
		}
	}
	if !v.missed {
		if plan.Fault = checkDependencies(plan.Deliveries); plan.Fault != nil {
			plan.Deliveries = nil
		}
	}
	return !v.missed
}

// errDependency is the fault of a plan that could not be carried out.
var errDependency = errors.New(
	"only a notice can depend on something, and only on a document of the same event")

// checkDependencies refuses deliveries that would wait without end. Only a document is sure to end
// one way or the other: a text may stay unknown for days.
func checkDependencies(plan []Delivery) error {
	channels := map[string]Channel{}
	for i := range plan {
		channels[plan[i].ID] = plan[i].Channel
	}
	for i := range plan {
		d := &plan[i]
		if d.DependsOn == "" {
			continue
		}
		switch on, ok := channels[d.DependsOn]; {
		case !ok:
			return fmt.Errorf("planner %q: %s to %s depends on %s, which is not of the same event: %w",
				d.Planner, d.Channel, d.Recipient, d.DependsOn, errDependency)
		case on != PDF || d.Channel == PDF:
			return fmt.Errorf("planner %q: %s to %s depends on %s by %s: %w",
				d.Planner, d.Channel, d.Recipient, d.DependsOn, on, errDependency)
		}
	}
	return nil
}
