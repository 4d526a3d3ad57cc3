package kafka

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// joinPatience is how long a member may take to join before that counts as a problem: a rebalance
// waits for the members that are there.
const joinPatience = 15 * time.Second

// groupStates says of each group that this process works for whether it has joined it. A process that
// cannot join does nothing, and without this would look healthy.
type groupStates struct {
	joined *prometheus.GaugeVec

	mu     sync.Mutex
	groups map[string]*groupState
}

type groupState struct {
	since  time.Time
	joined bool
	fault  error // of the last attempt
}

func newGroupStates(reg prometheus.Registerer) *groupStates {
	return &groupStates{
		joined: promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
			Name: "schoolbell_log_group_joined",
			Help: "1 when this process has joined the group, 0 when it has not.",
		}, []string{"group"}),
		groups: map[string]*groupState{},
	}
}

// begin adds a group that is not joined yet. The function it returns removes it.
func (s *groupStates) begin(group string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[group] = &groupState{since: time.Now()}
	s.joined.WithLabelValues(group).Set(0)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.groups, group)
		s.joined.DeleteLabelValues(group)
	}
}

// attempted records the outcome of an attempt to join.
func (s *groupStates) attempted(group string, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.groups[group]
	if state.joined != (fault == nil) {
		state.since = time.Now()
	}
	state.joined, state.fault = fault == nil, fault
	s.joined.WithLabelValues(group).Set(map[bool]float64{true: 1}[state.joined])
}

// GroupProblems returns which groups this process should have joined and has not, and why.
func (l *Log) GroupProblems() error {
	l.groups.mu.Lock()
	defer l.groups.mu.Unlock()
	var faults []error
	for _, group := range slices.Sorted(maps.Keys(l.groups.groups)) {
		state := l.groups.groups[group]
		waited := time.Since(state.since)
		switch {
		case state.joined:
		case state.fault != nil:
			faults = append(faults, fmt.Errorf("cannot join group %s, for %s: %w", group,
				waited.Round(time.Second), state.fault))
		case waited > joinPatience:
			faults = append(faults, fmt.Errorf("still joining group %s after %s", group,
				waited.Round(time.Second)))
		}
	}
	return errors.Join(faults...)
}
