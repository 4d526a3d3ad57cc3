package redis

import (
	"context"
	"fmt"
	"sync"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

// Notifier notifies the cache of what a set of projections has changed. It is a
// [projections.Notifier].
type Notifier struct {
	cache *Cache
	names []string // by the projection's index in the set

	mu         sync.Mutex
	partitions map[int32]*partitionState
}

// partitionState is what this process has reported to the cache about a partition. Only the partition's
// goroutine uses it.
type partitionState struct {
	last   int64 // the position of the last notice
	tables int64 // results from earlier tables are outdated
	failed bool  // the cache missed a notice
}

var _ projections.Notifier = (*Notifier)(nil)

// NewNotifier returns a notifier for a set.
func NewNotifier(c *Cache, set *projections.Set) *Notifier {
	n := &Notifier{cache: c, partitions: map[int32]*partitionState{}}
	for _, p := range set.Projections() {
		n.names = append(n.names, p.Name)
	}
	return n
}

func (n *Notifier) partition(p int32) *partitionState {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := n.partitions[p]
	if state == nil {
		state = &partitionState{last: -1}
		n.partitions[p] = state
	}
	return state
}

// Claimed implements [projections.Notifier].
func (n *Notifier) Claimed(ctx context.Context, at domain.Position, epoch, tables int64) error {
	state := n.partition(at.Partition)
	state.last, state.tables = at.Offset, tables
	done, err := n.cache.run(ctx, claimScript, []string{n.cache.headKey(at.Partition)}, epoch,
		at.Offset, tables)
	state.failed = err != nil
	return n.outcome(done, err, at)
}

// Heartbeat implements [projections.Notifier]. It restores a head that was lost.
func (n *Notifier) Heartbeat(ctx context.Context, at domain.Position, epoch int64) error {
	return n.Committed(ctx, at, epoch, nil)
}

// Committed implements [projections.Notifier].
//
// A change by an event before the last notice comes from a subject that was parked. No result at
// the current position has it, so it counts as a change by the event that comes next, and nothing
// is cached until then.
func (n *Notifier) Committed(
	ctx context.Context, at domain.Position, epoch int64, changes []*projections.Change,
) error {
	state := n.partition(at.Partition)
	keys := append(make([]string, 0, 1+len(changes)), n.cache.headKey(at.Partition))
	args := append(make([]any, 0, 4+8*len(changes)), epoch, at.Offset,
		map[bool]int{true: 1}[state.failed], state.tables)
	for _, c := range changes {
		keys = append(keys, n.cache.versionsKey(at.Partition, c.School))
		count := len(args)
		args = append(args, 0)
		changed := 0
		for i, offset := range c.Offsets {
			if offset < 0 {
				continue
			}
			if offset <= state.last {
				offset = at.Offset + 1
			}
			args = append(args, n.names[i], offset)
			changed++
		}
		args[count] = changed
	}
	done, err := n.cache.run(ctx, noticeScript, keys, args...)
	state.failed = err != nil
	state.last = at.Offset
	return n.outcome(done, err, at)
}

func (n *Notifier) outcome(done bool, err error, at domain.Position) error {
	switch {
	case err != nil:
		n.cache.metrics.notices.WithLabelValues("failed").Inc()
		return fmt.Errorf("notify cache of position %s: %w", at, err)
	case done:
		n.cache.metrics.notices.WithLabelValues("told").Inc()
	default:
		n.cache.metrics.notices.WithLabelValues("ignored").Inc()
	}
	return nil
}
