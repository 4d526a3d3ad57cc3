package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// partition tails one partition of the log: it drops duplicates, holds recent events and wakes the
// sessions concerned.
type partition struct {
	hub    *Hub
	number int32

	head atomic.Int64 // the last offset seen
	// the oldest offset that can be served: from there on duplicates are known and the log is
	// complete
	first     atomic.Int64
	evicted   atomic.Int64 // the ring has everything after this offset
	usedBytes atomic.Int64 // bytes in the ring, with frames
	ready     chan struct{}

	mu      sync.RWMutex // taken before a school's lock
	schools map[string]*school

	duplicatesMu sync.RWMutex
	duplicates   []int64 // offsets, in order

	// Only the goroutine that tails the partition touches these.
	recent int64 // earlier records only fill the window: they would not stay in the ring
	window *eventlog.Window
	all    ring // every event in a ring of a school, in the order of the log
	wake   []*Session
	rights []*Event
}

// Bounds of a fetch. A batch is processed in pieces, so that no school is locked for long.
const (
	fetchBytes  = 1 << 20
	fetchWait   = 500 * time.Millisecond
	pieceEvents = 64
)

func newPartition(h *Hub, number int32) *partition {
	p := &partition{hub: h, number: number, schools: map[string]*school{},
		ready: make(chan struct{}), window: eventlog.NewWindow(h.cfg.Window)}
	p.head.Store(-1)
	return p
}

// oldest is the oldest cursor that can be served.
func (p *partition) oldest() int64 {
	return max(p.first.Load()-1, p.head.Load()-int64(p.hub.cfg.MaxLag))
}

// recoverable returns the offset of a position from which everything later can be delivered.
func (p *partition) recoverable(ctx context.Context, pos domain.Position) (int64, error) {
	switch {
	case pos.Partition != p.number:
		return 0, fmt.Errorf("%w: %s belongs to another partition than this school",
			ErrUnrecoverable, pos)
	case pos.Offset < p.oldest():
		return 0, fmt.Errorf("%w: %s is too old", ErrUnrecoverable, pos)
	case pos.Offset > p.head.Load(): // another node may be ahead of this one
		_, end, err := p.hub.cfg.Log.Bounds(ctx, p.number)
		if err != nil {
			return 0, err
		}
		if pos.Offset >= end {
			return 0, fmt.Errorf("%w: %s is beyond the end of the log", ErrUnrecoverable, pos)
		}
	}
	return pos.Offset, nil
}

// run fills the window and the rings from the recent log, and then follows its end.
func (p *partition) run(ctx context.Context) error {
	var start, end int64
	err := p.retry(ctx, func() (err error) {
		if start, end, err = p.hub.cfg.Log.Bounds(ctx, p.number); err != nil {
			return err
		}
		from := max(start, end-int64(p.hub.cfg.MaxLag))
		p.window = eventlog.NewWindow(p.hub.cfg.Window)
		if err := p.window.Warm(ctx, p.hub.cfg.Log, p.number, from, identify); err != nil {
			return err
		}
		p.first.Store(from)
		p.head.Store(from - 1)
		p.recent = max(from, end-p.hub.ringBytes/eventOverhead)
		p.evicted.Store(p.recent - 1)
		return nil
	})
	if err != nil {
		return err
	}
	for warm := false; ; {
		if !warm && p.head.Load() >= end-1 {
			warm = true
			close(p.ready)
		}
		var batch eventlog.Batch
		err := p.retry(ctx, func() (err error) {
			batch, err = p.hub.cfg.Log.Fetch(ctx, p.number, p.head.Load()+1, fetchBytes, fetchWait)
			return err
		})
		if err != nil {
			return err
		}
		p.first.Store(max(p.first.Load(), batch.LogStart))
		for records := batch.Records; len(records) > 0; {
			n := min(pieceEvents, len(records))
			p.take(records[:n])
			records = records[n:]
		}
		p.head.Store(max(p.head.Load(), batch.Next-1))
	}
}

