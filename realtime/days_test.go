package realtime_test

import (
	"context"
	"errors"
	"slices"
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

// Dashboards show a day. When it turns they are notified once, and whoever follows none is not.
func TestDashboardsAreNotifiedWhenTheDayTurns(t *testing.T) {
	t.Parallel()
	var today, looks atomic.Int64
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.DayInterval, c.DashboardInterval = time.Millisecond, time.Millisecond
		c.Today = func(context.Context, string) (domain.Date, error) {
			looks.Add(1)
			if today.Load() == 0 {
				return 0, errors.New("the database is away")
			}
			return domain.Date(today.Load()), nil
		}
	})
	rooms := []domain.Room{{Kind: domain.RoomDashboard, ID: "attendance"}, {Kind: domain.RoomSchool}}
	at := rt.Publish(t, n.Log, rt.School, "1", rt.Mark("ann", "7a", 1))
	follows := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{Rooms: rooms})
	without := rt.Listen(t, n, rt.User("head2", "admin"), realtime.Options{Rooms: rooms[1:]})
	follows.Reaches(t, at)
	without.Reaches(t, at)

	updates := func(r *rt.Reader, want int) {
		t.Helper()
		r.Until(t, func(got []realtime.Delivery, _ error) bool {
			updates := slices.DeleteFunc(slices.Clone(got), func(d realtime.Delivery) bool {
				return d.Kind != realtime.KindUpdate
			})
			require.LessOrEqual(t, len(updates), want)
			for _, d := range updates {
				require.Equal(t, rooms[0], d.Room)
			}
			return len(updates) == want
		})
	}
	// The day could not be looked up at first: what the dashboard shows may be of another one. Then
	// the day turns, and turns back with another time zone.
	for i, day := range []domain.Date{
		domain.NewDate(2026, 11, 30), domain.NewDate(2026, 12, 1), domain.NewDate(2026, 11, 30),
	} {
		today.Store(int64(day))
		updates(follows, i+1)
	}
	before := looks.Load()
	require.Eventually(t, func() bool { return looks.Load() > before+20 }, time.Minute,
		time.Millisecond)
	last := rt.Publish(t, n.Log, rt.School, "2", rt.Mark("ann", "7a", 2))
	follows.Reaches(t, last)
	without.Reaches(t, last)
	updates(follows, 3)
	updates(without, 0)
}
