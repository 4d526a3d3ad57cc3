package redis

import (
	"context"
	"fmt"
	"strconv"
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
	tables int64 // of the latest exchange or revision that was reported
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
		state = &partitionState{}
		n.partitions[p] = state
	}
	return state
}

// Claimed implements [projections.Notifier].
func (n *Notifier) Claimed(ctx context.Context, at domain.Position, epoch, tables int64) error {
	state := n.partition(at.Partition)
	state.tables = tables
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
// Events that were parked change a school's tables at a position where they are already. The change
// counts as half an offset after the position: of the results at that position, those from the revised
// tables are current. (The version before this one reads it as a change by the event that comes next.)
func (n *Notifier) Committed(
	ctx context.Context, at domain.Position, epoch int64, changes []*projections.Change,
) error {
	state := n.partition(at.Partition)
	keys := append(make([]string, 0, 1+len(changes)), n.cache.headKey(at.Partition))
	args := append(make([]any, 0, 4+8*len(changes)), epoch, at.Offset,
		map[bool]int{true: 1}[state.failed], 0)
	for _, c := range changes {
		state.tables = max(state.tables, c.Tables)
		keys = append(keys, n.cache.versionsKey(at.Partition, c.School))
		count := len(args)
		args = append(args, 0, c.Tables)
		changed := 0
		for i, offset := range c.Offsets {
			if offset < 0 {
				continue
			}
			version := strconv.FormatInt(offset, 10)
			if c.Tables > 0 && offset > at.Offset {
				version = strconv.FormatInt(at.Offset, 10) + revisedSuffix
			}
			args = append(args, n.names[i], version)
			changed++
		}
		args[count] = changed
	}
	args[3] = state.tables
	done, err := n.cache.run(ctx, noticeScript, keys, args...)
	state.failed = err != nil
	return n.outcome(done, err, at)
}

func (n *Notifier) outcome(done bool, err error, at domain.Position) error {
	switch {
	case err != nil:
		n.cache.metrics.notices.WithLabelValues("failed").Inc()
		return fmt.Errorf("notify cache of position %s: %w", at, err)
	case done:
		n.cache.metrics.notices.WithLabelValues("sent").Inc()
	default:
		n.cache.metrics.notices.WithLabelValues("ignored").Inc()
	}
	return nil
}
