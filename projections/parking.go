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

// errParkedBefore is why an event is parked that has not been tried.
var errParkedBefore = errors.New("an earlier event of the subject or school is parked")

// loadParked reads what is parked.
func (s *lease) loadParked(ctx context.Context) error {
	stored, err := s.cfg.Store.Parked(ctx, s.claim.Partition)
	if err != nil {
		return fmt.Errorf("read parked subjects: %w", err)
	}
	s.parked = make(map[SubjectKey]*ParkedSubject, len(stored))
	s.subjects = map[string]int{}
	for i := range stored {
		s.addParked(&stored[i])
	}
	s.showParked()
	return nil
}

func (s *lease) addParked(p *ParkedSubject) {
	s.parked[p.SubjectKey] = p
	if p.Subject != WholeSchool {
		s.subjects[p.School]++
	}
}

func (s *lease) removeParked(key SubjectKey) {
	delete(s.parked, key)
	if key.Subject == WholeSchool {
		return
	}
	if s.subjects[key.School]--; s.subjects[key.School] == 0 {
		delete(s.subjects, key.School)
	}
}

// hasRoom reports that one more subject of a school may be parked.
func (s *lease) hasRoom(school string) bool { return s.subjects[school] < s.cfg.MaxParked }

// showParked updates the partition's status.
func (s *lease) showParked() {
	subjects := 0
	for _, n := range s.subjects {
		subjects += n
	}
	s.setParked(subjects, len(s.parked)-subjects)
}

// waitsBehind returns what is parked already and must be folded before an event: its whole school,
// or its subject.
func (s *lease) waitsBehind(e *entry) *ParkedSubject {
	if len(s.parked) == 0 {
		return nil
	}
	key := e.subject()
	if school := s.parked[SubjectKey{key.School, WholeSchool}]; school != nil {
		return school
	}
	return s.parked[key]
}

// park sets an event aside, and with it the later ones of its subject. When its school has as many
// parked subjects as it may, all later events of the school are set aside instead, in order: so
// many failures are no single event's fault, and they must cost nobody but that school.
func (s *lease) park(ctx context.Context, e *entry, cause error) {
	behind := s.waitsBehind(e)
	if behind == nil {
		key := e.subject()
		if !s.hasRoom(key.School) {
			cause = fmt.Errorf("the school has %d parked subjects, which is the limit, and this "+
				"event would add one: %w", s.subjects[key.School], cause)
			key.Subject = WholeSchool
		}
		behind = s.parkFirst(ctx, key, e.offset(), cause)
	}
	delete(s.refused, e.offset())
	s.batch.commit.Parking.Events = append(s.batch.commit.Parking.Events, ParkedEvent{
		SubjectKey: behind.SubjectKey, Type: sanitize(e.event.Type, maxReason), Record: e.record,
	})
	s.rows.MarkAll(behind.School, e.offset())
	s.engine.metrics.parked.Inc()
}

// parkFirst parks a subject, or a whole school, whose first event could not be folded.
func (s *lease) parkFirst(
	ctx context.Context, key SubjectKey, offset int64, cause error,
) *ParkedSubject {
	now := time.Now()
	p := &ParkedSubject{SubjectKey: key, FirstOffset: offset, ParkedAt: now}
	s.addParked(p)
	s.noteFailure(p, cause, now)
	s.showParked()
	what := "parked a subject"
	if key.Subject == WholeSchool {
		what = "parked all later events of a school"
	}
	s.logParked(ctx, what, p, cause)
	return p
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
		s.engine.metrics.panics.Inc()
		logger = logger.With("stack", string(p.Stack))
	}
	logger.WarnContext(ctx, what, "reason", subject.Reason, "attempts", subject.Attempts)
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
		if err := s.retry(ctx, subject, room); err != nil {
			return err
		}
	}
	s.batch.folding += time.Since(began)
	s.showParked()
	return nil
}

