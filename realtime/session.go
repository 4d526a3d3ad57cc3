package realtime

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Errors that callers decide on. They answer a single request; the connection goes on unless its transport ends it.
var (
	ErrDenied          = errors.New("not allowed in this room")
	ErrTooManyRooms    = errors.New("too many rooms")
	ErrTooManySessions = errors.New("too many connections of one user")
	ErrFull            = errors.New("this node is full")
	ErrDraining        = errors.New("this node is shutting down")
	ErrInvalidToken    = errors.New("token is not valid")
	ErrExpired         = errors.New("token has expired")
	// ErrRightsUnavailable says that whether something is allowed cannot be found out for now.
	ErrRightsUnavailable = errors.New("rights cannot be looked up just now: try again")
	// ErrUnrecoverable says that what came after a position cannot be given: it is too old, or of another log.
	ErrUnrecoverable = errors.New("position cannot be served")
)

// Identity is who is behind a connection, as the token says.
type Identity struct {
	Subject string
	School  string // "*" for operators of the platform
	Roles   []string
	Expires time.Time
	Issued  time.Time // zero when the token does not say
	TokenID string    // empty when it has none
}

// Options of [Hub.Open].
type Options struct {
	// School is the one to hear; it must be the identity's own, except for operators. Empty means the identity's.
	School string
	// Protocol names the transport in metrics.
	Protocol string
	// From is the position after which to hear the log; nil means from now on.
	From *domain.Position
	// Rooms are joined before the first delivery, besides the user's own, so that nothing after From is missed in them.
	// If one is denied, the session is not opened.
	Rooms []domain.Room
	// Resuming says that the session was in those rooms: of one that is denied by now it is told that it has left
	// ([KindLeft]), instead of not being opened.
	Resuming bool
	// PerRoom delivers an event once for each room in which it is heard; else once.
	PerRoom bool
	// Wake is called when there may be something to deliver after Next has returned nothing. It calls Next until there
	// is nothing more, or has a goroutine of its own do that. Other sessions wait for it to return: see [Slot].
	Wake func(*Slot)
}

// Kind says what a delivery is.
type Kind uint8

// The kinds of deliveries.
const (
	KindEvent  Kind = iota // an event in a room
	KindUpdate             // a dashboard's projection has changed: Room is its room, Position up to where
	KindLeft               // the session is no longer in Room: the right to be there has gone
)

// Delivery is one thing to be sent to a client. It is valid until the next call of Next.
type Delivery struct {
	Kind              Kind
	Room              domain.Room     // through which it is heard
	Event             *Event          // of KindEvent
	Position          domain.Position // of the event, or of the projection
	RightsUnavailable bool            // of KindLeft: the right could not be looked up, and may be there still

	view domain.Audience
	room int16 // index of Room in the event's rooms
}

// Session is one connection's place in the log of its school. Its methods may be called from any goroutine, except
// Next, which is for one at a time.
type Session struct {
	hub    *Hub
	school *school
	opts   Options
	id     uint64
	sent   *sent
	// resumedTo is the offset up to which events are what a resumed session has missed; for those who call Next.
	resumedTo int64

	awake      atomic.Bool           // Next is being called or will be; while it is not, nothing is to be delivered
	closing    atomic.Pointer[Close] // why it ends
	expires    atomic.Int64          // unix milliseconds
	rechecking atomic.Bool           // its rights are about to be looked at again
	cursor     atomic.Int64          // every offset up to it has been delivered or does not concern the session

	// The school's lock guards these.
	identity Identity
	rooms    []membership
	notices  []Delivery // rooms left
	updates  uint64     // the newest dashboard change delivered
	ended    bool
}

// membership is a session's place in a room.
type membership struct {
	room      *room
	audiences domain.Audiences
	after     int64 // only later offsets are delivered
	index     int   // in the room's sessions
}

// ID names the session, among those of all nodes.
func (s *Session) ID() string { return s.hub.node + "-" + strconv.FormatUint(s.id, 36) }

// School is the one that the session hears.
func (s *Session) School() string { return s.school.name }

// Identity returns who is behind the session, by the newest token.
func (s *Session) Identity() Identity {
	s.school.mu.RLock()
	defer s.school.mu.RUnlock()
	return s.identity
}

// Position is up to where the session has heard the log.
func (s *Session) Position() domain.Position {
	s.school.mu.RLock()
	defer s.school.mu.RUnlock()
	return s.at(s.offset())
}

func (s *Session) at(offset int64) domain.Position {
	return domain.Position{Partition: s.school.partition.number, Offset: offset}
}

// offset is the offset up to which nothing more is to be delivered. The school's lock is held.
func (s *Session) offset() int64 {
	if !s.awake.Load() {
		return max(s.cursor.Load(), s.school.head())
	}
	return s.cursor.Load()
}

// Rooms lists the rooms that the session is in.
func (s *Session) Rooms() []domain.Room {
	s.school.mu.RLock()
	defer s.school.mu.RUnlock()
	rooms := make([]domain.Room, len(s.rooms))
	for i := range s.rooms {
		rooms[i] = s.rooms[i].room.name
	}
	return rooms
}

// Joined is the outcome of a join.
type Joined struct {
	// At is the position from which on the room's events are delivered through Next.
	At domain.Position
	// Missed are the room's events between the position that was asked for and At.
	Missed []Delivery
}

