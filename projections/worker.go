package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// worker works on one partition for as long as it is assigned to this process, in sessions: each begins with a claim and
// ends with the first thing that goes wrong.
type worker struct {
	engine     *Engine
	assignment eventlog.Assignment
	readAhead  *readAhead
	logger     *slog.Logger

	// batchLimit is lowered when the store refuses rows, until the event that is to blame is alone in its batch; that
	// one is then in refused and parks.
	batchLimit int
	refused    map[int64]error

	mu     sync.Mutex
	status Status
}

// work is called by the group.
func (e *Engine) work(ctx context.Context, a eventlog.Assignment) error {
	o := &worker{
		engine: e, assignment: a, readAhead: e.takeReadAhead(a.Partition), batchLimit: e.cfg.MaxBatch, refused: map[int64]error{},
		logger: e.cfg.Logger.With("set", e.cfg.Name, "partition", a.Partition),
		status: Status{Partition: a.Partition, State: Starting, Position: domain.Position{Partition: a.Partition, Offset: -1}},
	}
	e.mu.Lock()
	e.workers[a.Partition] = o
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		if e.workers[a.Partition] == o {
			delete(e.workers, a.Partition)
		}
		e.mu.Unlock()
		e.returnReadAhead(o.readAhead)
	}()
	return o.run(ctx)
}

const (
	restartMin   = 50 * time.Millisecond
	restartMax   = 5 * time.Second
	refusedRetry = 15 * time.Second
	fencedRetry  = 10 * time.Second // by then the group has noticed to whom the partition belongs
)

// run holds sessions until the assignment ends. It fails when the tables are not for this program, so that the partition
// goes to another one.
func (o *worker) run(ctx context.Context) error {
	delay := restartMin
	for ctx.Err() == nil {
		before := o.currentStatus().Position
		err := o.runLease(ctx)
		if ctx.Err() != nil {
			break
		}
		if o.currentStatus().Position != before {
			delay = restartMin // it got somewhere
		}
		wait := delay
		var topic *TopicError
		var position *PositionError
		var version *VersionError
		switch {
		case errors.As(err, &version):
			return err
		case errors.Is(err, ErrRebuilt):
			o.logger.InfoContext(ctx, "going on with rebuilt tables")
			wait = 0
		case errors.Is(err, ErrFenced):
			o.engine.metrics.fenced.Inc()
			o.logger.WarnContext(ctx, "another process has taken the partition over")
			o.setState(Failing, err)
			wait = fencedRetry
		case errors.As(err, &topic), errors.As(err, &position):
			o.logger.ErrorContext(ctx, "refusing to go on", "error", err)
			o.setState(Refused, err)
			wait = refusedRetry
		case errors.Is(err, ErrRejected):
			o.logger.WarnContext(ctx, "looking for the event whose rows the store refuses", "error", err, "batch", o.batchLimit)
			wait = 0
		default:
			if o.engine.restarted.begins(time.Now()) {
				o.logger.WarnContext(ctx, "starting again from the last commit, until that works; other partitions may have to as well",
					"error", err)
			}
			o.setState(Failing, err)
			delay = min(2*delay, restartMax)
		}
		o.engine.metrics.restarts.Inc()
		if sleep(ctx, wait) != nil {
			break
		}
	}
	return nil //nolint:nilerr // that the assignment ends is no failure
}

// open claims the partition and makes sure that the log fits the tables.
func (o *worker) open(ctx context.Context) (Claim, error) {
	cfg := &o.engine.cfg
	n := o.assignment.Partition
	topic, err := cfg.Log.Topic(ctx)
	if err != nil {
		return Claim{}, err
	}
	claim, err := cfg.Store.Claim(ctx, n, topic.ID)
	if err != nil {
		return Claim{}, fmt.Errorf("claim partition %d: %w", n, err)
	}
	o.setPosition(claim.Next)
	start, end, err := cfg.Log.Bounds(ctx, n)
	if err != nil {
		return Claim{}, err
	}
	if claim.Next < start || claim.Next > end {
		return Claim{}, &PositionError{Partition: n, Next: claim.Next, Start: start, End: end}
	}
	if err := o.readAhead.seek(ctx, topic, claim.Next); err != nil {
		return Claim{}, err
	}
	return claim, nil
}

func (o *worker) setState(s State, reason error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status.State, o.status.Reason = s, ""
	if reason != nil {
		o.status.Reason = reason.Error()
	}
}

func (o *worker) setPosition(next int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status.Position.Offset = next - 1
}

func (o *worker) setParked(subjects int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.status.Parked = subjects
}

// reportUnread logs the first of a series of failures to read, whichever partition it is of.
func (o *worker) reportUnread(ctx context.Context, err error) {
	if o.engine.unread.begins(time.Now()) {
		o.logger.WarnContext(ctx, "cannot read the log, trying on", "error", err)
	}
}

func (o *worker) currentStatus() Status {
	o.mu.Lock()
	s := o.status
	o.mu.Unlock()
	if fault := o.readAhead.currentFault(); fault != nil && s.State == Running {
		s.State, s.Reason = Failing, fault.Error()
	}
	var oldest time.Time
	s.Lag, oldest = o.readAhead.lag(s.Position.Offset + 1)
	if !oldest.IsZero() {
		s.LagTime = max(0, time.Since(oldest))
	}
	return s
}
