package projections

import (
	"context"
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
	reader    *eventlog.Reader
	partition int32
	topic     eventlog.Topic
	school    string // whose events are wanted (all when empty)
	maxEvents int    // limits of what is held, approximately
	maxBytes  int

	more chan struct{} // there is something to take
	room chan struct{} // there is room to fetch more

	mu      sync.Mutex
	entries []entry // from the oldest that is not released
	taken   int     // how many of them the fold has taken
	from    int64   // everything from this offset …
	next    int64   // … to before this one is held
	end     int64   // of the log, as of the last fetch
	bytes   int
	cursor  *eventlog.Cursor // at next; nil before the first seek
}

// seek moves to an offset of a log that ends at end. What is held already stays if the offset is
// within it.
func (t *readAhead) seek(topic eventlog.Topic, offset, end int64) {
	t.mu.Lock()
	held := t.cursor != nil && t.topic == topic && t.from <= offset && offset <= t.next
	t.mu.Unlock()
	if held {
		t.release(offset)
		t.rewind()
		return
	}
	t.close()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.topic, t.cursor = topic, t.reader.Open(t.partition, offset)
	t.entries, t.taken, t.bytes = nil, 0, 0
	t.from, t.next, t.end = offset, offset, end
}

// close ends the reading; what the reader knows about duplicates stays with it for a while.
func (t *readAhead) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cursor != nil {
		t.cursor.Close()
	}
}

// fill reads the log until ctx ends or the log does not have what comes next. Other failures are
// retried by the reader and shown in the partition's status: to end the lease would only lose its
// rows.
func (t *readAhead) fill(ctx context.Context) error {
	for {
		if err := t.waitForRoom(ctx); err != nil {
			return err
		}
		stretch, err := t.cursor.Next(ctx)
		if err != nil {
			return err
		}
		t.append(stretch)
	}
}

// currentFault returns why the log cannot be read at the moment.
func (t *readAhead) currentFault() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cursor == nil {
		return nil
	}
	return t.cursor.Fault()
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

func (t *readAhead) append(stretch eventlog.Stretch) {
	entries := make([]entry, len(stretch.Entries))
	size := 0
	for i := range entries {
		e := &stretch.Entries[i]
		size += recordSize(&e.Record)
		switch {
		case t.school != "" && !concerns(&e.Record, t.school):
			entries[i] = entry{record: e.Record, event: &domain.Envelope{}, otherSchool: true}
		case e.Duplicate:
			entries[i] = entry{record: e.Record, event: &domain.Envelope{}, duplicate: true}
			if e.Conflict != nil {
				entries[i].fault = e.Conflict
			}
		default:
			event, err := e.Event() // here, where it does not hold up the fold
			entries[i] = newEntry(&e.Record, event, err)
		}
		entries[i].last, entries[i].undecodable = e.Last(), e.Undecodable()
	}
	if rest, some := t.rest(stretch); some {
		entries = append(entries, rest)
		size += recordSize(&rest.record)
	}
	t.mu.Lock()
	t.entries = append(t.entries, entries...)
	t.bytes += size
	t.next, t.end = stretch.Next, stretch.HighWatermark
	t.mu.Unlock()
	if len(entries) > 0 {
		signal(t.more)
	}
}

// rest stands for what comes after the last entry of a stretch, if there is more than the log's own
// marks: one school's part of the log ends before the position that it is read up to.
func (t *readAhead) rest(stretch eventlog.Stretch) (e entry, some bool) {
	read := t.next
	if n := len(stretch.Entries); n > 0 {
		read = stretch.Entries[n-1].Last() + 1
	}
	if t.school == "" || read >= stretch.Next {
		return e, false
	}
	e = entry{
		event: &domain.Envelope{}, otherSchool: true, undecodable: true, last: stretch.Next - 1,
	}
	e.record.Position = domain.Position{Partition: t.partition, Offset: e.last}
	return e, true
}

// take returns up to n entries that have not been taken yet. They are valid until released.
func (t *readAhead) take(n int) []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = min(n, len(t.entries)-t.taken)
	t.taken += n
	return t.entries[t.taken-n : t.taken : t.taken]
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