// Join enters a room, if the bearer may be in it. With after, the answer holds what has happened in the room since that
// position, or the error is ErrUnrecoverable. To be in it already is no error. While it runs, Next must not, so that
// what was missed comes before what happens next.
func (s *Session) Join(ctx context.Context, name domain.Room, after *domain.Position) (Joined, error) {
	audiences, err := s.hub.audiences(ctx, s, name)
	if err != nil {
		return Joined{}, err
	}
	var from int64
	if after != nil {
		if from, err = s.school.partition.recoverable(ctx, *after); err != nil {
			s.hub.metrics.resumed("refused", 0)
			return Joined{}, err
		}
	}
	s.school.mu.Lock()
	in := s.find(name) >= 0
	m, err := s.join(name, audiences)
	if err != nil {
		s.school.mu.Unlock()
		return Joined{}, err
	}
	at := s.school.head()
	if after == nil {
		s.school.mu.Unlock()
		return Joined{At: s.at(at)}, nil
	}
	// What came before is in the answer, and what comes after is delivered.
	before := m.after
	m.after = max(at, from)
	s.school.mu.Unlock()
	missed, err := s.school.missed(ctx, name, audiences, from, at)
	if err != nil {
		s.unjoin(name, in, before)
		s.hub.metrics.resumed("refused", 0)
		return Joined{}, err
	}
	s.hub.metrics.resumed("resumed", len(missed))
	return Joined{At: s.at(max(at, from)), Missed: missed}, nil
}

// unjoin undoes a join: who was in the room is there as before.
func (s *Session) unjoin(name domain.Room, in bool, after int64) {
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	switch i := s.find(name); {
	case i < 0:
	case in:
		s.rooms[i].after = after
	default:
		s.leave(i)
	}
}

// join adds the session to a room. The school's lock is held.
func (s *Session) join(name domain.Room, audiences domain.Audiences) (*membership, error) {
	if s.ended {
		return nil, CloseNormal
	}
	if i := s.find(name); i >= 0 {
		s.rooms[i].audiences = audiences
		return &s.rooms[i], nil
	}
	if len(s.rooms) >= s.hub.cfg.MaxRooms {
		return nil, ErrTooManyRooms
	}
	r := s.school.room(name)
	s.rooms = append(s.rooms, membership{room: r, audiences: audiences, after: s.school.head(), index: len(r.sessions)})
	r.sessions = append(r.sessions, s)
	s.hub.metrics.joins.WithLabelValues(string(name.Kind)).Inc()
	return &s.rooms[len(s.rooms)-1], nil
}

func (s *Session) find(name domain.Room) int {
	return slices.IndexFunc(s.rooms, func(m membership) bool { return m.room.name == name })
}

// Leave goes out of a room and reports whether the session was in it.
func (s *Session) Leave(name domain.Room) bool {
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	i := s.find(name)
	if i >= 0 {
		s.leave(i)
	}
	return i >= 0
}

// leave takes the session out of its i-th room. The school's lock is held.
func (s *Session) leave(i int) {
	m := s.rooms[i]
	r := m.room
	last := len(r.sessions) - 1
	if moved := r.sessions[last]; moved != s {
		r.sessions[m.index] = moved
		moved.rooms[moved.find(r.name)].index = m.index
	}
	r.sessions[last] = nil
	r.sessions = r.sessions[:last]
	if last == 0 {
		s.school.dropRoom(r)
	}
	s.rooms = slices.Delete(s.rooms, i, i+1)
}

// Refresh takes a newer token of the same bearer.
func (s *Session) Refresh(identity Identity) error {
	if !identity.Expires.IsZero() && !identity.Expires.After(s.hub.cfg.Now()) {
		return ErrExpired
	}
	if s.hub.revoked(identity) {
		return ErrInvalidToken
	}
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	if identity.Subject != s.identity.Subject || identity.School != s.identity.School {
		return ErrDenied
	}
	changed := !slices.Equal(identity.Roles, s.identity.Roles)
	s.identity = identity
	s.expires.Store(expiry(identity))
	if changed {
		s.hub.recheck(s)
	}
	return nil
}

func expiry(identity Identity) int64 {
	if identity.Expires.IsZero() {
		return 0
	}
	return identity.Expires.UnixMilli()
}

func (s *Session) expired(now time.Time) bool {
	at := s.expires.Load()
	return at != 0 && now.UnixMilli() >= at
}

// Close tells the session to end: Next returns the reason from now on. The first reason counts.
func (s *Session) Close(why Close) {
	if s.closing.CompareAndSwap(nil, &why) {
		s.wake()
	}
}

// wake calls Wake unless Next is being called anyway. The school's lock is not held.
func (s *Session) wake() {
	s.school.mu.RLock()
	asleep := s.awake.CompareAndSwap(false, true)
	if asleep {
		s.cursor.Store(max(s.cursor.Load(), s.school.head())) // asleep it has heard everything before
	}
	s.school.mu.RUnlock()
	if asleep {
		s.hub.scheduler.enqueue(s)
	}
}

// End takes the session out of the hub. The transport calls it when the connection is gone; more than once is harmless.
func (s *Session) End() {
	s.closing.CompareAndSwap(nil, &CloseNormal)
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	if s.ended {
		return
	}
	s.ended = true
	for len(s.rooms) > 0 {
		s.leave(len(s.rooms) - 1)
	}
	s.hub.forget(s)
}
