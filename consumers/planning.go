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
}

// SettingsSource knows what schools have decided.
type SettingsSource interface {
	// At returns the settings that were in force at a time; never nil.
	At(ctx context.Context, school string, at time.Time) (*Settings, error)
}

// Planning is what follows from one event.
type Planning struct {
	Event      Event
	FactsAt    int64 // the offset of the last event of the partition that was known
	UsedFacts  bool  // the plan depends on what was known
	Deliveries []Delivery
	Again      bool  // the event's
	Fault      error // why it cannot be planned; nothing follows then
}

// Planners are the rules, by the type of the events that they look at.
type Planners struct {
	byType map[string][]Planner
	names  []string
}

// NewPlanners checks that every planner has a name of its own and something to look at.
func NewPlanners(planners ...Planner) (*Planners, error) {
	p := &Planners{byType: map[string][]Planner{}}
	for _, planner := range planners {
		if planner.Name == "" || len(planner.Types) == 0 || planner.Plan == nil {
			return nil, fmt.Errorf("planner %q: name, types and plan are required", planner.Name)
		}
		if slices.Contains(p.names, planner.Name) {
			return nil, fmt.Errorf("planner %q is there twice", planner.Name)
		}
		p.names = append(p.names, planner.Name)
		for _, t := range planner.Types {
			p.byType[t] = append(p.byType[t], planner)
		}
	}
	return p, nil
}

// Wants says whether anything may follow from events of a type.
func (p *Planners) Wants(eventType string) bool { return len(p.byType[eventType]) > 0 }

// errPanicked is the fault of a planner that did not return.
var errPanicked = errors.New("planner panicked")

// most rounds of questions that a planner may need: a student, then the class, and so on.
const maxRounds = 8

// PlanAll plans events with what is known in a snapshot, which must have all of them.
func (p *Planners) PlanAll(ctx context.Context, events []Event, settings []*Settings, snapshot Snapshot) ([]Planning, error) {
	m := newFactCache()
	all := make([]Planning, len(events))
	todo := make([]int, len(events))
	for i := range events {
		todo[i] = i
		next, err := snapshot.Next(ctx, events[i].Position.Partition)
		if err != nil {
			return nil, err
		}
		all[i] = Planning{Event: events[i], FactsAt: next - 1, Again: events[i].Replan}
	}
	for range maxRounds {
		var again []int
		for _, i := range todo {
			if !p.planOne(&all[i], settings[i], m) {
				again = append(again, i)
			}
		}
		if len(again) == 0 {
			return all, nil
		}
		if err := m.resolve(ctx, snapshot); err != nil {
			return nil, err
		}
		todo = again
	}
	return nil, fmt.Errorf("plan %d events: the planners ask without end", len(todo))
}

// planOne says whether the plan is complete.
func (p *Planners) planOne(plan *Planning, settings *Settings, m *factCache) (complete bool) {
	k := &known{factCache: m, school: plan.Event.School, now: plan.Event.AppendedAt}
	defer func() {
		if cause := recover(); cause != nil {
			plan.Deliveries, plan.Fault = nil, fmt.Errorf("%w: %v", errPanicked, cause)
			complete = !k.missed // it may have stumbled over what it did not know yet
			if !complete {
				plan.Fault = nil
			}
		}
	}()
	plan.Deliveries = nil
	for _, planner := range p.byType[plan.Event.Type] {
		for _, d := range planner.Plan(plan.Event.Envelope, k, settings) {
			d.Complete(plan.Event.Envelope, planner.Name)
			plan.Deliveries = append(plan.Deliveries, d)
		}
	}
	plan.UsedFacts = k.asked
	if !k.missed {
		if plan.Fault = checkDependencies(plan.Deliveries); plan.Fault != nil {
			plan.Deliveries = nil
		}
	}
	return !k.missed
}

// errDependency is the fault of a plan that could not be carried out.
var errDependency = errors.New("only a notice can depend on something, and only on a document of the same event")

// checkDependencies refuses deliveries that would wait for ever, or for something that does not end: only a document is
// either there or will never be.
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
			return fmt.Errorf("planner %q: %s to %s depends on %s, which the event does not lead to: %w", d.Planner, d.Channel, d.Recipient, d.DependsOn, errDependency)
		case on != PDF || d.Channel == PDF:
			return fmt.Errorf("planner %q: %s to %s depends on %s by %s: %w", d.Planner, d.Channel, d.Recipient, d.DependsOn, on, errDependency)
		}
	}
	return nil
}
