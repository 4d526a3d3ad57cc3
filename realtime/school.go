package realtime

import (
	"slices"
	"sort"
	"sync"

	"github.com/schoolbell/schoolbell/domain"
)

// school is the memory of one school on a node: a ring of its recent events, and its rooms.
//
// Its lock is the only one that is held while events are delivered. Nothing is sent, decoded,
// loaded or waited for under it, with one exception: a new event is decoded for its rooms if the
// school has listeners.
type school struct {
	name      string
	partition *partition

	mu       sync.RWMutex
	ring     ring // all its events after offset from
	from     int64
	last     int64 // the offset of its newest event
	rights   int64 // the offset of the newest event that may have changed grants
	rooms    map[domain.Room]*room
	kinds    map[domain.RoomKind]int // the number of rooms of each kind
	sessions map[string][]*Session   // by user

	readers chan struct{} // sessions that read the log

	dashboards map[string]dashboard // by projection
	changes    uint64               // the number of dashboard changes so far
}

type dashboard struct {
	position domain.Position
	change   uint64 // its number among the changes
}

// room is a set of sessions, and those events of the ring that belong to it.
type room struct {
	name     domain.Room
	sessions []*Session
	ring     ring
	from     int64 // the ring has all of the room's events after this offset
}

func newSchool(p *partition, name string, from int64) *school {
	return &school{
		name: name, partition: p, from: from, last: from, rights: from,
		rooms: map[domain.Room]*room{}, kinds: map[domain.RoomKind]int{},
		sessions: map[string][]*Session{}, readers: make(chan struct{}, maxSchoolReaders),
	}
}

// head is the offset up to which the school's events are in its ring. The lock is held.
func (s *school) head() int64 { return max(s.last, s.partition.head.Load()) }

// room returns a room, which it creates if needed. The lock is held.
func (s *school) room(name domain.Room) *room {
	r := s.rooms[name]
	if r == nil {
		r = &room{name: name, from: s.head()}
		s.rooms[name] = r
		s.kinds[name.Kind]++
		s.partition.hub.metrics.rooms.WithLabelValues(string(name.Kind)).Inc()
	}
	return r
}

// dropRoom removes an empty room. The lock is held.
func (s *school) dropRoom(r *room) {
	delete(s.rooms, r.name)
	s.kinds[r.name.Kind]--
	s.partition.hub.metrics.rooms.WithLabelValues(string(r.name.Kind)).Dec()
}

// empty reports whether the school can be dropped. The lock is held.
func (s *school) empty() bool { return len(s.sessions) == 0 && s.ring.len() == 0 }

// add adds a new event of the log and appends the sessions to be woken for it to wake. The lock is
// held.
func (s *school) add(e *Event, wake []*Session) []*Session {
	s.ring.push(e)
	s.last = e.Position.Offset
	if !s.concerned(e.Type) || !e.decoded() {
		return wake
	}
	for _, name := range e.rooms {
		r := s.rooms[name]
		if r == nil {
			continue
		}
		r.ring.push(e)
		e.listed = true
		for _, session := range r.sessions {
			if !session.awake.Load() && session.cursor.Load() < e.Position.Offset {
				// while asleep it had received everything
				session.cursor.Store(e.Position.Offset - 1)
				session.awake.Store(true)
				wake = append(wake, session)
			}
		}
	}
	return wake
}

// concerned reports whether events of a type may belong to an existing room.
func (s *school) concerned(eventType string) bool {
	if len(s.rooms) == 0 {
		return false
	}
	if s.kinds[domain.RoomSchool] > 0 {
		return true
	}
	kinds, known := roomKinds[eventType]
	return !known ||
		slices.ContainsFunc(kinds, func(k domain.RoomKind) bool { return s.kinds[k] > 0 })
}

// evict drops e, the school's oldest event. The lock is held.
func (s *school) evict(e *Event) {
	s.ring.pop()
	s.from = e.Position.Offset
	if !e.listed {
		return
	}
	for _, name := range e.rooms {
		if r := s.rooms[name]; r != nil && r.ring.len() > 0 && r.ring.at(0) == e {
			r.ring.pop()
			r.from = e.Position.Offset
		}
	}
}

// ring is a queue of events in the order of the log, in one circular slice that grows and shrinks.
type ring struct {
	events []*Event // its length is zero or a power of two
	first  int
	n      int
}

func (r *ring) len() int { return r.n }

func (r *ring) at(i int) *Event { return r.events[(r.first+i)&(len(r.events)-1)] }

func (r *ring) push(e *Event) {
	if r.n == len(r.events) {
		grown := make([]*Event, max(8, 2*len(r.events)))
		for i := range r.n {
			grown[i] = r.at(i)
		}
		r.events, r.first = grown, 0
	}
	r.events[(r.first+r.n)&(len(r.events)-1)] = e
	r.n++
}

func (r *ring) pop() {
	r.events[r.first] = nil
	r.first = (r.first + 1) & (len(r.events) - 1)
	r.n--
	if r.n == 0 {
		r.events, r.first = nil, 0
	} else if len(r.events) > 64 && r.n < len(r.events)/4 {
		smaller := make([]*Event, len(r.events)/2)
		for i := range r.n {
			smaller[i] = r.at(i)
		}
		r.events, r.first = smaller, 0
	}
}

// after returns the index of the first event after an offset.
func (r *ring) after(offset int64) int {
	if r.n == 0 || r.at(r.n-1).Position.Offset <= offset {
		return r.n
	}
	return sort.Search(r.n, func(i int) bool { return r.at(i).Position.Offset > offset })
}
