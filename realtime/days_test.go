package realtime_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	facts "github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// hasLeft waits until a session has been taken out of a number of rooms.
func hasLeft(t *testing.T, r *rt.Reader, rooms int) {
	t.Helper()
	r.Until(t, func(got []realtime.Delivery, _ error) bool {
		left := 0
		for _, d := range got {
			if d.Kind == realtime.KindLeft {
				left++
			}
		}
		return left == rooms
	})
}

// Each of these facts may end what a user has to do with a student or a class.
func TestP10_EveryEndOfALinkEndsRoomsLive(t *testing.T) {
	t.Parallel()
	ann := domain.Room{Kind: domain.RoomStudent, ID: "ann"}
	today := domain.NewDate(2026, 9, 1)
	for name, c := range map[string]struct {
		identity realtime.Identity
		ends     domain.Event
	}{
		"guardian unlinked": {
			rt.User("mum", "guardian"), &guardian.Unlinked{GuardianID: "mum", StudentID: "ann"},
		},
		"teacher left": {rt.User("may", "teacher"), &staff.Left{StaffID: "may", On: today}},
		"teacher's membership ended": {
			rt.User("may", "teacher"), &membership.Ended{MembershipID: "m", To: today},
		},
		"section closed": {rt.User("may", "teacher"), &facts.Closed{ClassID: "7a", On: today}},
		"membership of another class": {
			rt.User("may", "teacher"), &membership.Started{
				MembershipID: "m", ClassID: "8a", PersonID: "may", Role: membership.Teacher, From: today,
			},
		},
		"student's membership of another class": {
			rt.User("may", "teacher"), &membership.Started{
				MembershipID: "n", ClassID: "8a", PersonID: "ann", Role: membership.Student, From: today,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := school()
			n := rt.Start(t, nil, func(c *realtime.Config) { c.Rights = d.Grants })
			r := rt.Listen(t, n, c.identity, realtime.Options{Rooms: []domain.Room{ann}})
			d.set(c.identity.Subject, realtime.Grants{})
			rt.Publish(t, n.Log, rt.School, "end", c.ends)
			hasLeft(t, r, 1)
			require.NotContains(t, r.Rooms(), ann)
		})
	}
}

// A right that was ended ahead ends when the day comes, though no event says so then.
func TestP10_RightsEndWhenTheDayComes(t *testing.T) {
	t.Parallel()
	var today atomic.Int64
	today.Store(int64(domain.NewDate(2026, 11, 30)))
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.DayInterval = time.Millisecond
		c.Today = func(context.Context, string) (domain.Date, error) {
			return domain.Date(today.Load()), nil
		}
		c.Rights = func(context.Context, string, string, domain.Position) (realtime.Grants, error) {
			if domain.Date(today.Load()) >= domain.NewDate(2026, 12, 1) {
				return realtime.Grants{}, nil
			}
			return realtime.Grants{Directory: access.Directory{Children: []string{"ann"}, Classes: []string{"7a"}}}, nil
		}
	})
	ann := domain.Room{Kind: domain.RoomStudent, ID: "ann"}
	mother := rt.Listen(t, n, rt.User("mum", "guardian"), realtime.Options{
		Rooms: []domain.Room{ann, {Kind: domain.RoomClass, ID: "7a"}},
	})
	at := rt.Publish(t, n.Log, rt.School, "1", rt.Mark("ann", "7a", 1))
	mother.Reaches(t, at)
	require.Contains(t, mother.Rooms(), ann)

	today.Store(int64(domain.NewDate(2026, 12, 1)))
	hasLeft(t, mother, 2)
	require.NotContains(t, mother.Rooms(), ann)
}
