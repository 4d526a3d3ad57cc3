package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/schoolbell/schoolbell/domain"
)

// tail is the newest part of one partition as a [Reader] holds it: decided records for the cursors
// that are close to each other, whether each of the last offsets was a duplicate, and the window
// that decides about the next ones. It only moves forward.
type tail struct {
	reader    *Reader
	partition int32
	fault     atomic.Pointer[error]
	turn      chan struct{} // held by the cursor that reads the log on for all
	window    *Window       // belongs to the holder of the turn
	decided   []decision    // about records from next on, as well

	mu        sync.Mutex
	started   bool
	next      int64     // the offset to be read next
	exact     int64     // verdicts hold from here on: the window was full, or the log begins there
	verdicts  bitmap    // duplicates among the offsets before next
	conflicts conflicts // those of them whose content is not the earlier event's
	blocks    []block   // without gaps up to next; those that every cursor has passed are gone
	bytes     int       // of blocks
	high      int64     // the log's high watermark, and the offset it begins at, when last fetched
	low       int64
	cursors   map[*Cursor]struct{}
	changed   chan struct{} // closed and replaced when next grows
}

// block is what one fetch brought, from an offset up to another.
type block struct {
	entries  []Entry
	from, to int64
	bytes    int
}

// readBack is how far a tail reads back before the offset it starts for: a whole window, so that
// its verdicts are right from there on, and a quarter more, so that cursors which open a little
// behind the first one need not read back for themselves.
func (t *tail) readBack() int64 { return int64(t.reader.cfg.Window) * 5 / 4 }

func newTail(r *Reader, partition int32) *tail {
	return &tail{
		reader: r, partition: partition, turn: make(chan struct{}, 1),
		verdicts: newBitmap(4 * r.cfg.Window),
		cursors:  map[*Cursor]struct{}{}, changed: make(chan struct{}),
	}
}

func (t *tail) add(c *Cursor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cursors[c] = struct{}{}
	c.tail.Store(t)
}

// remove takes a cursor away and returns whether it was the last one.
func (t *tail) remove(c *Cursor) (last bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, there := t.cursors[c]; !there {
		return false
	}
	delete(t.cursors, c)
	t.trim()
	return len(t.cursors) == 0
}

func (t *tail) isUnused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.cursors) == 0
}

// isFarBefore says that a new tail reads less to get to an offset than this one would.
func (t *tail) isFarBefore(offset int64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.started && offset-t.next > t.readBack()
}

// covers says whether the tail can serve a cursor at an offset. One that has not started will, if
// it is the cursor's own.
func (t *tail) covers(offset int64, started bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !started && !t.started || t.started && offset >= t.decidedFrom()
}

// decidedFrom is the oldest offset whose verdict is still there, be it in a block or in the bitmap.
// The lock is held.
func (t *tail) decidedFrom() int64 {
	return max(t.exact, min(t.held(), max(t.next-t.verdicts.size(), t.conflicts.from)))
}

// held is the offset from which on blocks hold everything. The lock is held.
func (t *tail) held() int64 {
	if len(t.blocks) == 0 {
		return t.next
	}
	return t.blocks[0].from
}

// What [tail.take] found.
type found int

const (
	unread  found = iota // the log has to be read on
	evicted              // the tail no longer holds it
	served
)

// take returns what the tail holds at a cursor, and moves the cursor on.
func (t *tail) take(c *Cursor) (s Stretch, f found, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.started || c.next >= t.next:
		return s, unread, t.changed
	case c.next < t.held():
		return s, evicted, nil
	}
	b := &t.blocks[sort.Search(len(t.blocks), func(i int) bool { return t.blocks[i].to > c.next })]
	// Only offsets are read: the rest of an entry changes while another cursor decodes it.
	from := sort.Search(len(b.entries), func(i int) bool { return b.entries[i].Offset() >= c.next })
	s = Stretch{Entries: b.entries[from:], Next: b.to, HighWatermark: t.high, LogStart: t.low}
	c.next = b.to
	t.trim()
	return s, served, nil
}

