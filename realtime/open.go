package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
)

// Open opens a session and joins the bearer's own rooms and those that the options name. The
// transport then calls Next until it returns nothing, and again whenever it is woken; when the
// connection is gone it calls End. The error is one of this package's, for [StatusOf] and
// [CloseOf].
func (h *Hub) Open(ctx context.Context, identity Identity, opts Options) (*Session, error) {
	if opts.School == "" {
		opts.School = identity.School
	}
	switch {
	case !identity.mayEnter(opts.School):
		if h.cfg.Joined != nil {
			_ = h.cfg.Joined(identity, opts.School, domain.Room{}, true) // refused anyway
		}
		return nil, fmt.Errorf("school %q: %w", opts.School, ErrDenied)
	case h.draining.Load():
		return nil, ErrDraining
	case h.revoked(identity):
		return nil, ErrInvalidToken
	}
	if err := h.wait(ctx, h.started); err != nil {
		return nil, err
	}
	p := h.partitions[h.partitionOf(opts.School)]
	if err := h.cfg.Refused(p.number); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrLogRefused, err)
	}
	if err := h.wait(ctx, p.ready); err != nil {
		return nil, err
	}
	s := &Session{
		hub: h, opts: opts, identity: identity, id: h.lastID.Add(1),
		sent: h.metrics.forProtocol(opts.Protocol), resumedTo: -1,
	}
	s.awake.Store(true)
	s.expires.Store(expiry(identity))
	if s.expired(h.cfg.Now()) {
		return nil, ErrExpired
	}
	cursor := int64(-1)
	if opts.From != nil {
		var err error
		if cursor, err = p.recoverable(ctx, opts.School, *opts.From); err != nil {
			h.metrics.resumed("refused", 0)
			return nil, err
		}
		h.metrics.resumed("resumed", 0)
		s.resumedTo = p.head.Load()
	}
	if err := h.admitSession(p, s); err != nil {
		return nil, err
	}
	if err := s.enter(ctx, cursor); err != nil {
		s.End()
		return nil, err
	}
	return s, nil
}

// enter joins the session's first rooms and sets its cursor.
func (s *Session) enter(ctx context.Context, cursor int64) error {
	if len(s.opts.Rooms) > s.hub.cfg.MaxRooms { // before any right is looked up
		return ErrTooManyRooms
	}
	rooms := []domain.Room{}
	if s.identity.School != access.AllSchools {
		rooms = append(rooms, domain.Room{Kind: domain.RoomUser, ID: s.identity.Subject})
		for _, role := range s.identity.Roles {
			rooms = append(rooms, domain.Room{Kind: domain.RoomRole, ID: role})
		}
	}
	for _, r := range s.opts.Rooms {
		if !slices.Contains(rooms, r) {
			rooms = append(rooms, r)
		}
	}
	// Rights are looked up before the school is locked: the directory may have to be queried.
	as := make([]domain.Audiences, len(rooms))
	var left []Delivery
	for i, room := range rooms {
		var err error
		as[i], err = s.hub.mayJoin(ctx, s, room)
		switch {
		case errors.Is(err, ErrDenied):
			left = append(left, Delivery{Kind: KindLeft, Room: room})
			if len(left) == len(s.opts.Rooms) && !s.opts.Resuming {
				return err // it was here for these alone
			}
		case err != nil:
			return err
		}
	}
	s.school.mu.Lock()
	defer s.school.mu.Unlock()
	s.notices = append(s.notices, left...)
	for i, room := range rooms {
		if as[i] == 0 {
			continue
		}
		m, err := s.join(room, as[i])
		if err != nil {
			return err
		}
		if s.opts.From != nil {
			m.after = cursor
		}
	}
	if s.opts.From == nil {
		cursor = s.school.head()
	}
	s.cursor.Store(cursor)
	s.updates = s.school.changes
	return nil
}

// admitSession registers a session, within the limits. It counts first and compares then, so that
// two sessions at once cannot both take the last slot.
func (h *Hub) admitSession(p *partition, s *Session) error {
	sc := p.lockedSchool(s.opts.School)
	before := sc.replaced(s)
	if before != nil {
		defer before.wake() // to write its close message, without the lock
	}
	defer sc.mu.Unlock()
	if h.sessions.Add(1) > int64(h.cfg.MaxSessions) {
		h.sessions.Add(-1)
		return ErrFull
	}
	if len(sc.sessions[s.identity.Subject]) >= h.cfg.MaxPerUser {
		h.sessions.Add(-1)
		return ErrTooManySessions
	}
	s.school = sc
	sc.sessions[s.identity.Subject] = append(sc.sessions[s.identity.Subject], s)
	h.metrics.connections.WithLabelValues(s.opts.Protocol).Inc()
	return nil
}

// replaced ends the session whose client opens s in its place, if there is one. The lock is held.
func (s *school) replaced(by *Session) *Session {
	if by.opts.Key == "" {
		return nil
	}
	mine := s.sessions[by.identity.Subject]
	i := slices.IndexFunc(mine, func(x *Session) bool { return x.opts.Key == by.opts.Key })
	if i < 0 {
		return nil
	}
	old := mine[i]
	old.closing.CompareAndSwap(nil, &CloseReplaced)
	old.end()
	return old
}

// forget removes a session that has left its rooms. The school's lock is held.
func (h *Hub) forget(s *Session) {
	sc := s.school
	mine := slices.DeleteFunc(sc.sessions[s.identity.Subject],
		func(x *Session) bool { return x == s })
	if len(mine) == 0 {
		delete(sc.sessions, s.identity.Subject)
	} else {
		sc.sessions[s.identity.Subject] = mine
	}
	h.sessions.Add(-1)
	h.metrics.connections.WithLabelValues(s.opts.Protocol).Dec()
	h.metrics.closed.WithLabelValues(s.closing.Load().Reason).Inc()
}
