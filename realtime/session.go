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

// Errors that callers branch on. They refuse a single request; the connection stays open unless its
// transport closes it.
var (
	ErrDenied          = errors.New("not allowed in this room")
	ErrTooManyRooms    = errors.New("too many rooms")
	ErrTooManySessions = errors.New("too many connections of one user")
	ErrFull            = errors.New("this node is full")
	ErrDraining        = errors.New("this node is shutting down")
	ErrInvalidToken    = errors.New("token is not valid")
	ErrExpired         = errors.New("token has expired")
	// ErrRightsUnavailable says that rights cannot be looked up at the moment. Access is refused
	// meanwhile.
	ErrRightsUnavailable = errors.New("rights cannot be looked up at the moment: try again")
	// ErrLogRefused says that the log is not the one that it was, and nothing is read from it until
	// an operator has decided.
	ErrLogRefused = errors.New("the log is being examined: try again later")
	// ErrUnrecoverable says that the events after a position cannot be served: it is too old, or of
	// another log.
	ErrUnrecoverable = errors.New("position cannot be served")
)

// Identity is the bearer of a connection's token.
type Identity struct {
	Subject string
	School  string // "*" for operators of the platform
	Roles   []string
	Expires time.Time
	Issued  time.Time // zero if the token does not say
	TokenID string    // empty if it has none
}

// Staff reports that the bearer works at the school, or operates the platform.
func (i *Identity) Staff() bool {
	b := i.bearer()
	return b.Staff()
}

// Options of [Hub.Open].
type Options struct {
	// School must be the identity's own, except for operators. Empty means the identity's.
	School string
	// Protocol names the transport in metrics.
	Protocol string
	// From is the position after which events are delivered; nil means from now on.
	From *domain.LogPosition
	// Rooms are joined in addition to the user's own, before the first delivery, so that nothing
	// after From is missed in them. One that is denied is reported as left ([KindLeft]); if all are,
	// the session is not opened.
	Rooms []domain.Room
	// Resuming says that the client was connected before: the session is opened even if none of
	// those rooms is left to it.
	Resuming bool
	// Key is what the client repeats when it comes back: a session of the same user with the same
	// key has lost its connection, whether it has noticed or not, and ends. Empty: none does.
	Key string
	// PerRoom delivers an event once for each room that it comes through, instead of once.
	PerRoom bool
	// Wake is called when there may be something to deliver after Next has returned nothing. It
	// calls Next until that returns nothing again, or has another goroutine do so. Other sessions
	// wait for it to return: see [Slot].
	Wake func(*Slot)
}

// Kind is the kind of a delivery.
type Kind uint8

// The kinds of deliveries.
const (
	KindEvent Kind = iota // an event in a room
	// a dashboard's projection has reached Position; Room is the dashboard's room
	KindUpdate
	KindLeft // the session is no longer in Room: its right to be there was withdrawn
)

// Delivery is one message to a client. It is valid until the next call of Next.
type Delivery struct {
	Kind     Kind
	Room     domain.Room        // through which it comes
	Event    *Event             // of KindEvent
	Position domain.LogPosition // of the event, or of the projection
	// of KindLeft: the right could not be looked up, and may be there still
	RightsUnavailable bool

	view domain.Audience
	room int16 // index of Room in the event's rooms
}

// Session is one connection's cursor in the log of its school. Its methods may be called from any
// goroutine, except Next, which is for one at a time.
type Session struct {
	hub    *Hub
	school *school
	opts   Options
	id     uint64
	sent   *sent
	// resumedTo is the offset up to which events count as missed by a resumed session. Only the
	// caller of Next uses it.
	resumedTo int64

	awake      atomic.Bool           // Next is being called or is about to be
	closing    atomic.Pointer[Close] // the reason for its end; nil while it is open
	expires    atomic.Int64          // unix milliseconds
	rechecking atomic.Bool           // queued to have its rooms checked again
	shownOn    atomic.Int32          // the school's day when it began to follow dashboards; 0: it does not
	admittedOn atomic.Int32          // the school's day of the oldest grants of its rooms; 0: of none
	// every event up to this offset is delivered or not for the session
	cursor atomic.Int64

	// The school's lock guards these.
	identity Identity
	rooms    []joined
	notices  []Delivery // of rooms left, not delivered yet
	updates  uint64     // the newest dashboard change that was delivered
	ended    bool
}

