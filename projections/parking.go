package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/eventlog"
)

// parkedInterval is how often a worker checks whether a parked subject is due for a retry.
const parkedInterval = time.Second

// maxReason is how many bytes of an error's text are stored.
const maxReason = 1000

var errParkedBefore = errors.New("an earlier event of the subject is parked")

// loadParked reads which subjects are parked.
func (s *lease) loadParked(ctx context.Context) error {
	subjects, err := s.cfg.Store.Parked(ctx, s.claim.Partition)
	if err != nil {
		return fmt.Errorf("read parked subjects: %w", err)
	}
	s.parked = make(map[SubjectKey]*ParkedSubject, len(subjects))
	for i := range subjects {
		s.parked[subjects[i].SubjectKey] = &subjects[i]
	}
	s.setParked(len(s.parked))
	return nil
}

func (s *lease) isParked(e *entry) bool {
	return len(s.parked) > 0 && s.parked[e.subject()] != nil
}

// park adds an event to the parked ones, and its subject with it. It does nothing and returns false
// when that would be one subject too many.
func (s *lease) park(ctx context.Context, e *entry, cause error) bool {
	key := e.subject()
	if s.parked[key] == nil {
		if len(s.parked) >= s.cfg.MaxParkedSubjects {
			return false
		}
		now := time.Now()
		s.parked[key] = &ParkedSubject{SubjectKey: key, FirstOffset: e.offset(), ParkedAt: now}
		s.noteFailure(s.parked[key], cause, now)
		s.setParked(len(s.parked))
		s.logParked(ctx, "parked a subject", s.parked[key], cause)
	}
	delete(s.refused, e.offset())
	s.batch.commit.Parking.Events = append(s.batch.commit.Parking.Events,
		ParkedEvent{SubjectKey: key, Type: sanitize(e.event.Type, maxReason), Record: e.record})
	s.rows.MarkAll(key.School, e.offset())
	s.engine.metrics.parked.Inc()
	return true
}

// noteFailure records that a subject's first event could not be folded again.
func (s *lease) noteFailure(subject *ParkedSubject, cause error, now time.Time) {
	// The pauses outlive the process, in the number of attempts, so they are computed rather than
	// counted.
	wait := s.cfg.ParkedRetryMax
	// no overflow
	if n := subject.Attempts; n < 32 && s.cfg.ParkedRetry<<n>>n == s.cfg.ParkedRetry {
		wait = min(wait, s.cfg.ParkedRetry<<n)
	}
	subject.Reason = sanitize(cause.Error(), maxReason)
	subject.Attempts++
	subject.RetryAt = now.Add(wait)
	subject.RetryRequested = false
	subject.FoldVersion = s.engine.foldVersion
	s.batch.touched[subject.SubjectKey] = struct{}{}
}

func (s *lease) logParked(ctx context.Context, what string, subject *ParkedSubject, cause error) {
	logger := s.logger.With("school", subject.School, "subject", subject.Subject, "offset",
		subject.FirstOffset)
	if p, ok := errors.AsType[*PanicError](cause); ok {
		logger = logger.With("stack", string(p.Stack))
	}
	logger.WarnContext(ctx, what, "reason", subject.Reason, "attempts", subject.Attempts)
}

// pause stops taking from the log: a failure in so many subjects is no single event's fault, and to
// park the rest of the log would only hide it.
func (s *lease) pause(ctx context.Context) {
	s.paused = true
	reason := fmt.Errorf("%d subjects are parked, which is the limit: see `schoolbell parked "+
		"list`, fix the cause "+
		"and retry them; the partition then continues by itself", len(s.parked))
	s.setState(Paused, reason)
	s.logger.ErrorContext(ctx, "paused the partition", "reason", reason)
}

// addParking adds to a batch what it changes about parked subjects.
func (s *lease) addParking(j *job) {
	for key := range j.touched {
		if subject := s.parked[key]; subject != nil {
			j.commit.Parking.Subjects = append(j.commit.Parking.Subjects, *subject)
		} else {
			j.commit.Parking.Released = append(j.commit.Parking.Released, key)
		}
	}
}

// retryParked folds the events of parked subjects that are due.
func (s *lease) retryParked(ctx context.Context) error {
	due, err := s.dueSubjects(ctx)
	if err != nil || len(due) == 0 {
		return err
	}
	// The store has all parked events only when no commit is under way.
	if err := s.drain(ctx); err != nil {
		return err
	}
	began := time.Now()
	for _, subject := range due {
		room := s.batchLimit - s.batch.records
		if room <= 0 {
			break // the rest is for the next tick
		}
		if err := s.retrySubject(ctx, subject, room); err != nil {
			return err
		}
	}
	s.batch.folding += time.Since(began)
	s.setParked(len(s.parked))
	if s.paused && len(s.parked) < s.cfg.MaxParkedSubjects {
		s.paused = false
		s.setState(Running, nil)
		s.logger.InfoContext(ctx, "continuing after a pause")
	}
	return nil
}

// dueSubjects returns the parked subjects to be retried now: on schedule, by request, or because
// the folds have changed.
func (s *lease) dueSubjects(ctx context.Context) ([]*ParkedSubject, error) {
	if len(s.parked) == 0 {
		return nil, nil
	}
	stored, err := s.cfg.Store.Parked(ctx, s.claim.Partition)
	if err != nil {
		return nil, fmt.Errorf("read parked subjects: %w", err)
	}
	for i := range stored {
		if subject := s.parked[stored[i].SubjectKey]; subject != nil && stored[i].RetryRequested {
			subject.RetryRequested = true
		}
	}
	now := time.Now()
	var due []*ParkedSubject
	for _, subject := range s.parked {
		if subject.RetryRequested || !subject.RetryAt.After(now) ||
			subject.FoldVersion != s.engine.foldVersion {
			due = append(due, subject)
		}
	}
	slices.SortFunc(due,
		func(a, b *ParkedSubject) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	return due, nil
}

// retrySubject folds at most limit of a subject's events in order, until one fails. The subject is
// released when none is left.
func (s *lease) retrySubject(ctx context.Context, subject *ParkedSubject, limit int) error {
	records, err := s.cfg.Store.ParkedEvents(ctx, s.claim.Partition, subject.SubjectKey, limit)
	if err != nil {
		return fmt.Errorf("read parked events: %w", err)
	}
	delete(s.parked, subject.SubjectKey) // so that its own events are not parked again
	j := s.batch
	for i := range records {
		event, fault := eventlog.Decode(s.cfg.Decode, &records[i], s.readAhead.topic.Partitions)
		e := newEntry(&records[i], event, fault)
		misses := 0
		cause, err := s.foldEntry(ctx, &e, nil, &misses)
		if err != nil {
			return err
		}
		j.records++
		j.last = e.offset()
		if cause != nil {
			delete(s.refused, e.offset())
			subject.FirstOffset = e.offset()
			s.noteFailure(subject, cause, time.Now())
			s.parked[subject.SubjectKey] = subject
			s.logParked(ctx, "retried a parked subject without success", subject, cause)
			return nil
		}
		j.commit.Parking.Folded = append(j.commit.Parking.Folded, e.offset())
		// Results that were read at the present position lack this event, so they are out of date
		// now.
		s.rows.MarkAll(subject.School, j.commit.From)
	}
	if len(records) == limit { // there may be more
		s.parked[subject.SubjectKey] = subject
		return nil
	}
	j.touched[subject.SubjectKey] = struct{}{}
	j.records++ // the release itself is something to commit
	s.logger.InfoContext(ctx, "released a parked subject", "school", subject.School, "subject",
		subject.Subject, "events", len(records))
	return nil
}
