package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// The roles in a token, and the school in the tokens of the platform's operators.
const (
	roleAdmin      = "admin"
	roleTeacher    = "teacher"
	roleAccountant = "accountant"
	roleGuardian   = "guardian"
	roleStudent    = "student"
	roleOperator   = "operator"
	everySchool    = "*"
)

// Rights returns a user's grants at a school as of a position of the log or later; offset -1 means
// no particular position. It waits for the read models to reach the position, and fails if they do
// not before ctx ends.
type Rights func(ctx context.Context, school, user string, at domain.Position) (Grants, error)

// Grants connect one user with classes and students, and so with their rooms.
type Grants struct {
	Teaches  []string // home classes and sections that the user works with
	Pupils   []string // students in those classes
	Children []string // students that the user is a guardian of, or is
	Classes  []string // home classes and sections of those children
}

// admit returns the audiences to which the bearer of a token belongs in a room. Access is denied
// unless a rule grants it.
func admit(identity Identity, g *Grants, room domain.Room) domain.Audiences {
	// Operators belong to no school: they have no rooms of their own. The school without the role
	// is a mistake of the token's issuer, as is the role at one school.
	if identity.School == everySchool {
		if !slices.Contains(identity.Roles, roleOperator) || room.Kind == domain.RoomUser ||
			room.Kind == domain.RoomRole {
			return 0
		}
		return domain.Of(domain.Office)
	}
	var as domain.Audiences
	for _, role := range identity.Roles {
		as |= admitAs(role, identity, g, room)
	}
	if room.Kind == domain.RoomUser && room.ID == identity.Subject {
		as |= domain.Of(domain.Self)
	}
	return as
}

func admitAs(role string, identity Identity, g *Grants, room domain.Room) domain.Audiences {
	office := role == roleAdmin
	switch room.Kind {
	case domain.RoomRole:
		switch {
		case room.ID != role:
		case office:
			return domain.Of(domain.Office)
		case role == roleTeacher:
			return domain.Of(domain.Teaching)
		default:
			return domain.Of(domain.Public)
		}
	case domain.RoomSchool:
		switch {
		case office:
			return domain.Of(domain.Office)
		case role == roleAccountant:
			return domain.Of(domain.Accounts)
		}
	case domain.RoomDashboard:
		switch {
		case office:
			return domain.Of(domain.Office)
		case role == roleAccountant, role == roleTeacher:
			return domain.Of(domain.Public)
		}
	case domain.RoomClass:
		switch {
		case office:
			return domain.Of(domain.Office)
		case role == roleTeacher && slices.Contains(g.Teaches, room.ID):
			return domain.Of(domain.Teaching)
		case (role == roleGuardian || role == roleStudent) && slices.Contains(g.Classes, room.ID):
			return domain.Of(domain.Public)
		}
	case domain.RoomStudent:
		switch {
		case office:
			return domain.Of(domain.Office)
		case role == roleAccountant:
			return domain.Of(domain.Accounts)
		case role == roleTeacher && slices.Contains(g.Pupils, room.ID):
			return domain.Of(domain.Teaching)
		case role == roleGuardian && slices.Contains(g.Children, room.ID):
			return domain.Of(domain.Family)
		case role == roleStudent && room.ID == identity.Subject:
			return domain.Of(domain.Family)
		}
	}
	return 0
}

// needsGrants reports whether the right to a room depends on grants, not on the token alone.
func needsGrants(identity Identity, room domain.Room) bool {
	if room.Kind != domain.RoomClass && room.Kind != domain.RoomStudent {
		return false
	}
	return slices.ContainsFunc(identity.Roles, func(role string) bool {
		return role == roleTeacher || role == roleGuardian || role == roleStudent
	})
}

// audiences returns the audiences of a session in a room, or ErrDenied.
func (h *Hub) audiences(
	ctx context.Context, s *Session, room domain.Room,
) (domain.Audiences, error) {
	identity := s.Identity()
	var g Grants
	if needsGrants(identity, room) {
		on, err := h.today(ctx, s.school.name)
		if err == nil {
			s.admittedOn.CompareAndSwap(0, int32(on))
			g, err = h.grants.get(ctx, s.school.name, identity.Subject, s.school.rightsAt(), on)
		}
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrRightsUnavailable, err)
		}
	}
	if room.Kind == domain.RoomDashboard {
		h.showOn(ctx, s)
	}
	as := admit(identity, &g, room)
	if as == 0 {
		h.metrics.denied.WithLabelValues(string(room.Kind)).Inc()
		return 0, fmt.Errorf("%s: %w", room, ErrDenied)
	}
	return as, nil
}

