package realtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// Rights returns a user's grants at a school as of a position of the log or later; offset -1 means
// no particular position. It waits for the read models to reach the position, and fails if they do
// not before ctx ends.
type Rights func(ctx context.Context, school, user string, at domain.Position) (Grants, error)

// Grants are what the right of one user to rooms follows from, besides the token.
type Grants struct {
	access.Directory
	Policy access.Policy
}

// admit returns the audiences to which the bearer of a token belongs in a room. Access is denied
// unless a rule grants it.
func admit(identity Identity, g *Grants, room domain.Room) (as domain.Audiences) {
	b := identity.bearer()
	switch room.Kind {
	case domain.RoomUser:
		if b.School != access.AllSchools && room.ID == identity.Subject {
			as = domain.Of(domain.Self)
		}
	case domain.RoomRole:
		if b.School != access.AllSchools && slices.Contains(identity.Roles, room.ID) {
			as = domain.Of(audienceOf(access.Role(room.ID)))
			if room.ID == string(access.Accountant) { // nothing in it is about fees
				as = domain.Of(domain.Public)
			}
		}
	case domain.RoomClass, domain.RoomStudent:
		scope := access.For(&b, &g.Directory, g.Policy)
		as = scope.AudiencesInRoom(room)
	case domain.RoomSchool:
		as = asStaff(&b, access.Admin, access.Office, access.Accountant)
	case domain.RoomDashboard: // it says only that numbers have changed
		if asStaff(&b, access.Admin, access.Office, access.Accountant, access.Teacher) != 0 {
			as = domain.Of(domain.Public)
		}
	}
	return as
}

// asStaff returns the audiences of those of some roles that a bearer has at the school. Operators
// belong to no school, and look at all of them like administrators.
func asStaff(b *access.Bearer, roles ...access.Role) (as domain.Audiences) {
	if b.School == access.AllSchools {
		if b.Operator() {
			as = domain.Of(domain.Administration)
		}
		return as
	}
	for _, role := range roles {
		if b.Is(role) {
			as |= domain.Of(audienceOf(role))
		}
	}
	return as
}

// audienceOf returns in which role the members of a role look at what is for them.
func audienceOf(r access.Role) domain.Audience {
	switch r {
	case access.Admin:
		return domain.Administration
	case access.Office:
		return domain.Office
	case access.Teacher:
		return domain.Teaching
	case access.Accountant:
		return domain.Accounts
	}
	return domain.Public
}

func (i *Identity) bearer() access.Bearer {
	return access.Bearer{Subject: i.Subject, School: i.School, Roles: i.Roles}
}

// mayEnter reports whether a bearer may connect to a school: to their own, and operators, who have to
// name one, to each.
func (i *Identity) mayEnter(school string) bool {
	b := i.bearer()
	return b.Subject != "" && school != "" && school != access.AllSchools &&
		(b.School == school || b.Operator())
}

// needsGrants reports whether the right to a room depends on grants, not on the token alone.
func needsGrants(identity Identity, room domain.Room) bool {
	if room.Kind != domain.RoomClass && room.Kind != domain.RoomStudent {
		return false
	}
	b := identity.bearer()
	return access.NeedsDirectory(&b)
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

// mayJoin is audiences for somebody who is about to enter the room.
func (h *Hub) mayJoin(
	ctx context.Context, s *Session, room domain.Room,
) (domain.Audiences, error) {
	as, err := h.audiences(ctx, s, room)
	denied := errors.Is(err, ErrDenied)
	if h.cfg.Joined == nil || err != nil && !denied {
		return as, err
	}
	noted := h.cfg.Joined(s.Identity(), s.school.name, room, denied)
	if err == nil && noted != nil {
		return 0, fmt.Errorf("%w: %w", ErrRightsUnavailable, noted)
	}
	return as, err
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
