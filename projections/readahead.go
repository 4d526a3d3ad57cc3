package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// readAhead is a stretch of one partition's log in memory, decoded and with the duplicates marked.
// One goroutine appends to its end ([readAhead.fill]); the fold takes entries from it; they stay
// until they are released, when their commit is in the store. So after a failed commit it is
// rewound, and nothing is fetched or checked for duplicates a second time.
type readAhead struct {
	partition  int32
	topic      eventlog.Topic
	log        Log
	decode     Decode
	window     *eventlog.Window
	windowSize int
	school     string // whose events are wanted (all when empty)
	maxEvents  int    // limits of what is held, approximately
	maxBytes   int

	more chan struct{} // there is something to take
	room chan struct{} // there is room to fetch more

	mu      sync.Mutex
	entries []entry // from the oldest that is not released
	taken   int     // how many of them the fold has taken
	from    int64   // everything from this offset …
	next    int64   // … to before this one is held
	end     int64   // of the log, as of the last fetch
	bytes   int
	fault   error // why the log cannot be read at the moment
}

const (
	fetchBytes = 1 << 20
	fetchWait  = 500 * time.Millisecond
	retryMin   = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// seek moves to an offset. What is held already stays if the offset is within it; else the window
// is filled by reading back.
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
	// A window can move forward over what others have folded in the meantime, but never back.
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

// fill fetches from the log until ctx ends or the log does not have what comes next. Other failures
// are logged, shown in the partition's status and retried: to end the lease would only lose its
// rows.
func (t *readAhead) fill(ctx context.Context, logger *slog.Logger) error {
	pause := growingPause(retryMin, retryMax)
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
			t.setFault(err)
			logger.WarnContext(ctx, "cannot read the log", "error", err)
			if err := sleep(ctx, pause.NextBackOff()); err != nil {
				return err
			}
		default:
			pause.Reset()
			t.setFault(nil)
			t.append(batch)
		}
	}
}

// setFault records why the log cannot be read, or with nil that it can.
func (t *readAhead) setFault(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fault = err
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

// take returns up to n entries that have not been taken yet. They are valid until released.
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

// release forgets all entries before an offset.
func (t *readAhead) release(before int64) {
	t.mu.Lock()
	n, _ := slices.BinarySearchFunc(t.entries, before, func(e entry, offset int64) int {
		return int(e.offset() - offset)
	})
	for i := range n {
		t.bytes -= recordSize(&t.entries[i].record)
	}
	if n == len(t.entries) {
		t.entries = nil // so that its array is freed as well
	} else {
		t.entries = t.entries[n:]
	}
	t.taken = max(0, t.taken-n)
	t.from = max(t.from, before)
	t.mu.Unlock()
	signal(t.room)
}

// lag returns how many records the log has beyond an offset, and when the oldest of them was
// appended, if it has been read.
func (t *readAhead) lag(next int64) (events int64, oldest time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) > 0 && t.end > next {
		oldest = t.entries[0].record.Time
	}
	return max(0, t.end-next), oldest
}

func recordSize(r *eventlog.Record) int {
	n := len(r.Key) + len(r.Value) + 400 // roughly what the decoded event and its bookkeeping take
	for i := range r.Headers {
		n += len(r.Headers[i].Value)
	}
	return n
}

// signal wakes the one goroutine that waits on c, now or when it next waits.
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
