package deliveries

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// storyInput selects a delivery.
type storyInput struct {
	ID string `path:"id" maxLength:"128"`
}

// Story is the whole history of one delivery.
type Story struct {
	Delivery
	Plan  *Plan  `json:"plan,omitzero" doc:"Absent for a delivery that is not in the ledger"`
	Steps []Step `json:"steps" doc:"What happened, in order: from the event to the receipt"`
}

// Plan is why and how it was to be done.
type Plan struct {
	Event     Cause          `json:"event"`
	Planner   string         `json:"planner" doc:"The rule"`
	About     string         `json:"about,omitzero"`
	Template  string         `json:"template" doc:"The text or document"`
	Params    jsontext.Value `json:"params,omitzero" doc:"What it was filled in with; absent for the office"`
	Language  string         `json:"language,omitzero"`
	Priority  int            `json:"priority" doc:"1 is the most urgent"`
	Queue     string         `json:"queue"`
	NotBefore time.Time      `json:"not_before,omitzero"`
	NotAfter  time.Time      `json:"not_after,omitzero"`
	DependsOn string         `json:"depends_on,omitzero" doc:"A delivery that had to succeed before"`
	PlannedAt time.Time      `json:"planned_at"`
	State     string         `json:"state" doc:"The ledger's, which may be ahead of the log"`
	Attempts  int            `json:"attempts"`
	Segments  int            `json:"segments,omitzero" doc:"Of an SMS"`
	Class     string         `json:"error_class,omitzero" doc:"Of the last error: temporary, permanent or unknown"`

	notBefore, notAfter         *time.Time
	provider, providerID, error string
	cost                        int64
}

// Cause is the event that caused a delivery.
type Cause struct {
	ID       string             `json:"id"`
	Source   string             `json:"source"`
	Type     string             `json:"type"`
	Position domain.LogPosition `json:"position" doc:"Where it stands in the log"`
}

// Step is one thing that happened to a delivery.
type Step struct {
	At      time.Time `json:"at"`
	What    string    `json:"what" doc:"planned; what the ledger recorded about an attempt; or the outcome as the log has it, as \"log: sent\""`
	Attempt int64     `json:"attempt,omitzero" doc:"The number of the attempt, from 1 on"`
	Detail  string    `json:"detail,omitzero"`
	TookMS  int       `json:"took_ms,omitzero" doc:"Milliseconds that the provider took"`
	Worker  string    `json:"worker,omitzero"`
}

const oneSQL read.SQL = `-- deliveries.one
SELECT ` + columns + ` FROM deliveries d WHERE school = $1 AND delivery_id = $2`

const planSQL read.SQL = `-- deliveries.plan
SELECT event_id, source, event_type, partition, log_offset, planner, about, template,
	params, language, priority, queue,
	not_before, not_after, depends_on, planned_at, state, attempts, segments, error_class,
	provider, provider_id, error, cost,
	channel, recipient, correlation_id
FROM delivery_plans WHERE id = $2 AND school = $1`

const logSQL read.SQL = `-- deliveries.log
SELECT at, what, fence, detail, took_ms, worker FROM delivery_log WHERE delivery_id = $2
	AND school = $1 ORDER BY at, fence`

// story reads the outcome, the plan and what happened in between from one snapshot.
func story(ctx context.Context, tx pgx.Tx, scope query.Scope, in *storyInput) (*Story, error) {
	outcomes, err := read.All(ctx, tx, oneSQL, deliveryFields, scope.School, in.ID)
	if err != nil {
		return nil, err
	}
	s := &Story{}
	if len(outcomes) > 0 {
		s.Delivery = outcomes[0]
	}
	planned := Delivery{ID: in.ID}
	plan, found, err := read.One(ctx, tx, planSQL, func(p *Plan) []any {
		return []any{
			&p.Event.ID, &p.Event.Source, &p.Event.Type, &p.Event.Position.Partition,
			&p.Event.Position.Offset, &p.Planner, &p.About,
			&p.Template, (*[]byte)(&p.Params),
			&p.Language, &p.Priority, &p.Queue, &p.notBefore, &p.notAfter, &p.DependsOn,
			&p.PlannedAt, &p.State, &p.Attempts,
			&p.Segments, &p.Class, &p.provider, &p.providerID, &p.error, &p.cost, &planned.Channel,
			&planned.Recipient, &planned.Correlation,
		}
	}, scope.School, in.ID)
	switch {
	case err != nil:
		return nil, err
	case !found && len(outcomes) == 0:
		return nil, fmt.Errorf("delivery %q: %w", in.ID, query.ErrNotFound)
	case found:
		plan.finish()
		if !scope.Access.All.Has(access.Marks) { // they may be in it
			plan.Params = nil
		}
		plan.Event.Position.Log = scope.Log
		status := statusOf(plan.State, s.Status)
		if len(outcomes) == 0 {
			s.Delivery = planned
			s.Event = plan.Event.ID
			s.Provider, s.ProviderID, s.Error = plan.provider, plan.providerID, plan.error
		}
		if status == plan.State {
			s.Error = plan.error
		}
		s.Status, s.Rule, s.planned = status, plan.Planner, &plan.PlannedAt
		s.Cost = max(s.Cost, plan.cost)
		s.Plan = &plan
	}
	one := []Delivery{s.Delivery}
	finish(one, scope)
	s.Delivery = one[0]
	if scope.Self != "" {
		if s.Recipient != scope.Self {
			return nil, fmt.Errorf("delivery %q: %w", in.ID, query.ErrNotFound)
		}
		return &Story{Delivery: s.Delivery, Steps: []Step{}}, nil
	}
	log, err := read.All(ctx, tx, logSQL, func(l *Step) []any {
		return []any{&l.At, &l.What, &l.Attempt, &l.Detail, &l.TookMS, &l.Worker}
	}, scope.School, in.ID)
	s.Steps = s.steps(log)
	return s, err
}

func (p *Plan) finish() {
	p.PlannedAt = p.PlannedAt.UTC()
	if p.notBefore != nil {
		p.NotBefore = p.notBefore.UTC()
	}
	if p.notAfter != nil {
		p.NotAfter = p.notAfter.UTC()
	}
}

// steps puts the plan, the ledger's log and the outcomes in the order in which they happened. The
// time of an outcome is that of the provider's response, which the ledger records a moment later:
// the outcome still follows that.
func (s *Story) steps(log []Step) []Step {
	var all []Step
	if s.Plan != nil {
		all = append(all, Step{
			At: s.Plan.PlannedAt, What: "planned",
			Detail: s.Plan.Planner + " because of " + s.Plan.Event.Type,
		})
	}
	for _, l := range log {
		l.At = l.At.UTC()
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b Step) int { return a.At.Compare(b.At) })
	for _, o := range []Step{
		{At: s.SentAt, What: statusSent, Detail: s.ProviderID},
		{At: s.RenderedAt, What: statusRendered, Detail: s.sha256},
		{At: s.FailedAt, What: statusFailed, Detail: s.Error},
		{At: s.DeliveredAt, What: statusDelivered, Detail: s.ProviderID},
	} {
		if o.At.IsZero() {
			continue
		}
		next := 0
		for i, other := range all {
			if !other.At.After(o.At) || other.What == o.What {
				next = i + 1
			}
		}
		o.What = "log: " + o.What
		all = slices.Insert(all, next, o)
	}
	return all
}
