package verify

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Finding is a difference between a plan and the ledger.
type Finding struct {
	// Kind is missing, surplus or different, by the plans; lost, unlisted, undone or twice, by what
	// the log says of deliveries.
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	School   string `json:"school"`
	EventID  string `json:"event_id"`
	Planner  string `json:"planner"`
	Position string `json:"position"`
	Detail   string `json:"detail,omitzero"`
}

// Verification compares plans that it recomputes from the log with the ledger.
type Verification struct {
	Planners *consumers.Planners
	Settings consumers.SettingsSource
	Log      eventlog.Source
	LogID    domain.LogID // in the positions of findings
	Decode   func(eventlog.Record) (*domain.Envelope, error)
}

// Result is what a verification has looked at and found.
type Result struct {
	Events      int       `json:"events"` // that any planner looks at
	Deliveries  int       `json:"deliveries"`
	DeadLetters int       `json:"aside"`
	Findings    []Finding `json:"findings"`
}

// partition is the work on one partition.
type partition struct {
	*Verification
	stored  *consumers.LedgerPartition
	history *History
	// deferred are the events that were planned on facts newer than their own position, by the
	// offset up to which the facts reached.
	deferred map[int64][]consumers.Event
	// expected has several deliveries for an id where several events lead to what is sent once:
	// whichever was planned first is in the ledger.
	expected map[string][]consumers.Delivery
	// retractions are planned for whoever was told; the ledger knows who that was.
	retractions map[ruleRun]consumers.Delivery
	said        *announced
	// skipped are the offsets of events that an operator has given up. What was planned because of
	// them before stays; there need not be anything.
	skipped map[int64]bool
	result  Result
}

// ruleRun is a planner, the event that it planned, and what about.
type ruleRun struct{ school, source, event, planner, about string }

func runOf(d *consumers.Delivery) ruleRun {
	return ruleRun{d.School, d.Source, d.EventID, d.Planner, d.About}
}

// Partition verifies one partition.
func (v *Verification) Partition(
	ctx context.Context, number int32, stored *consumers.LedgerPartition,
) (*Result, error) {
	p := &partition{
		Verification: v, stored: stored, history: NewHistory(),
		deferred: map[int64][]consumers.Event{}, expected: map[string][]consumers.Delivery{},
		retractions: map[ruleRun]consumers.Delivery{},
		said:        newAnnounced(), skipped: map[int64]bool{},
	}
	reader := eventlog.NewReader(eventlog.ReaderConfig{Source: v.Log, Decode: v.Decode})
	_, end, err := reader.Bounds(ctx, number)
	if err != nil {
		return nil, err
	}
	cursor := reader.Open(number, 0)
	defer cursor.Close()
	for next := int64(0); next < end; {
		stretch, err := cursor.Next(ctx)
		if err != nil {
			return nil, err
		}
		for i := range stretch.Entries {
			if err := p.entry(ctx, &stretch.Entries[i]); err != nil {
				return nil, err
			}
		}
		next = stretch.Next
	}
	// The events up to which these were planned have expired from the log since.
	for _, events := range p.deferred {
		if err := p.plan(ctx, events); err != nil {
			return nil, err
		}
	}
	p.compare()
	return &p.result, nil
}

func (p *partition) entry(ctx context.Context, e *eventlog.Entry) error {
	offset := e.Offset()
	event, err := e.Event()
	if !e.Duplicate && (eventlog.IsUnusable(err) || err != nil && p.stored.DeadLetters[offset]) {
		p.result.DeadLetters++
	}
	if err == nil && !e.Duplicate {
		p.history.Add(event)
		if offset < p.stored.Seen {
			p.said.add(event)
		}
		if skip, ok := event.Data.(*log.EventSkipped); ok {
			if at, err := domain.ParsePosition(skip.Position); err == nil {
				p.skipped[at.Offset] = true
			}
		}
		if offset < p.stored.PlannedTo && p.Planners.Wants(event.Type) {
			p.result.Events++
			at := max(offset, p.stored.FactsAt[offset])
			p.deferred[at] = append(p.deferred[at],
				consumers.Event{Envelope: event, AppendedAt: e.Record.Time})
		}
	}
	events := p.deferred[offset]
	delete(p.deferred, offset)
	return p.plan(ctx, events)
}

