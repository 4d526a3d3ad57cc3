package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/log"
	"github.com/schoolbell/schoolbell/eventlog"
)

// A skip is an event of the log that says that an earlier one of its school is folded by nobody.
// When it is folded that one is parked, in the live tables. But a rebuild, or an engine whose
// database was restored, meets the earlier one first, perhaps with folds that could take it. So
// whoever folds reads the skips up to its target before it begins: then all tables that were folded
// to the same position lack the same events.

// Skip says that an event is folded by nobody.
type Skip struct {
	School string
	Offset int64 // of the event
	By     int64 // the offset of the event that says so
	Reason string
	Actor  string // the author, or of older events whom they name
	At     time.Time
}

// EventState is what a store knows about an event at an offset.
type EventState uint8

// The states.
const (
	NotParked EventState = iota
	IsParked
	IsSkipped
)

// ErrNotParked means that there is no such event among those that may be skipped.
var ErrNotParked = errors.New("the event is not the first parked one of its subject")

// ErrSkippedLate means that an event has been folded by a catch-up and was skipped afterwards. The
// tables must be folded from the beginning.
var ErrSkippedLate = errors.New("an event was skipped after it had been folded here")

// skips are those of one partition.
type skips struct {
	mu     sync.Mutex
	next   int64 // where to read on
	offset map[int64]Skip
}

func (k *skips) of(e *entry) (Skip, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s, ok := k.offset[e.offset()]
	return s, ok && s.School == e.subject().School
}

// add remembers a skip; the first of several of one event holds.
func (k *skips) add(s Skip) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, known := k.offset[s.Offset]; !known {
		k.offset[s.Offset] = s
	}
}

// skipsOf returns the skips of a partition as far as they have been read.
func (e *Engine) skipsOf(partition int32) *skips {
	e.mu.Lock()
	defer e.mu.Unlock()
	k := e.skips[partition]
	if k == nil {
		k = &skips{offset: map[int64]Skip{}}
		e.skips[partition] = k
	}
	return k
}

// scanBytes is how much of the log is fetched at once to look for skips.
const scanBytes = 4 << 20

// readSkips reads the skips between two offsets of a partition, but not what was appended after
// until, unless that is zero. Only the type of a record is looked at, so that this takes a small
// part of the time of folding.
func (e *Engine) readSkips(
	ctx context.Context, source Log, topic eventlog.Topic, partition int32, from, to int64,
	until time.Time,
) error {
	k := e.skipsOf(partition)
	for next := max(from, k.next); next < to; k.next = next {
		batch, err := source.Fetch(ctx, partition, next, scanBytes, time.Second)
		var undecodable *eventlog.UndecodableError
		switch {
		case errors.As(err, &undecodable):
			next = undecodable.Last + 1
			continue
		case err != nil:
			return fmt.Errorf("look for skipped events: %w", err)
		}
		next = batch.Next
		for i := range batch.Records {
			rec := &batch.Records[i]
			switch {
			case rec.Position.Offset >= to || next == math.MaxInt64:
			case !until.IsZero() && rec.Time.After(until):
				next = math.MaxInt64
			case rec.Header(headerType) == log.TypeEventSkipped:
				if event, err := eventlog.Decode(e.cfg.Decode, rec, topic.Partitions); err == nil {
					if skip, ok := skipOf(event); ok {
						k.add(skip)
					}
				}
			}
		}
	}
	return nil
}

const headerType = "ce_type"

// skipOf reads a skip from its event. One that names no earlier event of its partition skips
// nothing.
func skipOf(e *domain.Envelope) (Skip, bool) {
	m, ok := e.Data.(*log.EventSkipped)
	if !ok {
		return Skip{}, false
	}
	at, err := domain.ParsePosition(m.Position)
	if err != nil || at.Partition != e.Position.Partition || at.Offset >= e.Position.Offset {
		return Skip{}, false
	}
	return Skip{
		School: e.School, Offset: at.Offset, By: e.Position.Offset, Reason: m.Reason,
		Actor: cmp.Or(e.Author.Subject, e.Actor), At: e.Time.UTC().Truncate(time.Microsecond),
	}, true
}

// skip leaves an event out for good.
func (s *lease) skip(k Skip) {
	s.batch.commit.Parking.Skipped = append(s.batch.commit.Parking.Skipped, k)
}

// takeSkip takes the event that a skip names from the parked ones. The skip itself waits behind
// nothing: it may be what lets its school go on.
func (s *lease) takeSkip(ctx context.Context, e *entry) error {
	skip, ok := skipOf(e.event)
	if !ok {
		return nil
	}
	s.skips.add(skip)
	// The store knows all that is parked only when no commit is under way.
	if err := s.drain(ctx); err != nil {
		return err
	}
	key, state, err := s.cfg.Store.FindParked(ctx, s.claim.Partition, skip.Offset)
	switch {
	case err != nil:
		return fmt.Errorf("look for the skipped event: %w", err)
	case state == IsParked && key.School == skip.School:
		s.skip(skip)
		s.rows.MarkAll(skip.School, e.offset())
		if p := s.parked[key]; p != nil {
			p.RetryRequested, p.SkipRequested = true, false
			s.batch.touched[key] = struct{}{}
		}
		s.logger.InfoContext(ctx, "skipped a parked event", "school", skip.School, "subject",
			key.Subject, "offset", skip.Offset, "reason", skip.Reason, "by", skip.Actor)
	case state == NotParked && s.cfg.catchup:
		return fmt.Errorf("offset %d: %w", skip.Offset, ErrSkippedLate)
	case state == NotParked:
		s.logger.ErrorContext(ctx, "cannot skip an event that is in the tables: rebuild them",
			"school", skip.School, "offset", skip.Offset)
	}
	return nil
}
