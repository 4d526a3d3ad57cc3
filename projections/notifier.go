package projections

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
)

// Notifier is called when something has become visible, so that cached results can be dropped and
// waiting readers woken. It is called after the commit and may miss some: a notifier that fails, or
// a process that ends before the call, stops nothing. Each notifier is called by one goroutine for
// each partition; changes of several commits may come together. Positions are those of the last
// event that is in the tables.
type Notifier interface {
	// Claimed is called when this process has taken a partition over, with the position that is
	// visible at least, and by a rebuild when it has exchanged the tables. What was read from earlier
	// tables is out of date: see [Claim.Tables].
	Claimed(ctx context.Context, at domain.Position, epoch, tables int64) error
	// Committed is called with the position of the tables, and what has changed since the last
	// call.
	Committed(ctx context.Context, at domain.Position, epoch int64, changes []*Change) error
	// Heartbeat is called about once a second while the tables stay at a position.
	Heartbeat(ctx context.Context, at domain.Position, epoch int64) error
}

const heartbeatInterval = time.Second

// commitNotifier calls one notifier about the commits of one lease. It runs next to the pipeline,
// which never waits for it: when the notifier is slow, the changes of several commits are merged.
type commitNotifier struct {
	notifier Notifier
	lease    *lease
	wake     chan struct{} // holds a token when there is a new commit

	mu      sync.Mutex
	next    int64
	changes map[string]*Change // not yet sent, by school
}

// startNotifiers notifies everybody of the lease's progress, the group included.
func (s *lease) startNotifiers(ctx context.Context, stages *errgroup.Group) {
	for _, n := range append([]Notifier{groupProgress(s.assignment.Committed)},
		s.cfg.Notifiers...) {
		c := &commitNotifier{
			notifier: n, lease: s, next: s.claim.Next,
			wake: make(chan struct{}, 1), changes: map[string]*Change{},
		}
		s.notifiers = append(s.notifiers, c)
		stages.Go(func() error { return c.run(ctx) })
	}
}

// add records a commit, to be sent.
func (c *commitNotifier) add(next int64, changes []*Change) {
	c.mu.Lock()
	c.next = next
	for _, change := range changes {
		merged := c.changes[change.School]
		if merged == nil {
			merged = newChange(change.School, len(change.Offsets))
			c.changes[change.School] = merged
		}
		for i, offset := range change.Offsets {
			merged.raise(i, offset)
		}
		merged.Tables = max(merged.Tables, change.Tables)
	}
	c.mu.Unlock()
	signal(c.wake)
}

func (c *commitNotifier) take() (domain.Position, []*Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	changes := slices.Collect(maps.Values(c.changes))
	clear(c.changes)
	return domain.Position{Partition: c.lease.claim.Partition, Offset: c.next - 1}, changes
}

func (c *commitNotifier) run(ctx context.Context) error {
	epoch := c.lease.claim.Epoch
	at, _ := c.take()
	c.check(ctx, c.notifier.Claimed(ctx, at, epoch, c.lease.claim.Tables))
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	for {
		select {
		case <-c.wake:
			at, changes := c.take()
			c.check(ctx, c.notifier.Committed(ctx, at, epoch, changes))
		case <-heartbeat.C:
			c.mu.Lock()
			at.Offset = c.next - 1
			quiet := len(c.changes) == 0
			c.mu.Unlock()
			if quiet {
				c.check(ctx, c.notifier.Heartbeat(ctx, at, epoch))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// check counts and logs a failure. It ends nothing: the tables are right, only readers may be late.
func (c *commitNotifier) check(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	c.lease.engine.metrics.notifyFailures.Inc()
	c.lease.logger.WarnContext(ctx,
		"cannot notify of changes; readers may get older results until this works",
		"error", err)
}

// PositionNotifier is a [Notifier] that only wants to know where the tables stand: at least once a
// second, and as soon as they have moved.
type PositionNotifier func(at domain.Position)

// Claimed implements [Notifier].
func (n PositionNotifier) Claimed(_ context.Context, at domain.Position, _, _ int64) error {
	n(at)
	return nil
}

// Committed implements [Notifier].
func (n PositionNotifier) Committed(
	_ context.Context, at domain.Position, _ int64, _ []*Change,
) error {
	n(at)
	return nil
}

// Heartbeat implements [Notifier].
func (n PositionNotifier) Heartbeat(_ context.Context, at domain.Position, _ int64) error {
	n(at)
	return nil
}

// groupProgress commits offsets to the log's group, about once a second, for tools that show lag.
// The engine itself does not use them: its positions are in the store.
type groupProgress func(next int64)

// Claimed implements [Notifier].
func (p groupProgress) Claimed(context.Context, domain.Position, int64, int64) error { return nil }

// Committed implements [Notifier].
func (p groupProgress) Committed(context.Context, domain.Position, int64, []*Change) error {
	return nil
}

// Heartbeat implements [Notifier].
func (p groupProgress) Heartbeat(_ context.Context, at domain.Position, _ int64) error {
	p(at.Offset + 1)
	return nil
}
