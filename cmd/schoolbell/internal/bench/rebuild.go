package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/projections"
)

// Rebuild measures how fast tables are rebuilt from the log next to the live ones: all of them, and
// those of each projection with what it reads.
type Rebuild struct {
	Project

	// Live returns an empty database, how to rebuild in it, and how to get rid of it.
	Live func(ctx context.Context) (store projections.Store, rebuild RebuildFunc, discard func() error, err error)
}

// RebuildFunc rebuilds projections, or all when none is named. It returns how long that took, and
// for how long the live tables stood still.
type RebuildFunc func(ctx context.Context, names ...string) (took, pause time.Duration, err error)

// Run measures.
func (r *Rebuild) Run(ctx context.Context) (_ *Result, err error) {
	r.Progress.report("writing %d events to the log", r.Events)
	events, err := r.fill(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := r.ends(ctx)
	if err != nil {
		return nil, err
	}
	store, rebuild, discard, err := r.Live(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, discard()) }()
	r.Progress.report("projecting them")
	live := newRecorder(store, ends)
	live.forget = true
	if err := r.drive(ctx, live, 0); err != nil {
		return nil, err
	}
	result := &Result{
		Benchmark: "rebuild",
		Setup: fmt.Sprintf(
			"%d events of %d schools, %d projections, %d partitions, median of %d rounds", events,
			r.School.Schools, len(r.Set.Projections()), len(ends), r.Rounds,
		),
	}
	result.add("projected", float64(events)/live.took().Seconds(), "events/s",
		"the live tables, once")
	measure := func(what, note string, names ...string) error {
		var rates, pauses []float64
		for round := range r.Rounds {
			r.Progress.report("round %d of %d: rebuilding %s", round+1, r.Rounds, what)
			took, pause, err := rebuild(ctx, names...)
			if err != nil {
				return err
			}
			rates, pauses = append(
				rates, float64(events)/took.Seconds(),
			), append(pauses, pause.Seconds()*1000)
		}
		result.add("rebuilt "+what, median(rates), "events/s", note)
		result.add("pause", median(pauses), "ms", "of the live tables")
		return nil
	}
	if err := measure("all", ""); err != nil {
		return nil, err
	}
	for _, p := range r.Set.Projections() {
		renewed, folded, err := r.Set.Closure(p.Name)
		if err != nil {
			return nil, err
		}
		if err := measure(p.Name, fmt.Sprintf("renews %s; folds %d", nameList(renewed), len(folded.Projections())), p.Name); err != nil {
			return nil, err
		}
	}
	return result, nil
}

func nameList(members []*projections.Projection) string {
	var names []string
	for _, p := range members {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}
