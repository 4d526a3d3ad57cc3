package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog"
)

// lease is one claim's worth of work: a pipeline of goroutines in which one batch is committed
// while the next one is folded and the log is read ahead. The fold's part of it, here and in
// parking.go, belongs to one goroutine; the job channels hand batches to the one that commits and
// back.
type lease struct {
	*worker
	cfg      *Config
	claim    Claim
	rows     *Batch
	parked   map[SubjectKey]*ParkedSubject
	subjects map[string]int // how many of them are subjects, by school
	skips    *skips

	blocks blocks    // where its events are
	batch  *job      // what has been folded and not been handed over
	jobs   chan *job // to the goroutine that commits
	idle   chan *job // from it, when it has nothing to do; the job can be reused

	notifiers []*commitNotifier
	failed    *job // the job that could not be committed
}

// job is a batch on its way into the store.
type job struct {
	commit  Commit
	changes []*Change
	touched map[SubjectKey]struct{} // subjects that were parked, released or retried
	revised map[string]struct{}     // schools whose parked events make up a part of the changes
	records int                     // of the log, and parked ones that were retried
	last    int64                   // the offset of the last one that was folded
	read    *entry                  // the last one that leaves a mark; held until it is released
	folding time.Duration
	visible []times
	links   links
}

// times is when an event happened and when it was appended to the log.
type times struct{ event, record time.Time }

func newJob() *job {
	return &job{touched: map[SubjectKey]struct{}{}, revised: map[string]struct{}{}}
}

func (j *job) reset(from int64) *job {
	clear(j.touched)
	clear(j.revised)
	*j = job{
		commit: Commit{From: from, To: from}, touched: j.touched, revised: j.revised,
		visible: j.visible[:0], links: j.links[:0],
	}
	return j
}

// runLease claims the partition and works until something fails or ctx ends.
func (w *worker) runLease(ctx context.Context) error {
	claim, err := w.open(ctx)
	if err != nil {
		return err
	}
	s := &lease{
		worker: w, cfg: &w.engine.cfg, claim: claim, skips: w.engine.skipsOf(claim.Partition),
		rows: NewBatch(w.engine.cfg.Set, claim.Next == 0), blocks: blocks{at: map[string]int{}},
		batch: newJob().reset(claim.Next), jobs: make(chan *job, 1), idle: make(chan *job, 1),
	}
	s.idle <- newJob()
	if err := s.loadParked(ctx); err != nil {
		return err
	}
	w.setState(Running, nil)

	stages, ctx := errgroup.WithContext(ctx)
	s.startNotifiers(ctx, stages)
	stages.Go(func() error { return w.readAhead.fill(ctx) })
	stages.Go(func() error { return s.fold(ctx) })
	stages.Go(func() error { return s.commit(ctx) })
	err = stages.Wait()
	if errors.Is(err, ErrRejected) {
		w.suspect(s.failed, err)
	}
	return err
}

// suspect narrows the search for the event whose rows the store refuses.
func (w *worker) suspect(j *job, err error) {
	if j.records == 1 {
		w.refused[j.last] = err
	}
	w.batchLimit = max(1, j.records/16)
}

