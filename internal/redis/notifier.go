package redis

import (
	"context"
	"fmt"
	"sync"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
)

// Notifier tells the cache what a set of projections has changed. It is a [projections.Notifier].
type Notifier struct {
	cache *Cache
	names []string // by the projection's place in the set

	mu         sync.Mutex
	partitions map[int32]*partitionState
}

// partitionState is what the cache knows of a partition from this process. It belongs to the partition's goroutine.
type partitionState struct {
	last   int64 // the position of the last notice
	base   int64 // answers of earlier positions are out of date
	failed bool  // the cache has missed a notice
}

var _ projections.Notifier = (*Notifier)(nil)

// NewNotifier tells the cache about a set.
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
	t := n.partitions[p]
	if t == nil {
		t = &partitionState{last: -1, base: -1}
		n.partitions[p] = t
	}
	return t
}

// Claimed implements [projections.Notifier].
func (n *Notifier) Claimed(ctx context.Context, at domain.Position, epoch, base int64) error {
	t := n.partition(at.Partition)
	t.last, t.base = at.Offset, base
	done, err := n.cache.run(ctx, claimScript, []string{n.cache.headKey(at.Partition)}, epoch, at.Offset, max(at.Offset, base))
	t.failed = err != nil
	return n.outcome(done, err, at)
}

// Heartbeat implements [projections.Notifier]. It makes a head anew that has gone missing.
func (n *Notifier) Heartbeat(ctx context.Context, at domain.Position, epoch int64) error {
	return n.Committed(ctx, at, epoch, nil)
}

// Committed implements [projections.Notifier].
//
// A change by an event that lies before the last notice comes from a subject that was parked. It is in no answer at the
// position that the tables have now, so it counts as a change by the event that comes next, and nothing is kept until
// then.
func (n *Notifier) Committed(ctx context.Context, at domain.Position, epoch int64, changes []*projections.Change) error {
	t := n.partition(at.Partition)
	keys := append(make([]string, 0, 1+len(changes)), n.cache.headKey(at.Partition))
	args := append(make([]any, 0, 4+8*len(changes)), epoch, at.Offset, map[bool]int{true: 1}[t.failed], max(at.Offset, t.base))
	for _, c := range changes {
		keys = append(keys, n.cache.versionsKey(at.Partition, c.School))
		count := len(args)
		args = append(args, 0)
		changed := 0
		for i, offset := range c.Offsets {
			if offset < 0 {
				continue
			}
			if offset <= t.last {
				offset = at.Offset + 1
			}
			args = append(args, n.names[i], offset)
			changed++
		}
		args[count] = changed
	}
	done, err := n.cache.run(ctx, noticeScript, keys, args...)
	t.failed = err != nil
	t.last = at.Offset
	return n.outcome(done, err, at)
}

func (n *Notifier) outcome(done bool, err error, at domain.Position) error {
	switch {
	case err != nil:
		n.cache.metrics.notices.WithLabelValues("failed").Inc()
		return fmt.Errorf("tell the cache of position %s: %w", at, err)
	case done:
		n.cache.metrics.notices.WithLabelValues("told").Inc()
	default:
		n.cache.metrics.notices.WithLabelValues("ignored").Inc()
	}
	return nil
}
