package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// readAhead is a stretch of one partition's log in memory, decoded and with the duplicates marked. One goroutine reads ahead
// at its end ([tape.fill]); the fold takes entries from it; they stay until they are released, which is when their commit is
// in the store. So after a failed commit the fold winds the tape back instead of reading and judging everything again.
type readAhead struct {
	partition  int32
	topic      eventlog.Topic
	log        Log
	decode     Decode
	window     *eventlog.Window
	windowSize int
	school     string // whose events are wanted; all when empty
	maxEvents  int    // read ahead at most about so far
	maxBytes   int

	more chan struct{} // there is something to take
	room chan struct{} // there is room to read on

	mu      sync.Mutex
	entries []entry // from the oldest one that is not released on
	taken   int     // how many of them the fold has
	from    int64   // the tape holds everything from this offset on …
	next    int64   // … up to this one
	end     int64   // of the log, as last heard
	bytes   int
	fault   error // why the log cannot be read at the moment
}

const (
	fetchBytes = 1 << 20
	fetchWait  = 500 * time.Millisecond
	retryMin   = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// seek puts the tape at an offset. What it holds already is kept if it can be; else the window is filled by reading back.
func (t *readAhead) seek(ctx context.Context, topic eventlog.Topic, offset int64) error {
	if t.topic != topic {
		t.topic, t.window = topic, nil
	}
	t.mu.Lock()
	held := t.from <= offset && offset <= t.next && t.window != nil
	t.mu.Unlock()
	if held {
		t.release(offset)
		t.rewind()
		return nil
	}
	// A window can be moved forward over what others have folded in the meantime, but never back.
	if t.window == nil || t.window.Next() > offset {
		t.window = eventlog.NewWindow(t.windowSize)
	}
	if err := t.window.Warm(ctx, t.log, t.partition, offset, identity); err != nil {
		t.window = nil
		return fmt.Errorf("read back for duplicates: %w", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries, t.taken, t.bytes = nil, 0, 0
	t.from, t.next, t.end = offset, offset, offset
	return nil
}

// fill reads the log on until ctx ends or the log does not have what comes next. It tells failed the first of several
// failures in a row, and tries on.
func (t *readAhead) fill(ctx context.Context, failed func(error)) error {
	delay := retryMin
	defer t.setFault(nil)
	for {
		if err := t.waitForRoom(ctx); err != nil {
			return err
		}
		batch, err := t.log.Fetch(ctx, t.partition, t.next, fetchBytes, fetchWait)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, eventlog.ErrOffsetOutOfRange):
			return err
		case err != nil:
			if t.setFault(err) {
				failed(err)
			}
			if err := sleep(ctx, delay); err != nil {
				return err
			}
			delay = min(2*delay, retryMax)
		default:
			delay = retryMin
			t.setFault(nil)
			t.append(batch)
		}
	}
}

// setFault notes why the log cannot be read, or that it can, and returns whether that is a change.
func (t *readAhead) setFault(err error) (changed bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	changed = (t.fault == nil) != (err == nil)
	t.fault = err
	return changed
}

func (t *readAhead) currentFault() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.fault
}

func (t *readAhead) waitForRoom(ctx context.Context) error {
	for {
		t.mu.Lock()
		full := len(t.entries) >= t.maxEvents || t.bytes >= t.maxBytes
		t.mu.Unlock()
		if !full {
			return nil
		}
		select {
		case <-t.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *readAhead) append(batch eventlog.Batch) {
	entries := make([]entry, len(batch.Records))
	size := 0
	for i, rec := range batch.Records {
		size += recordSize(&rec)
		if t.school != "" && !concerns(&rec, t.school) {
			entries[i] = entry{record: rec, event: &domain.Envelope{}, otherSchool: true}
			continue
		}
		entries[i] = newEntry(t.decode, rec, t.topic.Partitions)
		if school, source, id, ok := identity(&rec); ok {
			entries[i].duplicate = t.window.Seen(rec.Position.Offset, school, source, id)
		}
	}
	t.mu.Lock()
	t.entries = append(t.entries, entries...)
	t.bytes += size
	t.next, t.end = batch.Next, batch.HighWatermark
	t.mu.Unlock()
	if len(entries) > 0 {
		signal(t.more)
	}
}

// take returns up to n entries that have not been taken yet. They are valid until they are released.
func (t *readAhead) take(n int) []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, len(t.entries)-t.taken)
	t.taken += n
	return t.entries[t.taken-n : t.taken : t.taken]
}

// putBack undoes the taking of the last n entries.
func (t *readAhead) putBack(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken -= n
}

// rewind undoes all taking.
func (t *readAhead) rewind() {
	t.mu.Lock()
	t.taken = 0
	some := len(t.entries) > 0
	t.mu.Unlock()
	if some {
		signal(t.more)
	}
}

// release lets go of all entries before an offset.
func (t *readAhead) release(before int64) {
	t.mu.Lock()
	n, _ := slices.BinarySearchFunc(t.entries, before, func(e entry, offset int64) int {
		return int(e.offset() - offset)
	})
	for i := range n {
		t.bytes -= recordSize(&t.entries[i].record)
	}
	if n == len(t.entries) {
		t.entries = nil // so that its array goes, too
	} else {
		t.entries = t.entries[n:]
	}
	t.taken = max(0, t.taken-n)
	t.from = max(t.from, before)
	t.mu.Unlock()
	signal(t.room)
}

// lag is how many records the log has beyond an offset, and when the oldest of them was appended, if that is known.
func (t *readAhead) lag(next int64) (events int64, oldest time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) > 0 && t.end > next {
		oldest = t.entries[0].record.Time
	}
	return max(0, t.end-next), oldest
}

func recordSize(r *eventlog.Record) int {
	n := len(r.Key) + len(r.Value) + 400 // about what the decoded event and its bookkeeping take
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	return n
}

// signal wakes the one goroutine that waits on c, now or when it next does.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