// rightsAt returns a position as of which the school's grants are current, as far as this node has
// read the log.
func (s *school) rightsAt() domain.Position {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return domain.Position{Partition: s.partition.number, Offset: s.rights}
}

// changesRights reports whether events of a type may change grants.
func changesRights(eventType string) bool {
	switch eventType {
	case student.TypeEnrolled, student.TypeClassChanged, student.TypeWithdrawn, guardian.TypeLinked,
		guardian.TypeUnlinked, staff.TypeAssigned, staff.TypeLeft, class.TypeDefined,
		class.TypeClosed, membership.TypeStarted, membership.TypeEnded:
		return true
	}
	return false
}

// rightsChanged invalidates the grants that an event may have changed, and checks the rooms of the
// sessions concerned again.
func (h *Hub) rightsChanged(e *Event) {
	if !e.decoded() {
		return
	}
	user, someStudent := "", ""
	switch m := e.envelope.Data.(type) {
	case *staff.Assigned:
		user = m.StaffID
	case *staff.Left:
		user = m.StaffID
	case *guardian.Linked:
		user = m.GuardianID
	case *guardian.Unlinked:
		user = m.GuardianID
	case *class.Defined, *class.Closed, *membership.Ended:
		// does not name those whom it concerns, so it may be anybody
	case *membership.Started:
		if m.Role == membership.Student {
			someStudent = m.PersonID
		} else {
			user = m.PersonID
		}
	default:
		someStudent = e.envelope.Data.Subject()
	}
	sc := e.home
	sc.mu.RLock()
	defer sc.mu.RUnlock()
	for name, sessions := range sc.sessions {
		if user != "" && name != user {
			continue
		}
		if !h.grants.invalidate(sc.name, name, e.Position, someStudent) {
			continue
		}
		for _, s := range sessions {
			if slices.ContainsFunc(s.rooms,
				func(m joined) bool { return needsGrants(s.identity, m.room.name) }) {
				h.recheck(s)
			}
		}
	}
}

// recheck queues a session to have its rooms checked again, once for any number of reasons.
func (h *Hub) recheck(s *Session) {
	if !s.rechecking.CompareAndSwap(false, true) {
		return
	}
	select {
	case h.rechecks <- s:
	default: // with so many queued, checking all sessions is hardly more work
		h.recheckAll.Store(true)
	}
}

// runRechecks takes queued sessions out of rooms that are no longer theirs.
func (h *Hub) runRechecks(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case s := <-h.rechecks:
			h.recheckRooms(ctx, s)
		}
		if h.recheckAll.CompareAndSwap(true, false) {
			for _, s := range h.allSessions() {
				h.recheckRooms(ctx, s)
			}
		}
	}
}

// recheckers is the number of goroutines that check sessions: each may have to wait for its
// school's read models.
const recheckers = 4

// recheckWait is how long the read models may take to reach a change of rights. After that a right
// that may have been withdrawn is treated as withdrawn.
const recheckWait = 5 * time.Second

// recheckRooms takes a session out of the rooms that it may no longer be in. If that cannot be
// found out, it loses those too, with a note that it may join them again.
func (h *Hub) recheckRooms(ctx context.Context, s *Session) {
	ctx, cancel := context.WithTimeout(ctx, recheckWait)
	defer cancel()
	s.rechecking.Store(false)
	s.admittedOn.Store(0)
	for _, room := range s.Rooms() {
		as, err := h.audiences(ctx, s, room)
		s.school.mu.Lock()
		if i := s.find(room); i >= 0 {
			if err == nil {
				s.rooms[i].audiences = as
			} else {
				s.leave(i)
				s.notices = append(s.notices,
					Delivery{
						Kind: KindLeft, Room: room,
						RightsUnavailable: errors.Is(err, ErrRightsUnavailable),
					})
			}
		}
		s.school.mu.Unlock()
		if err != nil {
			h.metrics.revoked.Inc()
			s.wake()
		}
	}
}
