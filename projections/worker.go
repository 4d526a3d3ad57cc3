package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// worker works on one partition for as long as it is assigned to this process, in leases: each
// begins with a claim and ends with the first failure.
type worker struct {
	engine     *Engine
	assignment eventlog.Assignment
	readAhead  *readAhead
	logger     *slog.Logger

	// When the store refuses rows it does not say which event is to blame. batchLimit is lowered
	// until that event is alone in its batch; then it is added to refused, by its offset, and
	// parked.
	batchLimit int
	refused    map[int64]error

	mu     sync.Mutex
	status Status
}

// work is called by the group for each partition that it assigns.
func (e *Engine) work(ctx context.Context, a eventlog.Assignment) error {
	w := &worker{
		engine: e, assignment: a, readAhead: e.newReadAhead(a.Partition),
		batchLimit: e.cfg.MaxBatch, refused: map[int64]error{},
		logger: e.cfg.Logger.With("set", e.cfg.Name, "partition", a.Partition),
		status: Status{
			Partition: a.Partition, State: Starting,
			Position: domain.Position{Partition: a.Partition, Offset: -1},
		},
	}
	e.mu.Lock()
	e.workers[a.Partition] = w
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		// After a rebalance the partition may have a new worker here before the old one has ended.
		if e.workers[a.Partition] == w {
			delete(e.workers, a.Partition)
		}
		e.mu.Unlock()
		w.readAhead.close()
	}()
	return w.run(ctx)
}

const (
	restartMin   = 50 * time.Millisecond
	restartMax   = 3 * time.Second // so that a server that has healed is used within five seconds
	refusedRetry = 15 * time.Second
	// By then the group has noticed to whom the partition belongs, and ends the assignment.
	fencedRetry = 10 * time.Second
)

// growingPause returns pauses that double from one failure to the next. They have no jitter, so
// that a simulation with the same seed takes the same course.
func growingPause(initial, limit time.Duration) *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = initial, limit, 2, 0
	b.Reset()
	return b
}

// run takes one lease after the other until the assignment ends. It fails when the tables are not
// for this program, so that the partition goes to another one.
func (w *worker) run(ctx context.Context) error {
	pause := growingPause(restartMin, restartMax)
	for ctx.Err() == nil {
		before := w.currentStatus().Position
		err := w.runLease(ctx)
		if ctx.Err() != nil {
			break
		}
		if w.currentStatus().Position != before {
			pause.Reset() // it made progress
		}
		if _, ok := errors.AsType[*VersionError](err); ok {
			return err
		}
		w.engine.metrics.restarts.Inc()
		if sleep(ctx, w.afterFailure(ctx, err, pause)) != nil {
			break
		}
	}
	return nil //nolint:nilerr // the end of an assignment is no failure
}

// afterFailure reports why a lease has ended, and returns how long to wait before the next one.
func (w *worker) afterFailure(
	ctx context.Context, err error, pause *backoff.ExponentialBackOff,
) time.Duration {
	var topic *TopicError
	var position *PositionError
	var partitions *eventlog.PartitionsError
	switch {
	case errors.Is(err, ErrRebuilt):
		w.logger.InfoContext(ctx, "continuing with rebuilt tables")
		return 0
	case errors.Is(err, ErrFenced):
		w.engine.metrics.fenced.Inc()
		w.logger.WarnContext(ctx, "another process has taken the partition over")
		w.setState(Failing, err)
		return fencedRetry
	case errors.As(err, &topic), errors.As(err, &position), errors.As(err, &partitions),
		errors.Is(err, eventlog.ErrRefused):
		w.logger.ErrorContext(ctx, "refusing to continue", "error", err)
		w.setState(Refused, err)
		return refusedRetry
	case errors.Is(err, ErrSkippedLate):
		w.setState(Refused, err)
		return refusedRetry
	case errors.Is(err, ErrRejected):
		w.logger.WarnContext(ctx, "looking for the event whose rows the store refuses",
			"error", err, "batch", w.batchLimit)
		return 0
	}
	w.logger.WarnContext(ctx, "restarting from the last commit", "error", err)
	w.setState(Failing, err)
	return pause.NextBackOff()
}

// open claims the partition and makes sure that the log fits the tables.
func (w *worker) open(ctx context.Context) (Claim, error) {
	cfg := &w.engine.cfg
	n := w.assignment.Partition
	topic, err := cfg.Log.Topic(ctx)
	if err != nil {
		return Claim{}, err
	}
	if err := cfg.Reader.CheckTopic(topic); err != nil {
		return Claim{}, err
	}
	claim, err := cfg.Store.Claim(ctx, n, topic.ID)
	if err != nil {
		return Claim{}, fmt.Errorf("claim partition %d: %w", n, err)
	}
	w.setPosition(claim.Next)
	start, end, err := cfg.Log.Bounds(ctx, n)
	if err != nil {
		return Claim{}, err
	}
	if claim.Next < start {
		return Claim{}, &PositionError{Partition: n, Next: claim.Next, Start: start}
	}
	if err := w.compare(ctx, topic, claim); err != nil {
		return Claim{}, err
	}
	if !cfg.catchup {
		err := w.engine.readSkips(ctx, cfg.Log, topic, n, claim.Next, end, time.Time{})
		if err != nil {
			return Claim{}, err
		}
	}
	w.readAhead.seek(topic, claim.Next, end)
	return claim, nil
}

// compare makes sure that the log still has what the tables were folded from. What it had, nobody
// else may go on with either.
func (w *worker) compare(ctx context.Context, topic eventlog.Topic, claim Claim) error {
	cfg := &w.engine.cfg
	last := claim.Last
	if cfg.catchup {
		last = eventlog.Mark{} // its log ends where it was let to, and was compared before
	}
	err := eventlog.Compare(ctx, cfg.Log, topic, claim.Partition, claim.Next, last)
	refusal, refused := errors.AsType[*eventlog.Refusal](err)
	if !refused {
		return err
	}
	return errors.Join(refusal, cfg.Store.Refuse(ctx, claim, refusal))
}

func (w *worker) setState(s State, reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.State, w.status.Reason, w.status.cause = s, "", reason
	if reason != nil {
		w.status.Reason = reason.Error()
	}
}

func (w *worker) setPosition(next int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Position.Offset = next - 1
}

func (w *worker) setParked(subjects, schools int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Parked, w.status.ParkedSchools = subjects, schools
}

// currentStatus is the state of the last lease, as amended by what the read-ahead observes
// meanwhile.
func (w *worker) currentStatus() Status {
	w.mu.Lock()
	s := w.status
	w.mu.Unlock()
	if fault := w.readAhead.currentFault(); fault != nil && s.State == Running {
		s.State, s.Reason = Failing, fault.Error()
	}
	var oldest time.Time
	s.Lag, oldest = w.readAhead.lag(s.Position.Offset + 1)
	if !oldest.IsZero() {
		s.LagTime = max(0, time.Since(oldest))
	}
	return s
}