// dueSubjects returns the parked subjects to be retried now: on schedule, by request, because the
// folds have changed, or, of a whole school, because there is room for another subject.
func (s *lease) dueSubjects(ctx context.Context) ([]*ParkedSubject, error) {
	if len(s.parked) == 0 {
		return nil, nil
	}
	stored, err := s.cfg.Store.Parked(ctx, s.claim.Partition)
	if err != nil {
		return nil, fmt.Errorf("read parked subjects: %w", err)
	}
	for i := range stored {
		if subject := s.parked[stored[i].SubjectKey]; subject != nil {
			subject.RetryRequested = subject.RetryRequested || stored[i].RetryRequested
			subject.SkipRequested = stored[i].SkipRequested
		}
	}
	now := time.Now()
	var subjects, schools []*ParkedSubject
	for _, p := range s.parked {
		due := p.RetryRequested || !p.RetryAt.After(now) || p.FoldVersion != s.engine.foldVersion
		switch {
		case p.SkipRequested: // the skip is on its way
		case p.Subject != WholeSchool && due:
			subjects = append(subjects, p)
		case p.Subject == WholeSchool && (due || s.hasRoom(p.School)):
			schools = append(schools, p)
		}
	}
	for _, list := range [][]*ParkedSubject{subjects, schools} {
		slices.SortFunc(list,
			func(a, b *ParkedSubject) int { return cmp.Compare(a.FirstOffset, b.FirstOffset) })
	}
	// Schools come last: what their subjects release makes room, and what waits behind a school is
	// later than all that waits behind its subjects.
	return append(subjects, schools...), nil
}

// retry folds at most limit of the events that a subject or a school has parked, in order, until
// one must stay. When none is left it is released.
func (s *lease) retry(ctx context.Context, p *ParkedSubject, limit int) error {
	records, err := s.cfg.Store.ParkedEvents(ctx, s.claim.Partition, p.SubjectKey, limit)
	if err != nil {
		return fmt.Errorf("read parked events: %w", err)
	}
	s.removeParked(p.SubjectKey) // so that its own events are not parked again
	for i := range records {
		event, fault := eventlog.Decode(s.cfg.Decode, &records[i], s.readAhead.topic.Partitions)
		e := newEntry(&records[i], event, fault)
		cause, err := s.retryEvent(ctx, p, &e)
		if err != nil {
			return err
		}
		s.batch.records++
		s.batch.last = e.offset()
		if cause != nil {
			p.FirstOffset = e.offset()
			s.noteFailure(p, cause, time.Now())
			s.addParked(p)
			s.logParked(ctx, "retried what is parked without success", p, cause)
			return nil
		}
	}
	if len(records) == limit { // there may be more
		s.addParked(p)
		return nil
	}
	s.batch.touched[p.SubjectKey] = struct{}{}
	s.revise(p.School) // responses say how many subjects are parked
	s.batch.records++  // the release itself is something to commit
	s.logger.InfoContext(ctx, "released what was parked", "school", p.School, "subject", p.Subject,
		"events", len(records))
	return nil
}

// retryEvent folds an event that was parked behind a subject or a school, or, when the school's
// turn has come but not yet the subject's, moves it behind that. It returns a cause when the event
// must stay where it is.
func (s *lease) retryEvent(
	ctx context.Context, behind *ParkedSubject, e *entry,
) (cause, err error) {
	parking, key := &s.batch.commit.Parking, e.subject()
	if skip, skipped := s.skips.of(e); skipped {
		s.skip(skip)
		return nil, nil
	}
	if behind.Subject == WholeSchool && s.parked[key] != nil {
		parking.Moved = append(parking.Moved, MovedEvent{key, e.offset()})
		s.revise(behind.School)
		return nil, nil
	}
	misses := 0
	cause, err = s.foldEntry(ctx, e, nil, &misses)
	switch {
	case err != nil:
		return nil, err
	case cause == nil:
		parking.Folded = append(parking.Folded, e.offset())
		s.revise(behind.School)
		return nil, nil
	}
	delete(s.refused, e.offset())
	if behind.Subject == WholeSchool && s.hasRoom(key.School) {
		s.parkFirst(ctx, key, e.offset(), cause)
		parking.Moved = append(parking.Moved, MovedEvent{key, e.offset()})
		s.revise(behind.School)
		return nil, nil
	}
	return cause, nil
}

// revise records that what is parked of a school changes although no event of it comes in: results
// that were read at the present position are out of date.
func (s *lease) revise(school string) {
	s.batch.commit.Revises = true
	s.batch.revised[school] = struct{}{}
	s.rows.MarkAll(school, s.batch.commit.From)
}
