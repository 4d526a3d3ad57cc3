package realtime

import (
	"sort"
	"sync"

	"github.com/schoolbell/schoolbell/domain"
)

// school is what a node keeps of one school: a ring of its recent events, and its rooms.
//
// Its lock is the only one that is held while events are handed out. Nothing is sent, decoded, loaded or waited for
// under it, except that a new event's rooms are read when the school has listeners.
type school struct {
	name      string
	partition *partition

	mu       sync.RWMutex
	ring     ring // all its events after from
	from     int64
	last     int64 // the offset of its newest event
	rights   int64 // no later event may have changed who is connected with whom
	rooms    map[domain.Room]*room
	kinds    map[domain.RoomKind]int // how many rooms of a kind there are
	sessions map[string][]*Session   // by user

	dashboards map[string]dashboard // by projection
	changes    uint64               // how many dashboard changes there have been
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
	from     int64 // the ring has all of the room's events after it
}

func newSchool(p *partition, name string, from int64) *school {
	return &school{
		name: name, partition: p, from: from, last: from, rights: from,
		rooms: map[domain.Room]*room{}, kinds: map[domain.RoomKind]int{}, sessions: map[string][]*Session{},
	}
}

// head is the last offset up to which the school's events are in its ring. The lock is held.
func (s *school) head() int64 { return max(s.last, s.partition.head.Load()) }

// room finds or opens a room. The lock is held.
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

// dropRoom closes a room that nobody is in. The lock is held.
func (s *school) dropRoom(r *room) {
	delete(s.rooms, r.name)
	s.kinds[r.name.Kind]--
	s.partition.hub.metrics.rooms.WithLabelValues(string(r.name.Kind)).Dec()
}

// empty reports that there is no reason to keep the school. The lock is held.
func (s *school) empty() bool { return len(s.sessions) == 0 && s.ring.len() == 0 }

// add takes a new event of the log and collects the sessions that are to be woken for it. The lock is held.
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
		for _, m := range r.sessions {
			if !m.awake.Load() && m.cursor.Load() < e.Position.Offset {
				m.cursor.Store(e.Position.Offset - 1) // asleep it has heard everything before
				m.awake.Store(true)
				wake = append(wake, m)
			}
		}
	}
	return wake
}

// concerned reports that events of a type may be for a room that is open.
func (s *school) concerned(eventType string) bool {
	if len(s.rooms) == 0 {
		return false
	}
	if s.kinds[domain.RoomSchool] > 0 {
		return true
	}
	kinds, known := roomKinds[eventType]
	if !known {
		return true
	}
	for _, k := range kinds {
		if s.kinds[k] > 0 {
			return true
		}
	}
	return false
}

// evict drops the school's oldest event, which is e. The lock is held.
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

// ring is a queue of events in the order of the log, in one growing circle of memory.
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

// after returns the index of the first event behind an offset.
func (r *ring) after(offset int64) int {
	if r.n == 0 || r.at(r.n-1).Position.Offset <= offset {
		return r.n
	}
	return sort.Search(r.n, func(i int) bool { return r.at(i).Position.Offset > offset })
}