// plan adds the deliveries that are expected of events, with the facts of now.
func (p *partition) plan(ctx context.Context, events []consumers.Event) error {
	if len(events) == 0 {
		return nil
	}
	settings := make([]*consumers.Settings, len(events))
	for i, e := range events {
		var err error
		if settings[i], err = p.Settings.At(ctx, e.School, e.AppendedAt); err != nil {
			return err
		}
	}
	plans, err := p.Planners.PlanAll(ctx, events, settings, p.history.Snapshot())
	if err != nil {
		return err
	}
	for _, plan := range plans {
		if p.stored.DeadLetters[plan.Event.Position.Offset] || plan.Fault != nil {
			p.result.DeadLetters++
			continue
		}
		for _, d := range plan.Deliveries {
			if d.Retracts {
				p.retractions[runOf(&d)] = d
				continue
			}
			p.expected[d.ID] = append(p.expected[d.ID], d)
		}
	}
	return nil
}

func (p *partition) compare() {
	p.result.Deliveries = len(p.expected)
	for id, want := range p.expected {
		have, ok := p.stored.Deliveries[id]
		if !ok && p.skipped[want[0].Position.Offset] {
			p.result.Deliveries--
		} else if !ok {
			// Of events that a lost ledger has planned, only what the log lists is planned again.
			if want[0].Position.Offset >= p.stored.PastTo || p.said.listed[id] != "" {
				p.find("missing", &want[0], "")
			}
		} else if what := differences(want, &have); what != "" {
			p.find("different", &have, what)
		}
	}
	for id, have := range p.stored.Deliveries {
		if _, ok := p.expected[id]; ok || have.Position.Offset >= p.stored.PlannedTo {
			continue
		}
		if p.isOtherWay(&have) {
			p.result.Deliveries++
			continue
		}
		if want, ok := p.retractions[runOf(&have)]; ok && have.Retracts {
			p.result.Deliveries++
			if what := p.retracted(&want, &have); what != "" {
				p.find("different", &have, what)
			}
			continue
		}
		p.find("surplus", &have, "")
	}
	p.said.compare(p)
	slices.SortFunc(p.result.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.ID, b.ID))
	})
}

// isOtherWay reports that a delivery goes where a planned one has failed to.
func (p *partition) isOtherWay(d *consumers.Delivery) bool {
	for seen := 0; d.InsteadOf != "" && seen < maxWays; seen++ {
		if _, planned := p.expected[d.InsteadOf]; planned {
			return true
		}
		before := p.stored.Deliveries[d.InsteadOf]
		d = &before
	}
	return false
}

// maxWays is more ways than there are to reach a family.
const maxWays = 100

// retracted compares a retraction with the plan for it and with what it takes back.
func (p *partition) retracted(want, have *consumers.Delivery) string {
	for _, told := range p.stored.Deliveries {
		if told.Topic == have.Topic && told.School == have.School && !told.Retracts &&
			told.Recipient == have.Recipient && told.Channel == have.Channel {
			to := want.To(have, &domain.Envelope{
				School: have.School, Source: have.Source, ID: have.EventID, Type: have.EventType,
			})
			to.DependsOn = have.DependsOn
			return difference(&to, have)
		}
	}
	return "the recipient was told nothing that it takes back"
}

func (p *partition) find(kind string, d *consumers.Delivery, detail string) {
	p.result.Findings = append(p.result.Findings, Finding{
		kind, d.ID, d.School, d.EventID, d.Planner, p.LogID.At(d.Position).String(), detail,
	})
}

// differences is empty when one of the expected deliveries is the one that was stored.
func differences(want []consumers.Delivery, have *consumers.Delivery) (what string) {
	for i := range want {
		if what = difference(&want[i], have); what == "" {
			return ""
		}
	}
	return what
}

// difference names the first thing in which two deliveries with one id differ.
func difference(want, have *consumers.Delivery) string {
	// The database stores microseconds.
	wantTime := want.NotBefore.UTC().Truncate(time.Microsecond)
	for _, f := range []struct{ name, want, have string }{
		{"address", want.Address, have.Address},
		{"template", want.Template, have.Template},
		{"language", want.Language, have.Language},
		{"sender", want.Sender, have.Sender},
		{"parameters", canonicalParams(want), canonicalParams(have)},
		{"dependency", want.DependsOn, have.DependsOn},
		{"priority", fmt.Sprint(want.Priority), fmt.Sprint(have.Priority)},
		{"time", wantTime.String(), have.NotBefore.UTC().String()},
	} {
		if f.want != f.have {
			return fmt.Sprintf("%s: expected %.200q, stored %.200q", f.name, f.want, f.have)
		}
	}
	return ""
}

// canonicalParams writes parameters in one way only: the database orders members as it likes.
func canonicalParams(d *consumers.Delivery) string {
	params := d.Params.Clone()
	if params == nil {
		return "{}"
	}
	if err := params.Canonicalize(); err != nil {
		return err.Error()
	}
	return params.String()
}
