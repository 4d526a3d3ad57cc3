package realtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// partition tails one partition of the log: it drops duplicates, holds recent events and wakes the
// sessions concerned.
type partition struct {
	hub    *Hub
	number int32

	head atomic.Int64 // the last offset seen
	// the oldest offset that can be served: from there on duplicates are recognised and the log is
	// complete
	first     atomic.Int64
	evicted   atomic.Int64 // the ring has everything after this offset
	usedBytes atomic.Int64 // bytes in the ring, with frames
	ready     chan struct{}

	mu      sync.RWMutex // taken before a school's lock
	schools map[string]*school

	// Only the goroutine that tails the partition touches these.
	recent int64 // earlier records are skipped: they would not stay in the ring
	all    ring  // every event in a ring of a school, in the order of the log
	wake   []*Session
	rights []*Event
}

// pieceEvents is how many entries are processed at a time, so that no school is locked for long.
const pieceEvents = 64

func newPartition(h *Hub, number int32) *partition {
	p := &partition{
		hub: h, number: number, schools: map[string]*school{}, ready: make(chan struct{}),
	}
	p.head.Store(-1)
	return p
}

// oldest is the oldest cursor that can be served.
func (p *partition) oldest() int64 {
	return max(p.first.Load()-1, p.head.Load()-int64(p.hub.cfg.MaxLag))
}

// recoverable returns the offset of a position from which everything later of a school can be
// delivered.
func (p *partition) recoverable(
	ctx context.Context, school string, at domain.LogPosition,
) (int64, error) {
	pos, err := at.In(p.hub.log)
	switch {
	case err != nil:
		return 0, fmt.Errorf("%w: %w", ErrUnrecoverable, err)
	case pos.Partition != p.number:
		return 0, fmt.Errorf("%w: %s belongs to another partition than this school",
			ErrUnrecoverable, pos)
	case pos.Offset < p.oldest() && !p.remembers(school, pos.Offset):
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

// remembers reports whether everything of a school after an offset is in its ring: it can be served
// from there however far the log has grown in between.
func (p *partition) remembers(school string, after int64) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	sc := p.schools[school]
	if sc == nil {
		return false
	}
	sc.mu.RLock()
	defer sc.mu.RUnlock()
	return after >= sc.from
}

// run fills the rings from the recent log, and then follows its end. When retention overtakes it
// before it has come to where the log ended, no client has been served yet: it begins again.
func (p *partition) run(ctx context.Context) error {
	for {
		err := p.follow(ctx)
		if !errors.Is(err, eventlog.ErrOffsetOutOfRange) || p.isReady() {
			return err
		}
		start, _, boundsErr := p.hub.cfg.Reader.Bounds(ctx, p.number)
		if boundsErr != nil || start <= p.head.Load()+1 {
			return errors.Join(err, boundsErr)
		}
		p.hub.cfg.Logger.WarnContext(ctx, "the log's start has moved, reading from there",
			"partition", p.number, "start", start)
	}
}

func (p *partition) isReady() bool {
	select {
	case <-p.ready:
		return true
	default:
		return false
	}
}

// follow is one attempt of run.
func (p *partition) follow(ctx context.Context) error {
	start, end, err := p.hub.cfg.Reader.Bounds(ctx, p.number)
	if err != nil {
		return err
	}
	from := max(start, end-int64(p.hub.cfg.MaxLag))
	p.first.Store(from)
	p.head.Store(from - 1)
	p.recent = max(from, end-p.hub.ringBytes/eventOverhead)
	p.evicted.Store(p.recent - 1)
	cursor := p.hub.cfg.Reader.Open(p.number, from)
	defer cursor.Close()
	for warm := false; ; {
		if !warm && p.head.Load() >= end-1 {
			warm = true
			close(p.ready)
		}
		s, err := cursor.Next(ctx)
		if err != nil {
			return err
		}
		p.first.Store(max(p.first.Load(), s.LogStart))
		for entries := s.Entries; len(entries) > 0; {
			n := min(pieceEvents, len(entries))
			p.take(entries[:n])
			entries = entries[n:]
		}
		p.head.Store(max(p.head.Load(), s.Next-1))
	}
}

// take adds entries to the rings and wakes the sessions that they concern.
func (p *partition) take(entries []eventlog.Entry) {
	var sc *school
	for i := range entries {
		entry := &entries[i]
		rec := &entry.Record
		if entry.Duplicate {
			p.hub.metrics.duplicates.Inc()
			continue
		}
		if rec.Position.Offset < p.recent {
			continue
		}
		eventType := rec.Header(eventlog.HeaderType)
		if eventType == "" || p.hub.partitionOf(string(rec.Key)) != p.number {
			continue // the projections make a dead letter of it
		}
		if sc == nil || sc.name != string(rec.Key) {
			if sc != nil {
				sc.mu.Unlock()
			}
			sc = p.lockedSchool(string(rec.Key))
		}
		e := newEvent(entry, eventType)
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
	p.head.Store(entries[len(entries)-1].Offset())
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