// retry repeats do while the log is unavailable, with growing pauses.
func (p *partition) retry(ctx context.Context, do func() error) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, 2*time.Second
	for {
		err := do()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, eventlog.ErrOffsetOutOfRange):
			return fmt.Errorf("follow partition %d: %w", p.number, err)
		}
		p.hub.cfg.Logger.WarnContext(ctx, "read the log", "partition", p.number, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// take adds records to the rings and wakes the sessions that they concern.
func (p *partition) take(records []eventlog.Record) {
	var sc *school
	for i := range records {
		rec := &records[i]
		eventType, source, id := headers(rec)
		if source != "" && id != "" &&
			p.window.Seen(rec.Position.Offset, string(rec.Key), source, id) {
			p.addDuplicate(rec.Position.Offset)
			continue
		}
		if rec.Position.Offset < p.recent {
			continue
		}
		if eventType == "" || p.hub.partitionOf(string(rec.Key)) != p.number {
			continue // malformed: the projections park it
		}
		if sc == nil || sc.name != string(rec.Key) {
			if sc != nil {
				sc.mu.Unlock()
			}
			sc = p.lockedSchool(string(rec.Key))
		}
		e := newEvent(rec, eventType)
		e.home = sc
		p.wake = sc.add(e, p.wake)
		p.all.push(e)
		p.usedBytes.Add(e.size)
		if changesRights(eventType) {
			sc.rights = e.Position.Offset
			if len(sc.sessions) > 0 {
				p.rights = append(p.rights, e)
			}
		}
	}
	if sc != nil {
		sc.mu.Unlock()
	}
	p.head.Store(records[len(records)-1].Position.Offset)
	p.hub.scheduler.enqueue(p.wake...)
	clear(p.wake)
	p.wake = p.wake[:0]
	for i, e := range p.rights {
		p.hub.rightsChanged(e)
		p.rights[i] = nil
	}
	p.rights = p.rights[:0]
	p.evict()
}

// evict drops the oldest events until the rings are within their share of memory.
func (p *partition) evict() {
	for p.usedBytes.Load() > p.hub.ringBytes && p.all.len() > 0 {
		e := p.all.at(0)
		p.all.pop()
		sc := e.home
		sc.mu.Lock()
		sc.evict(e)
		empty := sc.empty()
		sc.mu.Unlock()
		p.evicted.Store(e.Position.Offset)
		p.usedBytes.Add(-e.leaveRing())
		if empty {
			p.drop(sc)
		}
	}
}

// drop removes a school that has neither sessions nor recent events.
func (p *partition) drop(sc *school) {
	p.mu.Lock()
	defer p.mu.Unlock()
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.empty() && p.schools[sc.name] == sc {
		delete(p.schools, sc.name)
	}
}

// lockedSchool returns a school, which it creates if needed, with its lock held.
func (p *partition) lockedSchool(name string) *school {
	p.mu.RLock()
	sc := p.schools[name]
	if sc != nil {
		sc.mu.Lock() // before p.mu is released, so that it cannot be dropped in between
	}
	p.mu.RUnlock()
	if sc != nil {
		return sc
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if sc = p.schools[name]; sc == nil {
		sc = newSchool(p, name, p.evicted.Load())
		p.schools[name] = sc
	}
	sc.mu.Lock()
	return sc
}

// addDuplicate records that an offset repeats an earlier event, for as long as a cursor may be
// before it.
func (p *partition) addDuplicate(offset int64) {
	p.duplicatesMu.Lock()
	defer p.duplicatesMu.Unlock()
	if len(p.duplicates) > 1024 && p.duplicates[len(p.duplicates)/2] <= p.oldest() {
		p.duplicates = slices.Clone(p.duplicates[len(p.duplicates)/2:])
	}
	p.duplicates = append(p.duplicates, offset)
	p.hub.metrics.duplicates.Inc()
}

func (p *partition) isDuplicate(offset int64) bool {
	p.duplicatesMu.RLock()
	defer p.duplicatesMu.RUnlock()
	_, found := slices.BinarySearch(p.duplicates, offset)
	return found
}

// headers returns an event's type and identity without decoding the record.
func headers(rec *eventlog.Record) (eventType, source, id string) {
	for i := range rec.Headers {
		switch h := &rec.Headers[i]; h.Key {
		case "ce_type":
			eventType = string(h.Value)
		case "ce_source":
			source = string(h.Value)
		case "ce_id":
			id = string(h.Value)
		}
	}
	return eventType, source, id
}

// identify returns the identity of an event by which [partition.take] recognises duplicates.
func identify(rec *eventlog.Record) (school, source, id string, ok bool) {
	_, source, id = headers(rec)
	return string(rec.Key), source, id, source != "" && id != ""
}
