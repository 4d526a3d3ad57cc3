package realtime

import (
	"context"
	"errors"
	"fmt"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Bounds of one call of Next, so that the memory held for a slow client stays small.
const (
	maxDeliveries = 128
	maxBytes      = 64 << 10
	chunkEvents   = 256 // of the school's ring at a time
)

// Next appends the next deliveries to dst and returns it, in the order of the log. If it returns
// nothing and no error, the session sleeps until Wake is called. An error that is a [Close] ends
// the connection with that reason; others are those of ctx.
//
// While the session keeps up, its deliveries come from the rings of its rooms; when it has fallen
// behind, from the ring of its school, and then from the log itself. It does not sleep before it
// has caught up. Catching up may wait for the log, so Next releases the slot first.
func (s *Session) Next(ctx context.Context, slot *Slot, dst []Delivery) ([]Delivery, error) {
	for {
		if err := s.closed(); err != nil {
			return dst, err
		}
		out, live := s.live(dst)
		if !live {
			slot.Release()
			var err error
			if out, err = s.catchUp(ctx, dst); err != nil {
				return out, err
			}
		}
		switch {
		case len(out) > len(dst):
			// The token may have expired before the newest of these was published.
			if err := s.closed(); err != nil {
				return dst, err
			}
			if live {
				slot.count()
			}
			return out, nil
		case live && (s.closing.Load() == nil || !s.awake.CompareAndSwap(false, true)):
			return out, nil // otherwise it was closed while it was falling asleep
		}
	}
}

// closed returns why the session is over, nil as long as it is not.
func (s *Session) closed() error {
	if s.closing.Load() == nil && s.expired(s.hub.cfg.Now()) {
		s.closing.CompareAndSwap(nil, &CloseExpired)
	}
	if reason := s.closing.Load(); reason != nil {
		return *reason
	}
	return nil
}

// live returns deliveries from the rings of the rooms, and reports whether these hold everything
// the session needs. If there is nothing to deliver, the session is asleep afterwards.
func (s *Session) live(dst []Delivery) (out []Delivery, live bool) {
	sc := s.school
	sc.mu.RLock()
	defer sc.mu.RUnlock()
	out = s.takeNotices(dst)
	cursor := s.cursor.Load()
	var few [8]source
	sources := few[:0]
	for i := range s.rooms {
		m := &s.rooms[i]
		after := max(cursor, m.after)
		if after < m.room.from {
			return out, len(out) > len(dst)
		}
		if next := m.room.ring.after(after); next < m.room.ring.len() {
			sources = append(sources, source{m, next})
		}
	}
	size := 0
	for len(sources) > 0 && len(out)-len(dst) < maxDeliveries && size < maxBytes {
		e := sources[0].event()
		for i := 1; i < len(sources); i++ {
			if x := sources[i].event(); x.Position.Offset < e.Position.Offset {
				e = x
			}
		}
		before := len(out)
		rest := sources[:0]
		for _, from := range sources {
			if from.event() == e {
				out = s.offer(out, before, e, from.m)
				from.next++
			}
			if from.next < from.m.room.ring.len() {
				rest = append(rest, from)
			}
		}
		sources = rest
		size += int(e.size)
		cursor = e.Position.Offset
	}
	if len(sources) == 0 {
		cursor = max(cursor, sc.head())
	}
	s.cursor.Store(cursor)
	if len(out) == len(dst) && len(sources) == 0 {
		s.awake.Store(false)
		return out, true
	}
	return out, len(out) > len(dst)
}

// source is a session's next event in one of its rooms.
type source struct {
	m    *joined
	next int
}

func (f *source) event() *Event { return f.m.room.ring.at(f.next) }

// offer appends an event as it is seen through a room, unless the session may not see it.
// Deliveries of the same event begin at index first.
func (s *Session) offer(out []Delivery, first int, e *Event, m *joined) []Delivery {
	return s.school.offer(out, first, e, m.room.name, m.audiences, s.opts.PerRoom)
}

func (s *school) offer(
	out []Delivery, first int, e *Event, room domain.Room, audiences domain.Audiences, perRoom bool,
) []Delivery {
	view, ok := e.viewOf(audiences)
	if !ok {
		return out
	}
	d := Delivery{
		Kind: KindEvent, Event: e, Position: s.partition.hub.log.At(e.Position), Room: room,
		view: view, room: int16(e.in(room)),
	}
	if !perRoom && len(out) > first {
		if view < out[first].view { // through two rooms: the more complete view counts
			out[first] = d
		}
		return out
	}
	return append(out, d)
}

// takeNotices appends the rooms left and dashboards changed. The school's lock is held for reading;
// that is enough, as only Next calls it.
func (s *Session) takeNotices(dst []Delivery) []Delivery {
	dst = append(dst, s.notices...)
	s.notices = nil
	if s.updates == s.school.changes {
		return dst
	}
	for i := range s.rooms {
		name := s.rooms[i].room.name
		if name.Kind != domain.RoomDashboard {
			continue
		}
		if d, ok := s.school.dashboards[name.ID]; ok && d.change > s.updates {
			dst = append(dst, Delivery{
				Kind: KindUpdate, Room: name, Position: s.hub.log.At(d.position),
			})
		}
	}
	s.updates = s.school.changes
	return dst
}

// catchUp appends deliveries from at most one chunk of the school's ring or of the log.
func (s *Session) catchUp(ctx context.Context, dst []Delivery) ([]Delivery, error) {
	sc := s.school
	cursor := s.cursor.Load()
	if cursor < sc.partition.oldest() && !sc.partition.remembers(sc.name, cursor) {
		s.Close(CloseResync)
		return dst, CloseResync
	}
	events, upTo, err := sc.read(ctx, cursor)
	switch {
	case errors.Is(err, ErrUnrecoverable):
		s.Close(CloseResync)
		return dst, CloseResync
	case err != nil:
		return dst, err
	}
	s.hub.metrics.lag.Observe(float64(max(0, sc.partition.head.Load()-cursor)))
	sc.mu.RLock()
	rooms := append([]joined(nil), s.rooms...)
	sc.mu.RUnlock()
	size := 0
	for _, e := range events {
		if len(dst) >= maxDeliveries || size >= maxBytes {
			break
		}
		cursor = e.Position.Offset
		if !e.decoded() {
			continue
		}
		before := len(dst)
		for i := range rooms {
			if m := &rooms[i]; cursor > m.after && e.in(m.room.name) >= 0 {
				dst = s.offer(dst, before, e, m)
			}
		}
		if len(dst) > before {
			size += int(e.size)
		}
	}
	if len(dst) < maxDeliveries && size < maxBytes {
		cursor = upTo
	}
	s.cursor.Store(cursor)
	return dst, nil
}

// read returns the school's next events after an offset, from its ring or else from the log, and
// the offset up to which there are no others.
func (s *school) read(ctx context.Context, after int64) (events []*Event, upTo int64, err error) {
	s.mu.RLock()
	if after >= s.from {
		first := s.ring.after(after)
		n := min(chunkEvents, s.ring.len()-first)
		events = make([]*Event, n)
		for i := range events {
			events[i] = s.ring.at(first + i)
		}
		upTo = max(after, s.head())
		if first+n < s.ring.len() {
			upTo = events[n-1].Position.Offset
		}
		s.mu.RUnlock()
		return events, upTo, nil
	}
	s.mu.RUnlock()
	return s.readLog(ctx, after)
}

// readLog returns the next events of the school from the log, as read does.
func (s *school) readLog(
	ctx context.Context, after int64,
) (events []*Event, upTo int64, err error) {
	p := s.partition
	for _, turn := range []chan struct{}{s.readers, p.hub.readers} {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	p.hub.metrics.logReads.Inc()
	stretch, err := p.fetch(ctx, s.name, after+1)
	switch {
	case errors.Is(err, eventlog.ErrOffsetOutOfRange):
		return nil, 0, fmt.Errorf("%w: %w", ErrUnrecoverable, err)
	case err != nil:
		return nil, 0, err
	}
	// Not beyond the hub's own head: a change of rights on the way there has not taken effect yet.
	head := p.head.Load()
	for i := range stretch.Entries {
		e := &stretch.Entries[i]
		if e.Offset() > head {
			break
		}
		if string(e.Record.Key) != s.name || e.Duplicate {
			continue
		}
		if eventType := e.Record.Header(eventlog.HeaderType); eventType != "" {
			events = append(events, newEvent(e, eventType))
		}
	}
	return events, min(head, stretch.Next-1), nil
}

// fetch returns the next stretch of the log with events of a school in it: these alone, as far as
// the index reaches, and all records beyond. It reads all records when the index cannot be read.
func (p *partition) fetch(ctx context.Context, school string, from int64) (eventlog.Stretch, error) {
	if cfg := &p.hub.cfg; cfg.Index != nil {
		s, err := cfg.Reader.ReadIndexed(ctx, cfg.Index, school, p.number, from, chunkEvents)
		if err == nil && s.Next > from || err != nil && !errors.Is(err, eventlog.ErrNoIndex) {
			return s, err
		}
	}
	cursor := p.hub.cfg.Reader.Open(p.number, from)
	defer cursor.Close()
	return cursor.Next(ctx)
}
