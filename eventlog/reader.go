package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/schoolbell/schoolbell/domain"
)

// ReaderConfig is what a reader is made of. A zero value means the default in parentheses.
type ReaderConfig struct {
	Source Source                                 // required
	Decode func(Record) (*domain.Envelope, error) // required by those who call [Entry.Event]
	// records within which a repetition is a duplicate (DefaultWindow)
	Window int
	// bytes of a partition held for cursors that lag (4 MiB)
	Cache  int
	Logger *slog.Logger // (none)
}

const (
	readBytes = 1 << 20
	readWait  = 500 * time.Millisecond
	minDelay  = 50 * time.Millisecond
	maxDelay  = 2 * time.Second
	// lingerTime is how long a partition is remembered after its last cursor was closed: a worker
	// that starts again after a fault, or gets the partition back, need not read back for
	// duplicates.
	lingerTime = time.Minute
)

// Reader reads partitions of the log for all who follow them in one process. It fetches each record
// once, decides once whether it is a duplicate and decodes it at most once, however many cursors
// there are; a cursor that has fallen behind fetches for itself and does not slow down the others.
//
// A Reader has no goroutine of its own: the cursor that is ahead fetches, in its own Next, and the
// others get what it brought. It may be used from several goroutines.
type Reader struct {
	cfg        ReaderConfig
	partitions atomic.Int32 // of the topic, 0 until it is known

	mu    sync.Mutex      // before a tail's
	tails map[int32]*tail // the one of each partition that new cursors share
}

// NewReader returns a reader without cursors.
func NewReader(cfg ReaderConfig) *Reader {
	cfg.Window = cmp.Or(cfg.Window, DefaultWindow)
	cfg.Cache = cmp.Or(cfg.Cache, 4<<20)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reader{cfg: cfg, tails: map[int32]*tail{}}
}

// Bounds returns the offset of the oldest record of a partition and the one that the next record
// will get. While the log cannot be reached it tries again until ctx ends.
func (r *Reader) Bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	t := tail{reader: r, partition: partition}
	err = t.retry(ctx, func() (err error) {
		start, end, err = r.cfg.Source.Bounds(ctx, partition)
		return err
	})
	return start, end, err
}

// CheckTopic fails with a [*PartitionsError] when the topic has another number of partitions than
// the reader has found first. With another one it would take a school's events for misplaced ones.
func (r *Reader) CheckTopic(topic Topic) error {
	r.partitions.CompareAndSwap(0, topic.Partitions)
	if used := r.partitions.Load(); used != topic.Partitions {
		return &PartitionsError{Topic: topic, Used: used}
	}
	return nil
}

// Stretch is what [Cursor.Next] returns: a part of a partition without gaps.
type Stretch struct {
	Entries       []Entry // in order; to be used in place, as an Entry must not be copied
	Next          int64   // the offset after the stretch, which may be beyond the last entry
	HighWatermark int64   // the offset that the log's next record will get
	LogStart      int64   // the offset of the oldest record still in the log
}

// Cursor follows one partition. It is for one goroutine, except for [Cursor.Fault].
type Cursor struct {
	reader    *Reader
	partition int32
	tail      atomic.Pointer[tail]
	next      int64 // guarded by the tail's lock
}

// Open returns a cursor at an offset, without reading anything yet. It must be closed.
func (r *Reader) Open(partition int32, offset int64) *Cursor {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.tails[partition]
	if t == nil || t.isFarBefore(offset) {
		// Cursors of the old tail stay with it until they have come to where this one begins.
		t = newTail(r, partition)
		r.tails[partition] = t
	}
	c := &Cursor{reader: r, partition: partition, next: offset}
	t.add(c)
	return c
}

// Next waits for the next stretch of the partition and returns it. While the log cannot be read it
// tries again, ever more slowly; it returns an error when ctx ends, or [ErrOffsetOutOfRange] when
// the log does not have the cursor's offset (any more).
func (c *Cursor) Next(ctx context.Context) (Stretch, error) {
	for {
		t := c.settle()
		s, found, changed := t.take(c)
		switch {
		case found == served:
			return s, nil
		case found == evicted:
			s, err := t.fetchFor(ctx, c)
			if err != nil || s.Next > 0 {
				return s, err
			}
			continue
		}
		select {
		case t.turn <- struct{}{}:
			err := t.advance(ctx, c)
			<-t.turn
			if err != nil {
				return Stretch{}, err
			}
		case <-changed:
		case <-ctx.Done():
			return Stretch{}, ctx.Err()
		}
	}
}

// Fault returns why the log cannot be read at the moment, nil when it can.
func (c *Cursor) Fault() error {
	if err := c.tail.Load().fault.Load(); err != nil {
		return *err
	}
	return nil
}

// Close lets go of what is held for the cursor. It may be called twice.
func (c *Cursor) Close() {
	r := c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	t := c.tail.Load()
	if !t.remove(c) || r.tails[c.partition] != t {
		return
	}
	time.AfterFunc(lingerTime, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.tails[c.partition] == t && t.isUnused() {
			delete(r.tails, c.partition)
		}
	})
}

// settle returns the tail that can serve the cursor: the shared one, as soon as the cursor is where
// that one knows the duplicates, else one of its own.
func (c *Cursor) settle() *tail {
	r := c.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	t, shared := c.tail.Load(), r.tails[c.partition]
	switch {
	case t != shared && shared != nil && shared.covers(c.next, true):
		t.remove(c)
		shared.add(c)
		return shared
	case !t.covers(c.next, false):
		t.remove(c)
		own := newTail(r, c.partition)
		own.add(c)
		return own
	}
	return t
}

// retry repeats what fails because the log cannot be reached for a while.
func (t *tail) retry(ctx context.Context, do func() error) error {
	delay := &backoff.ExponentialBackOff{
		InitialInterval: minDelay, MaxInterval: maxDelay, Multiplier: 2,
	} // without jitter, so that a simulation with the same seed takes the same course
	for {
		err := do()
		switch {
		case err == nil:
			t.fault.Store(nil)
			return nil
		case ctx.Err() != nil:
			t.fault.Store(nil) // others find out for themselves
			return ctx.Err()
		case errors.Is(err, ErrOffsetOutOfRange):
			return fmt.Errorf("read partition %d: %w", t.partition, err)
		}
		t.fault.Store(&err)
		wait := delay.NextBackOff()
		t.reader.cfg.Logger.WarnContext(ctx, "cannot read the log, trying again",
			"partition", t.partition, "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
