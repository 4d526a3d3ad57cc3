package projections

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
)

// Notifier is told what has become visible, so that kept answers can be dropped and waiting readers woken. It is told
// after the fact and may miss things: a notifier that fails, or a process that ends before it could tell, stops nothing.
// Each notifier is called by one goroutine for each partition; changes of several commits may come together. Positions
// are those of the last event that is in the tables.
type Notifier interface {
	// Claimed says that this process has taken a partition over, and what is visible at least. What was read at an
	// earlier offset than base is out of date.
	Claimed(ctx context.Context, at domain.Position, epoch, base int64) error
	// Committed says that the tables now stand at a position, and what has changed since they stood at the last one.
	Committed(ctx context.Context, at domain.Position, epoch int64, changes []*Change) error
	// Heartbeat says about once a second that the tables still stand at a position.
	Heartbeat(ctx context.Context, at domain.Position, epoch int64) error
}

const heartbeatInterval = time.Second

// commitNotifier tells one notifier about the commits of one session. It does so beside the pipeline: when the notifier is slow,
// commits are told together.
type commitNotifier struct {
	notifier Notifier
	lease    *lease
	pending  chan struct{}

	mu      sync.Mutex
	next    int64
	changes map[string]*Change
}

// startNotifiers tells each notifier, and the group itself, how the session gets on.
func (s *lease) startNotifiers(ctx context.Context, stages *errgroup.Group) {
	for _, n := range append([]Notifier{progress(s.assignment.Committed)}, s.cfg.Notifiers...) {
		a := &commitNotifier{
			notifier: n, lease: s, next: s.claim.Next,
			pending: make(chan struct{}, 1), changes: map[string]*Change{},
		}
		s.notifiers = append(s.notifiers, a)
		stages.Go(func() error { return a.run(ctx) })
	}
}

// add notes a commit.
func (a *commitNotifier) add(next int64, changes []*Change) {
	a.mu.Lock()
	a.next = next
	for _, c := range changes {
		known := a.changes[c.School]
		if known == nil {
			known = newChange(c.School, len(c.Offsets))
			a.changes[c.School] = known
		}
		for i, offset := range c.Offsets {
			known.raise(i, offset)
		}
	}
	a.mu.Unlock()
	signal(a.pending)
}

func (a *commitNotifier) take() (domain.Position, []*Change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	changes := make([]*Change, 0, len(a.changes))
	for _, c := range a.changes {
		changes = append(changes, c)
	}
	clear(a.changes)
	return domain.Position{Partition: a.lease.claim.Partition, Offset: a.next - 1}, changes
}

func (a *commitNotifier) run(ctx context.Context) error {
	epoch := a.lease.claim.Epoch
	at, _ := a.take()
	a.countFailure(ctx, a.notifier.Claimed(ctx, at, epoch, a.lease.claim.Base))
	heartbeat := time.NewTicker(heartbeatInterval)
	defer heartbeat.Stop()
	for {
		select {
		case <-a.pending:
			at, changes := a.take()
			a.countFailure(ctx, a.notifier.Committed(ctx, at, epoch, changes))
		case <-heartbeat.C:
			a.mu.Lock()
			at.Offset = a.next - 1
			quiet := len(a.changes) == 0
			a.mu.Unlock()
			if quiet {
				a.countFailure(ctx, a.notifier.Heartbeat(ctx, at, epoch))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// countFailure logs the first of a series of failures, whichever partition it is of.
func (a *commitNotifier) countFailure(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	engine := a.lease.engine
	engine.metrics.notifyFailures.Inc()
	if engine.untold.begins(time.Now()) {
		a.lease.logger.WarnContext(ctx, "cannot tell what has changed, so readers may get older answers until that works", "error", err)
	}
}

// burst tells the first of several failures from those that follow it closely.
type burst struct {
	mu   sync.Mutex
	last time.Time
}

const burstEnds = 30 * time.Second

func (b *burst) begins(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	first := now.Sub(b.last) > burstEnds
	b.last = now
	return first
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

// progress tells the log's group how far a partition is, about once a second, for tools that show lag.
type progress func(next int64)

// Claimed implements [Notifier].
func (p progress) Claimed(context.Context, domain.Position, int64, int64) error { return nil }

// Committed implements [Notifier].
func (p progress) Committed(context.Context, domain.Position, int64, []*Change) error { return nil }

// Heartbeat implements [Notifier].
func (p progress) Heartbeat(_ context.Context, at domain.Position, _ int64) error {
	p(at.Offset + 1)
	return nil
}