// trim drops blocks that every cursor has passed, and more when they take too much memory. The lock
// is held.
func (t *tail) trim() {
	passed := t.next
	for c := range t.cursors {
		passed = min(passed, c.next)
	}
	n := 0
	for n < len(t.blocks) && (t.blocks[n].to <= passed || t.bytes > t.reader.cfg.Cache && n < len(t.blocks)-1) {
		t.bytes -= t.blocks[n].bytes
		n++
	}
	t.blocks = slices.Delete(t.blocks, 0, n)
}

// start finds where to read from, so that a cursor can be served. The turn is held.
func (t *tail) start(ctx context.Context, c *Cursor) error {
	topic, err := t.reader.cfg.Source.Topic(ctx)
	if err != nil {
		return err
	}
	if err := t.reader.CheckTopic(topic); err != nil {
		return err
	}
	low, high, err := t.reader.cfg.Source.Bounds(ctx, t.partition)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.next < low || c.next > high {
		return fmt.Errorf("%w: offset %d, the log has %d to %d", ErrOffsetOutOfRange, c.next, low,
			high)
	}
	// Cursors that are too far behind the foremost one get tails of their own.
	last := c.next
	for other := range t.cursors {
		if other.next <= high {
			last = max(last, other.next)
		}
	}
	t.next = max(low, last-t.readBack())
	t.exact = t.next + int64(t.reader.cfg.Window)
	if t.next == low {
		t.exact = low
	}
	t.window, t.decided, t.conflicts = NewWindow(t.reader.cfg.Window), nil, conflicts{}
	t.blocks, t.bytes, t.low, t.high, t.started = nil, 0, low, high, true
	return nil
}

// advance reads the log on by one fetch, unless another cursor just did. The turn is held.
func (t *tail) advance(ctx context.Context, c *Cursor) error {
	return t.retry(ctx, func() error {
		if !t.started { // written only with the turn
			return t.start(ctx, c)
		}
		t.mu.Lock()
		next, done := t.next, c.next < t.next
		t.mu.Unlock()
		if done {
			return nil
		}
		batch, err := t.reader.cfg.Source.Fetch(ctx, t.partition, next, readBytes, readWait)
		if undecodable, ok := errors.AsType[*UndecodableError](err); ok {
			t.pass(next, undecodable)
			return nil
		}
		if errors.Is(err, ErrOffsetOutOfRange) && next < c.next {
			// Retention has overtaken the read-back, not the cursor.
			t.mu.Lock()
			t.started = false
			t.mu.Unlock()
			return nil
		}
		if err != nil {
			return err
		}
		if err := t.decide(ctx, batch.Records); err != nil {
			return err
		}
		t.append(next, batch)
		if batch.Next == next && batch.HighWatermark < c.next {
			return fmt.Errorf("%w: offset %d, the log ends at %d", ErrOffsetOutOfRange, c.next,
				next)
		}
		return nil
	})
}

// pass takes a batch that cannot be decoded as one entry, so that whoever reads the partition gets
// past it and can say so. The turn is held.
func (t *tail) pass(from int64, batch *UndecodableError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := batch.Last + 1
	for offset := max(from, next-t.verdicts.size()); offset < next; offset++ {
		t.verdicts.set(offset, false)
	}
	b := block{from: from, to: next, entries: make([]Entry, 1)}
	t.describe(&b.entries[0], from, batch)
	b.bytes = b.entries[0].Size()
	t.push(b)
	t.high = max(t.high, next)
	t.trim()
}

func (t *tail) describe(e *Entry, offset int64, batch *UndecodableError) {
	e.Record.Position = domain.Position{Partition: t.partition, Offset: offset}
	e.undecodable, e.reader = batch, t.reader
}