// fold takes what the log brings and hands batches over. While the last batch is being committed
// the current one grows, so batches are as large as the backlog makes them.
func (s *lease) fold(ctx context.Context) error {
	retries := time.NewTicker(parkedInterval)
	defer retries.Stop()
	if err := s.retryParked(ctx); err != nil {
		return err
	}
	for {
		room, more := s.batchLimit-s.batch.records, s.readAhead.more
		if room <= 0 {
			room, more = 0, nil
		}
		if entries := s.readAhead.take(room); len(entries) > 0 {
			if err := s.foldEntries(ctx, entries); err != nil {
				return err
			}
			continue
		}
		idle := s.idle
		if s.batch.records == 0 {
			idle = nil
		}
		select {
		case done := <-idle:
			s.handOver(done)
		case <-more:
		case <-retries.C:
			if err := s.retryParked(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// foldEntries folds entries of the log in turn. What cannot be folded is parked.
func (s *lease) foldEntries(ctx context.Context, entries []entry) error {
	began := time.Now()
	misses := 0
	for i := range entries {
		e := &entries[i]
		if e.duplicate {
			s.engine.metrics.duplicates.Inc()
			if e.fault != nil { // it is an event of its own, and not a repetition
				s.engine.metrics.conflicts.Inc()
				s.report(ctx, e)
			}
		} else if e.unusable() {
			s.passOver(ctx, e)
		} else if !e.otherSchool {
			if err := s.foldOrPark(ctx, e, entries[i+1:], &misses); err != nil {
				return err
			}
			// Not before: folding a skip hands over the batch so far.
			s.blocks.add(e.subject().School, e.offset())
			s.batch.visible = append(s.batch.visible, times{e.event.Time, e.record.Time})
			s.collectLink(e.event) //nolint:contextcheck // what it reads into a context comes from the event
		}
		s.batch.commit.To = e.last + 1
		s.batch.records++
		s.batch.last = e.offset()
		if !e.undecodable {
			s.batch.read = e
		}
	}
	s.batch.folding += time.Since(began)
	return nil
}

// passOver leaves out a record that nobody can use. It belongs to no subject, so nothing waits for
// it.
func (s *lease) passOver(ctx context.Context, e *entry) {
	s.engine.metrics.unusable.Inc()
	s.report(ctx, e)
}

// report makes a dead letter of a record that takes no effect.
func (s *lease) report(ctx context.Context, e *entry) {
	if s.cfg.quiet {
		return
	}
	s.batch.commit.Unusable = append(s.batch.commit.Unusable,
		UnusableRecord{Record: e.record, Last: e.last, Reason: e.fault})
	s.logger.WarnContext(ctx, "passed over a record", "offset", e.offset(),
		"last", e.last, "reason", sanitize(e.fault.Error(), maxReason))
}

func (s *lease) foldOrPark(ctx context.Context, e *entry, next []entry, misses *int) error {
	if skip, skipped := s.skips.of(e); skipped {
		s.skip(skip)
		return nil
	}
	if _, ok := e.event.Data.(*log.EventSkipped); ok && e.fault == nil {
		return s.takeSkip(ctx, e)
	}
	cause := errParkedBefore
	if s.waitsBehind(e) == nil {
		var err error
		if cause, err = s.foldEntry(ctx, e, next, misses); err != nil {
			return err
		}
	}
	if cause != nil {
		s.park(ctx, e, cause)
	}
	return nil
}

// foldEntry folds one entry, looking up the rows that it and the next ones need. It returns a cause
// when the entry must be parked, and an error when the store fails.
func (s *lease) foldEntry(
	ctx context.Context, e *entry, next []entry, misses *int,
) (cause, err error) {
	switch {
	case e.unusable(): // parked by an earlier version of this program
		s.passOver(ctx, e)
		return nil, nil
	case e.fault != nil:
		return e.fault, nil
	case len(s.refused) > 0 && s.refused[e.offset()] != nil:
		return s.refused[e.offset()], nil
	}
	for {
		outcome, cause := s.rows.Fold(e.event)
		if outcome != Missing {
			return cause, nil
		}
		// Probing ahead saves round trips. Where keys depend on what was folded just before, it
		// finds the wrong ones, so each miss halves how far it goes.
		ahead := min(len(next), max(len(next)>>*misses, 64))
		*misses++
		for i := range next[:ahead] {
			if n := &next[i]; !n.otherSchool && !n.duplicate && n.fault == nil &&
				s.waitsBehind(n) == nil {
				s.rows.Probe(n.event)
			}
		}
		began := time.Now()
		if err := s.cfg.Store.Lookup(ctx, s.rows.Lookups()); err != nil {
			return nil, fmt.Errorf("look up rows: %w", err)
		}
		s.rows.Settle()
		s.engine.metrics.lookup.Observe(time.Since(began).Seconds())
	}
}

// handOver sends the batch to the goroutine that commits, and starts the next one.
func (s *lease) handOver(spare *job) {
	j := s.batch
	if j.read != nil {
		j.commit.Last = eventlog.MarkOf(&j.read.record)
	}
	j.commit.Rows, j.changes = s.rows.Take(s.cfg.MaxRows)
	j.commit.Blocks = s.blocks.take()
	s.addParking(j)
	s.batch = spare.reset(j.commit.To)
	s.batchLimit = min(2*s.batchLimit, s.cfg.MaxBatch)
	s.jobs <- j
}

// drain hands over what there is and waits until it is in the store.
func (s *lease) drain(ctx context.Context) error {
	for {
		select {
		case done := <-s.idle:
			if s.batch.records == 0 {
				s.idle <- done
				return nil
			}
			s.handOver(done)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// idleCommitInterval is how often a worker without events commits an empty batch. So it learns within
// that time that the partition was claimed or its tables were exchanged, and everybody else sees in the
// store that it works on the partition.
const idleCommitInterval = 5 * time.Second

// commit writes batches to the store, and notifies.
func (s *lease) commit(ctx context.Context) error {
	claim := s.claim
	idle := time.NewTicker(idleCommitInterval)
	defer idle.Stop()
	for {
		var j *job
		select {
		case j = <-s.jobs:
		case <-idle.C:
			if err := s.commitNothing(ctx, claim); err != nil {
				return fmt.Errorf("commit at offset %d: %w", claim.Next, err)
			}
			continue
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := s.commitJob(ctx, claim, j); err != nil {
			s.failed = j
			return fmt.Errorf("commit offsets %d to %d: %w", j.commit.From, j.commit.To, err)
		}
		claim = claim.After(&j.commit)
		idle.Reset(idleCommitInterval)
		s.setPosition(j.commit.To)
		s.readAhead.release(j.commit.To)
		for _, c := range j.changes {
			if _, revised := j.revised[c.School]; revised {
				c.Tables = claim.Tables
			}
		}
		for _, a := range s.notifiers {
			a.add(j.commit.To, j.changes)
		}
		s.engine.metrics.committed(j)
		s.idle <- j
	}
}

func (s *lease) commitNothing(ctx context.Context, claim Claim) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	return s.cfg.Store.Commit(ctx, claim, &Commit{From: claim.Next, To: claim.Next})
}

func (s *lease) commitJob(ctx context.Context, claim Claim, j *job) error {
	// A commit that has begun is finished even when the assignment ends: cutting it off would leave
	// the next worker waiting for its locks.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.CommitTimeout)
	defer cancel()
	ctx, end := s.startSpan(ctx, j)
	began := time.Now()
	err := s.cfg.Store.Commit(ctx, claim, &j.commit)
	s.engine.metrics.commit.Observe(time.Since(began).Seconds())
	end(err)
	return err
}
