package consumers

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// History is what was known at any point of a partition.
type History interface {
	Snapshot
	// Add takes the next event.
	Add(e *domain.Envelope)
}

// LedgerPartition is what a ledger holds about a partition.
type LedgerPartition struct {
	PlannedTo   int64               // the offset up to which the partition has been planned
	FactsAt     map[int64]int64     // by offset: up to where it was known when the event was planned, if that was further
	Deliveries  map[string]Delivery // by id
	DeadLetters map[int64]bool      // offsets of events that could not be planned
}

// Finding is a difference between a plan and the ledger.
type Finding struct {
	Kind     string `json:"kind"` // missing, surplus or different
	ID       string `json:"id"`
	School   string `json:"school"`
	EventID  string `json:"event_id"`
	Planner  string `json:"planner"`
	Position string `json:"position"`
	Detail   string `json:"detail,omitzero"`
}

// Verification recomputes plans from the log and holds them against the ledger.
type Verification struct {
	Planners *Planners
	Settings SettingsSource
	Log      eventlog.Fetcher
	Decode   func(eventlog.Record) (*domain.Envelope, error)
	History  func() History // before the first event
}

// VerifyResult is what a verification has seen.
type VerifyResult struct {
	Events      int       `json:"events"` // from which anything may follow
	Deliveries  int       `json:"deliveries"`
	DeadLetters int       `json:"aside"`
	Findings    []Finding `json:"findings"`
}

// verifying is the work on one partition.
type verifying struct {
	*Verification
	stored   *LedgerPartition
	history  History
	deferred map[int64][]Event     // plans that were made when more was known, by the offset of what was known
	expect   map[string][]Delivery // several where several events lead to what is said once
	result   VerifyResult
}

// Partition checks one partition.
func (v *Verification) Partition(ctx context.Context, partition int32, kept *LedgerPartition) (*VerifyResult, error) {
	w := &verifying{Verification: v, stored: kept, history: v.History(), deferred: map[int64][]Event{}, expect: map[string][]Delivery{}}
	window := eventlog.NewWindow(eventlog.DefaultWindow)
	for at := int64(0); ; {
		batch, err := v.Log.Fetch(ctx, partition, at, fetchBytes, 0)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		for i := range batch.Records {
			if err := w.record(ctx, &batch.Records[i], window); err != nil {
				return nil, err
			}
		}
		if at = batch.Next; at >= batch.HighWatermark {
			break
		}
	}
	for _, events := range w.deferred { // what was known then is in the log no longer
		if err := w.plan(ctx, events); err != nil {
			return nil, err
		}
	}
	w.compare()
	return &w.result, nil
}

const fetchBytes = 4 << 20

func (w *verifying) record(ctx context.Context, rec *eventlog.Record, window *eventlog.Window) error {
	offset := rec.Position.Offset
	event, err := w.Decode(*rec)
	if err == nil && !window.Seen(offset, event.School, event.Source, event.ID) {
		w.history.Add(event)
		if offset < w.stored.PlannedTo && w.Planners.Wants(event.Type) {
			w.result.Events++
			known := max(offset, w.stored.FactsAt[offset])
			w.deferred[known] = append(w.deferred[known], Event{Envelope: event, AppendedAt: rec.Time})
		}
	}
	events := w.deferred[offset]
	delete(w.deferred, offset)
	return w.plan(ctx, events)
}

// plan computes what is to be expected of events, with what is known now.
func (w *verifying) plan(ctx context.Context, events []Event) error {
	if len(events) == 0 {
		return nil
	}
	settings := make([]*Settings, len(events))
	for i, e := range events {
		var err error
		if settings[i], err = w.Settings.At(ctx, e.School, e.AppendedAt); err != nil {
			return err
		}
	}
	plans, err := w.Planners.PlanAll(ctx, events, settings, w.history)
	if err != nil {
		return err
	}
	for _, p := range plans {
		if w.stored.DeadLetters[p.Event.Position.Offset] || p.Fault != nil {
			w.result.DeadLetters++
			continue
		}
		for _, d := range p.Deliveries {
			w.expect[d.ID] = append(w.expect[d.ID], d)
		}
	}
	return nil
}

func (w *verifying) compare() {
	w.result.Deliveries = len(w.expect)
	for id, want := range w.expect {
		have, ok := w.stored.Deliveries[id]
		if !ok {
			w.find("missing", &want[0], "")
		} else if what := differences(want, &have); what != "" {
			w.find("different", &have, what)
		}
	}
	for id, have := range w.stored.Deliveries {
		if _, ok := w.expect[id]; !ok && have.Position.Offset < w.stored.PlannedTo {
			w.find("surplus", &have, "")
		}
	}
	slices.SortFunc(w.result.Findings, func(a, b Finding) int { return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.ID, b.ID)) })
}

func (w *verifying) find(kind string, d *Delivery, detail string) {
	w.result.Findings = append(w.result.Findings, Finding{kind, d.ID, d.School, d.EventID, d.Planner, d.Position.String(), detail})
}

// differences is empty when one of those that are to be expected is what was kept.
func differences(want []Delivery, have *Delivery) (what string) {
	for i := range want {
		if what = difference(&want[i], have); what == "" {
			return ""
		}
	}
	return what
}

// difference names the first thing in which two deliveries with one id differ.
func difference(want, have *Delivery) string {
	for _, f := range []struct{ name, want, have string }{
		{"address", want.Address, have.Address},
		{"template", want.Template, have.Template},
		{"language", want.Language, have.Language},
		{"sender", want.Sender, have.Sender},
		{"parameters", paramsOf(want), paramsOf(have)},
		{"dependency", want.DependsOn, have.DependsOn},
		{"priority", fmt.Sprint(want.Priority), fmt.Sprint(have.Priority)},
		{"time", want.NotBefore.UTC().Truncate(time.Microsecond).String(), have.NotBefore.UTC().String()},
	} {
		if f.want != f.have {
			return fmt.Sprintf("%s: %.200q is to be expected, %.200q was kept", f.name, f.want, f.have)
		}
	}
	return ""
}

// paramsOf writes parameters as they come back from a ledger, where numbers are all of one kind.
func paramsOf(d *Delivery) string {
	b, err := d.EncodeParams()
	if err != nil {
		return err.Error()
	}
	var plain map[string]any
	if err := json.Unmarshal(b, &plain); err != nil {
		return err.Error()
	}
	if b, err = (&Delivery{Params: plain}).EncodeParams(); err != nil {
		return err.Error()
	}
	return string(b)
}