// push shares a block and lets those who wait for it continue. The lock is held.
func (t *tail) push(b block) {
	if b.to <= t.next {
		return
	}
	t.blocks = append(t.blocks, b)
	t.bytes += b.bytes
	t.next = b.to
	close(t.changed)
	t.changed = make(chan struct{})
}

// append shares those records of a batch, which are decided about, that a cursor still has to see.
// The turn is held.
func (t *tail) append(from int64, batch Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	wanted := batch.Next // by the cursor that is furthest behind
	for c := range t.cursors {
		wanted = min(wanted, c.next)
	}
	from = max(from, wanted)
	b := block{from: from, to: batch.Next}
	for i := range batch.Records {
		offset := batch.Records[i].Position.Offset
		t.verdicts.set(offset, t.decided[i].duplicate)
		if earlier := t.decided[i].earlier; earlier >= 0 {
			t.conflicts.add(offset, earlier)
		}
		if offset < from {
			continue
		}
		if b.entries == nil {
			b.entries = make([]Entry, 0, len(batch.Records)-i)
		}
		b.entries = b.entries[:len(b.entries)+1]
		e := &b.entries[len(b.entries)-1]
		t.fill(e, &batch.Records[i])
		b.bytes += e.Size()
	}
	t.decided = slices.Delete(t.decided, 0, len(batch.Records))
	t.push(b)
	t.high, t.low = batch.HighWatermark, batch.LogStart
	t.trim()
}

// fill makes the entry of a record that is decided about. The lock is held.
func (t *tail) fill(e *Entry, rec *Record) {
	e.Record, e.reader = *rec, t.reader
	e.Duplicate = t.verdicts.get(rec.Position.Offset)
	if e.Duplicate {
		e.Conflict = t.conflicts.find(rec.Position)
	}
}

// fetchFor reads what the tail no longer holds, for one cursor alone. It returns nothing when the
// verdicts are gone as well, because the cursor is too far behind.
func (t *tail) fetchFor(ctx context.Context, c *Cursor) (Stretch, error) {
	var batch Batch
	var undecodable *UndecodableError
	err := t.retry(ctx, func() (err error) {
		batch, err = t.reader.cfg.Source.Fetch(ctx, t.partition, c.next, readBytes, readWait)
		if errors.As(err, &undecodable) {
			return nil
		}
		return err
	})
	if err != nil {
		return Stretch{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if c.next < t.decidedFrom() {
		return Stretch{}, nil
	}
	if undecodable != nil {
		s := Stretch{
			Entries: make([]Entry, 1), Next: undecodable.Last + 1,
			HighWatermark: t.high, LogStart: t.low,
		}
		t.describe(&s.Entries[0], c.next, undecodable)
		c.next = s.Next
		t.trim()
		return s, nil
	}
	// What the tail holds is shared from there on.
	end := batch.Next
	if held := t.held(); held > c.next {
		end = min(end, held)
	}
	s := Stretch{Next: end, HighWatermark: batch.HighWatermark, LogStart: batch.LogStart}
	n := sort.Search(len(batch.Records), func(i int) bool {
		return batch.Records[i].Position.Offset >= end
	})
	s.Entries = make([]Entry, n)
	for i := range s.Entries {
		t.fill(&s.Entries[i], &batch.Records[i])
	}
	c.next = end
	t.trim()
	return s, nil
}

// bitmap holds one bit for each of the last offsets.
type bitmap []uint64

func newBitmap(bits int) bitmap { return make(bitmap, (bits+63)/64) }

// size is over how many offsets the bits reach.
func (b bitmap) size() int64 { return int64(len(b)) * 64 }

func (b bitmap) at(offset int64) (word *uint64, bit uint64) {
	offset %= b.size()
	return &b[offset/64], 1 << (offset % 64)
}

func (b bitmap) set(offset int64, v bool) {
	word, bit := b.at(offset)
	*word &^= bit
	if v {
		*word |= bit
	}
}

func (b bitmap) get(offset int64) bool {
	word, bit := b.at(offset)
	return *word&bit != 0
}
