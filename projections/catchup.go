package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Catchup folds the log as an engine does, but only up to given offsets, and in partitions that are
// all its own. Tables are rebuilt and verified with it.
type Catchup struct {
	engine *Engine
	log    *limitedLog

	mu    sync.Mutex
	next  map[int32]int64
	ended error         // of the engine
	moved chan struct{} // holds a token when next has changed
}

// CatchupConfig configures a Catchup.
type CatchupConfig struct {
	Config // its group and notifiers are not used

	Partitions []int32
	// Until ends each partition before the first event that was appended later; zero folds all.
	Until time.Time
}

// NewCatchup returns a catch-up that is ready to run.
func NewCatchup(cfg CatchupConfig) (*Catchup, error) {
	c := &Catchup{next: map[int32]int64{}, moved: make(chan struct{}, 1)}
	c.log = &limitedLog{
		Log: cfg.Log, until: cfg.Until, limits: map[int32]int64{},
		raised: make(chan struct{}),
	}
	inner := cfg.Config
	inner.catchup = true
	inner.Reader = nil // one of its own, for the log that it sees
	inner.quiet = true // the live engine reports
	inner.Log, inner.Group, inner.Notifiers = c.log, assigned(cfg.Partitions),
		[]Notifier{PositionNotifier(c.reached)}
	var err error
	c.engine, err = NewEngine(inner)
	return c, err
}

// Run folds until ctx ends.
func (c *Catchup) Run(ctx context.Context) error {
	err := c.engine.Run(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = err
	return err
}

const catchupCheckInterval = 100 * time.Millisecond

// FoldTo lets partitions fold up to the given offsets, exclusively, and returns when they have. It
// fails when one of them cannot continue.
func (c *Catchup) FoldTo(ctx context.Context, limits map[int32]int64) error {
	if err := c.readSkips(ctx, limits); err != nil {
		return err
	}
	c.log.raise(limits)
	check := time.NewTicker(catchupCheckInterval)
	defer check.Stop()
	for !c.haveReached(limits) {
		select {
		case <-c.moved:
		case <-check.C:
			if err := c.stuck(); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// readSkips reads what is skipped up to the limits, before they are raised.
func (c *Catchup) readSkips(ctx context.Context, limits map[int32]int64) error {
	topic, err := c.log.Topic(ctx)
	if err != nil {
		return err
	}
	for partition, limit := range limits {
		start, _, err := c.log.Bounds(ctx, partition)
		if err == nil {
			err = c.engine.readSkips(ctx, c.log.Log, topic, partition, start, limit, c.log.until)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Catchup) haveReached(limits map[int32]int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for partition := range limits {
		if c.next[partition] < c.log.limit(partition) {
			return false
		}
	}
	return true
}

// stuck returns why a partition cannot continue by itself.
func (c *Catchup) stuck() error {
	c.mu.Lock()
	faults := []error{c.ended}
	c.mu.Unlock()
	for _, s := range c.engine.Status() {
		if s.State == Refused {
			faults = append(faults,
				fmt.Errorf("partition %d is %s: %w", s.Partition, s.State, s.cause))
		}
	}
	return errors.Join(faults...)
}

// Folded returns how many records have been folded.
func (c *Catchup) Folded() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, next := range c.next {
		n += next
	}
	return n
}

func (c *Catchup) reached(at domain.Position) {
	c.mu.Lock()
	c.next[at.Partition] = at.Offset + 1
	c.mu.Unlock()
	signal(c.moved)
}

// assigned is a group whose only member has these partitions all the time.
type assigned []int32

// Consume implements [eventlog.Group].
func (a assigned) Consume(
	ctx context.Context, _ string, own func(context.Context, eventlog.Assignment) error,
) error {
	var workers errgroup.Group
	for _, partition := range a {
		workers.Go(func() error {
			return own(ctx,
				eventlog.Assignment{Partition: partition, Committed: func(int64) {}})
		})
	}
	return workers.Wait()
}

// limitedLog is a log that seems to end at a limit, which may be raised. A partition without one
// seems empty.
type limitedLog struct {
	Log
	until time.Time

	mu     sync.Mutex
	limits map[int32]int64
	past   map[int32]bool // partitions in which until has been reached; their limits stay
	raised chan struct{}  // closed and replaced when limits change
}

func (l *limitedLog) raise(limits map[int32]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for partition, limit := range limits {
		if !l.past[partition] {
			l.limits[partition] = limit
		}
	}
	close(l.raised)
	l.raised = make(chan struct{})
}

func (l *limitedLog) limit(partition int32) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits[partition]
}

// Fetch implements [eventlog.Fetcher].
func (l *limitedLog) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	l.mu.Lock()
	limit, raised := l.limits[partition], l.raised
	l.mu.Unlock()
	if offset >= limit {
		timer := time.NewTimer(maxWait)
		defer timer.Stop()
		select {
		case <-raised:
		case <-timer.C:
		case <-ctx.Done():
			return eventlog.Batch{}, ctx.Err()
		}
		return eventlog.Batch{Next: offset, HighWatermark: limit}, nil
	}
	batch, err := l.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	if err != nil {
		return batch, err
	}
	if !l.until.IsZero() {
		if i := slices.IndexFunc(batch.Records,
			func(r eventlog.Record) bool { return r.Time.After(l.until) }); i >= 0 {
			limit = l.end(partition, min(limit, batch.Records[i].Position.Offset))
		}
	}
	end := len(batch.Records)
	for end > 0 && batch.Records[end-1].Position.Offset >= limit {
		end--
	}
	batch.Records = batch.Records[:end]
	batch.Next, batch.HighWatermark = min(batch.Next, limit), min(batch.HighWatermark, limit)
	return batch, nil
}

// end fixes the limit of a partition for good.
func (l *limitedLog) end(partition int32, limit int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.past == nil {
		l.past = map[int32]bool{}
	}
	l.limits[partition], l.past[partition] = limit, true
	return limit
}