// joined is a session's presence in a room.
type joined struct {
	room      *room
	audiences domain.Audiences
	after     int64 // only later offsets are delivered
	index     int   // in the room's sessions, for removal in constant time
}

// ID names the session, among those of all nodes.
func (s *Session) ID() string { return s.hub.node + "-" + strconv.FormatUint(s.id, 36) }

// School returns the school whose events the session receives.
func (s *Session) School() string { return s.school.name }

// Identity returns the bearer of the session's newest token.
func (s *Session) Identity() Identity {
	s.school.mu.RLock()
	defer s.school.mu.RUnlock()
	return s.identity
}

// Position returns the position up to which the session has received the log.
func (s *Session) Position() domain.LogPosition {
	s.school.mu.RLock()
	defer s.school.mu.RUnlock()
	return s.at(s.offset())
}

func (s *Session) at(offset int64) domain.LogPosition {
	return s.hub.log.At(domain.Position{Partition: s.school.partition.number, Offset: offset})
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

// Joined is the result of a join.
type Joined struct {
	// At is the position from which on the room's events are delivered through Next.
	At domain.LogPosition
	// Missed are the room's events after the requested position, up to At.
	Missed []Delivery
}

// Join enters a room, if the bearer may be in it. With after, the result holds the room's events
// since that position, or the error is ErrUnrecoverable. Joining a room twice is no error. Next
// must not run at the same time, so that missed events are sent before later ones.
func (s *Session) Join(
	ctx context.Context, name domain.Room, after *domain.LogPosition,
) (Joined, error) {
	audiences, err := s.hub.mayJoin(ctx, s, name)
	if err != nil {
		return Joined{}, err
	}
	var from int64
	if after != nil {
		if from, err = s.school.partition.recoverable(ctx, s.school.name, *after); err != nil {
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
	// Earlier events are returned, later ones are delivered.
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

// unjoin undoes a join: a session that was in the room before stays in it.
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
func (s *Session) join(name domain.Room, audiences domain.Audiences) (*joined, error) {
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
	s.rooms = append(s.rooms,
		joined{room: r, audiences: audiences, after: s.school.head(), index: len(r.sessions)})
	r.sessions = append(r.sessions, s)
	s.hub.metrics.joins.WithLabelValues(string(name.Kind)).Inc()
	return &s.rooms[len(s.rooms)-1], nil
}

func (s *Session) find(name domain.Room) int {
	return slices.IndexFunc(s.rooms, func(m joined) bool { return m.room.name == name })
}

// Leave leaves a room and reports whether the session was in it.
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

// Refresh replaces the token by a newer one of the same bearer. The error is ErrExpired,
// ErrInvalidToken, or ErrDenied for a token of another bearer.
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

// Close ends the session: Next returns the reason from now on. The first reason counts.
func (s *Session) Close(reason Close) {
	if s.closing.CompareAndSwap(nil, &reason) {
		s.wake()
	}
}

// wake queues a call of Wake unless Next is being called anyway. The school's lock is not held.
func (s *Session) wake() {
	s.school.mu.RLock()
	asleep := s.awake.CompareAndSwap(false, true)
	if asleep {
		// while asleep it had received everything
		s.cursor.Store(max(s.cursor.Load(), s.school.head()))
	}
	s.school.mu.RUnlock()
	if asleep {
		s.hub.scheduler.enqueue(s)
	}
}

// End removes the session from the hub. The transport calls it when the connection is gone; calling
// it again is harmless.
func (s *Session) End() {
	s.closing.CompareAndSwap(nil, &CloseNormal)
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	s.end()
}

// end is End when the school's lock is held, and there is a reason for it.
func (s *Session) end() {
	if s.ended {
		return
	}
	s.ended = true
	for len(s.rooms) > 0 {
		s.leave(len(s.rooms) - 1)
	}
	s.hub.forget(s)
}
