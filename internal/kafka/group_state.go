package kafka

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	groups map[*groupState]struct{}
}

// groupState is one membership.
type groupState struct {
	group  string
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
		groups: map[*groupState]struct{}{},
	}
}

// begin adds a membership in a group that is not joined yet. A process may have several in one group.
func (s *groupStates) begin(group string) *groupState {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := &groupState{group: group, since: time.Now()}
	s.groups[state] = struct{}{}
	s.joined.WithLabelValues(group).Set(0)
	return state
}

// end removes a membership, and with its last one the group's series.
func (s *groupStates) end(state *groupState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.groups, state)
	for other := range s.groups {
		if other.group == state.group {
			return
		}
	}
	s.joined.DeleteLabelValues(state.group)
}

// attempted records the outcome of an attempt to join.
func (s *groupStates) attempted(state *groupState, fault error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if state.joined != (fault == nil) {
		state.since = time.Now()
	}
	state.joined, state.fault = fault == nil, fault
	s.joined.WithLabelValues(state.group).Set(map[bool]float64{true: 1}[state.joined])
}

// GroupProblems returns which groups this process should have joined and has not, and why.
func (l *Log) GroupProblems() error {
	l.groups.mu.Lock()
	defer l.groups.mu.Unlock()
	var faults []error
	for _, state := range slices.SortedFunc(maps.Keys(l.groups.groups), byGroup) {
		waited := time.Since(state.since)
		switch {
		case state.joined:
		case state.fault != nil:
			faults = append(faults, fmt.Errorf("cannot join group %s, for %s: %w", state.group,
				waited.Round(time.Second), state.fault))
		case waited > joinPatience:
			faults = append(faults, fmt.Errorf("still joining group %s after %s", state.group,
				waited.Round(time.Second)))
		}
	}
	return errors.Join(faults...)
}

func byGroup(a, b *groupState) int {
	return cmp.Or(strings.Compare(a.group, b.group), a.since.Compare(b.since))
}
