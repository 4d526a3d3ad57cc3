package realtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func class(id string) domain.Room { return domain.Room{Kind: domain.RoomClass, ID: id} }

// Sessions connect, disconnect, fall behind and reconnect to another node. Each must receive its
// rooms' part of the log, once, in order, whether it comes from a ring of a room, of the school, or
// from the log.
func TestP6_EverySessionReceivesItsPartOfTheLog(t *testing.T) {
	t.Parallel()
	for _, ringBytes := range []int{1, 200_000, 64 << 20} {
		t.Run(strconv.Itoa(ringBytes), func(t *testing.T) {
			t.Parallel()
			const events, classes, clients = 3000, 7, 24
			log := memlog.New(4)
			small := func(c *realtime.Config) { c.RingBytes = ringBytes }
			nodes := []*rt.Node{rt.Start(t, log, small), rt.Start(t, log, small)}
			rnd := rand.New(rand.NewPCG(1, uint64(ringBytes)))

			type client struct {
				rooms []domain.Room
				at    *domain.LogPosition
				got   []int64
			}
			var all []*client
			for i := range clients {
				c := &client{rooms: []domain.Room{class(strconv.Itoa(i % classes))}}
				if i%3 == 0 {
					c.rooms = append(c.rooms, class(strconv.Itoa((i+1)%classes)))
				}
				if i%8 == 0 {
					c.rooms = []domain.Room{{Kind: domain.RoomSchool}}
				}
				c.at = &domain.LogPosition{
					Position: domain.Position{Partition: partitionOf(rt.School), Offset: -1},
				}
				all = append(all, c)
			}
			want := map[string][]int64{} // offsets by class; "" is the school
			var last domain.Position
			published := make(chan struct{})
			go func() {
				defer close(published)
				ids := map[int]bool{}
				for range events {
					id := rnd.IntN(events) // about a third are duplicates
					room := strconv.Itoa(id % classes)
					pos := rt.Publish(t, log, rt.School, strconv.Itoa(id),
						rt.Notice(strconv.Itoa(id), room))
					if rnd.IntN(10) == 0 {
						rt.Publish(t, log, "elsewhere", strconv.Itoa(id), rt.Notice("x", room))
					}
					if !ids[id] {
						want[room] = append(want[room], pos.Offset)
						want[""] = append(want[""], pos.Offset)
						last = pos
					}
					ids[id] = true
				}
			}()
			// Each client lives through some connections of random length.
			live := func(c *client, rnd *rand.Rand, final bool) {
				r := rt.Listen(t, nodes[rnd.IntN(2)], rt.User("head", "admin"),
					realtime.Options{From: c.at, Rooms: c.rooms})
				if rnd.IntN(2) == 0 {
					r.Hold()
				}
				r.Release()
				if final {
					r.Reaches(t, last)
				} else {
					<-time.After(time.Duration(rnd.IntN(20)) * time.Millisecond)
				}
				r.Stop()
				got, _ := r.Until(t, func([]realtime.Delivery, error) bool { return true })
				for _, d := range got {
					c.got = append(c.got, d.Position.Offset)
					c.at = &d.Position
				}
			}
			done := make(chan struct{})
			for i, c := range all {
				go func() {
					defer func() { done <- struct{}{} }()
					rnd := rand.New(rand.NewPCG(2, uint64(i)))
					for range 6 {
						live(c, rnd, false)
					}
					<-published
					live(c, rnd, true)
				}()
			}
			for range all {
				<-done
			}
			for i, c := range all {
				var mine []int64
				in := map[int64]bool{}
				for _, r := range c.rooms {
					for _, o := range want[r.ID] {
						in[o] = true
					}
				}
				for _, o := range want[""] {
					if in[o] {
						mine = append(mine, o)
					}
				}
				require.Equal(t, mine, c.got, "client %d in %v", i, c.rooms)
			}
		})
	}
}

func partitionOf(school string) int32 {
	log := memlog.New(4)
	pos, err := log.Append(context.Background(), school, []record{{}})
	if err != nil {
		panic(err)
	}
	return pos.Partition
}

func TestP6_JoinReturnsWhatWasMissed(t *testing.T) {
	t.Parallel()
	for _, ringBytes := range []int{1, 1 << 20} {
		n := rt.Start(t, nil,
			func(c *realtime.Config) { c.RingBytes = ringBytes; c.MaxMissed = 10 })
		r := rt.Listen(t, n, rt.User("head", "admin"),
			realtime.Options{Rooms: []domain.Room{class("b")}})
		at := r.Position()
		var a []domain.Position
		for i := range 10 {
			id := strconv.Itoa(i)
			a = append(a, rt.Publish(t, n.Log, rt.School, "a"+id, rt.Notice(id, "a")))
			rt.Publish(t, n.Log, rt.School, "b"+id, rt.Notice(id, "b"))
		}
		r.Positions(t, domain.Position{Offset: a[9].Offset + 1})
		joined, err := r.Join(t.Context(), class("a"), &at)
		require.NoError(t, err)
		var missed []domain.Position
		for _, d := range joined.Missed {
			missed = append(missed, d.Position.Position)
		}
		require.Equal(t, a, missed)
		next := rt.Publish(t, n.Log, rt.School, "next", rt.Notice("next", "a"))
		offsets := r.Positions(t, next)
		require.Equal(t, next.Offset, offsets[len(offsets)-1])
		require.Len(t, offsets, 11, "what was handed over is not delivered again")
		r.Leave(class("a"))
		_, err = r.Join(t.Context(), class("a"), &at)
		require.ErrorIs(t, err, realtime.ErrUnrecoverable, "more than one join may hand over")
		require.NotContains(t, r.Rooms(), class("a"))

		r.Positions(t, rt.Publish(t, n.Log, rt.School, "b10", rt.Notice("10", "b")))
		_, err = r.Join(t.Context(), class("b"), &at)
		require.ErrorIs(t, err, realtime.ErrUnrecoverable)
		require.Contains(t, r.Rooms(), class("b"), "a refused join leaves the membership as it was")
		last := rt.Publish(t, n.Log, rt.School, "b11", rt.Notice("11", "b"))
		offsets = r.Positions(t, last)
		require.Equal(t, last.Offset, offsets[len(offsets)-1], "and misses nothing")
	}
}

// A session that is behind when it joins a room receives nothing twice, and nothing from before the
// join.
func TestP6_JoinWhileBehind(t *testing.T) {
	t.Parallel()
	for _, ringBytes := range []int{1, 1 << 20} {
		n := rt.Start(t, nil, func(c *realtime.Config) { c.RingBytes = ringBytes })
		slow := rt.Listen(t, n, rt.User("head", "admin"),
			realtime.Options{Rooms: []domain.Room{class("b")}, PerRoom: true})
		probe := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{})
		first := rt.Publish(t, n.Log, rt.School, "first", rt.Notice("first", "b"))
		slow.Positions(t, first)
		slow.Hold()
		var a, b []int64
		var last domain.Position
		for i := range 20 {
			id := strconv.Itoa(i)
			a = append(a, rt.Publish(t, n.Log, rt.School, "a"+id, rt.Notice(id, "a")).Offset)
			rt.Publish(t, n.Log, rt.School, "c"+id, rt.Notice(id, "c"))
			last = rt.Publish(t, n.Log, rt.School, "b"+id, rt.Notice(id, "b"))
			b = append(b, last.Offset)
		}
		probe.Reaches(t, last)
		joined, err := slow.Join(t.Context(), class("a"), &domain.LogPosition{Position: first})
		require.NoError(t, err)
		_, err = slow.Join(t.Context(), class("c"), nil)
		require.NoError(t, err)
		var missed []int64
		for _, d := range joined.Missed {
			missed = append(missed, d.Position.Offset)
		}
		require.Equal(t, a, missed)
		next := rt.Publish(t, n.Log, rt.School, "next", rt.Notice("next", "a"))
		slow.Release()
		require.Equal(t, append(append([]int64{first.Offset}, b...), next.Offset),
			slow.Positions(t, next))
	}
}

func TestP6_PositionsThatCannotBeServedAreRefused(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.MaxLag = 50; c.RingBytes = 1 })
	r := rt.Listen(t, n, rt.User("head", "admin"),
		realtime.Options{Rooms: []domain.Room{class("a")}})
	var last domain.Position
	for i := range 100 {
		last = rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), rt.Notice("n", "a"))
		r.Positions(t, last)
	}
	at := func(partition int32, offset int64) *domain.LogPosition {
		return &domain.LogPosition{
			Position: domain.Position{Partition: partition, Offset: offset},
		}
	}
	for name, from := range map[string]*domain.LogPosition{
		"too old":           at(last.Partition, last.Offset-51),
		"of another school": at(last.Partition+1, last.Offset),
		"not written yet":   at(last.Partition, last.Offset+1),
	} {
		_, err := rt.TryListen(t, n, rt.User("head", "admin"), realtime.Options{From: from})
		require.ErrorIs(t, err, realtime.ErrUnrecoverable, name)
		_, err = r.Join(t.Context(), class("b"), from)
		require.ErrorIs(t, err, realtime.ErrUnrecoverable, name)
	}
	// A session that falls behind while it is connected is closed with the same reason.
	r.Hold()
	for i := range 200 {
		rt.Publish(t, n.Log, rt.School, "more"+strconv.Itoa(i), rt.Notice("n", "a"))
	}
	probe := rt.Listen(t, n, rt.User("probe", "admin"), realtime.Options{})
	probe.Reaches(t, domain.Position{Offset: last.Offset + 200})
	r.Release()
	_, err := r.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
	require.Equal(t, realtime.CloseResync, err)
}

// A position of another log is never taken for one of this, though there is an event at its offset.
func TestP6_PositionsOfAnotherLogAreRefused(t *testing.T) {
	t.Parallel()
	const this, other = domain.LogID("k3f9a"), domain.LogID("x1y2z")
	n := rt.Start(t, nil, func(c *realtime.Config) { c.LogID = this })
	first := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	second := rt.Publish(t, n.Log, rt.School, "2", rt.Notice("2", "a"))
	open := func(at domain.LogPosition) (*rt.Reader, error) {
		return rt.TryListen(t, n, rt.User("head", "admin"),
			realtime.Options{From: &at, Rooms: []domain.Room{class("a")}})
	}
	_, err := open(other.At(first))
	require.ErrorIs(t, err, realtime.ErrUnrecoverable)
	r, err := open(this.At(first))
	require.NoError(t, err)
	require.Equal(t, []int64{second.Offset}, r.Positions(t, second))
	require.Equal(t, this, r.Position().Log)
	at := other.At(first)
	_, err = r.Join(t.Context(), class("b"), &at)
	require.ErrorIs(t, err, realtime.ErrUnrecoverable)
}

// While the log is refused there are no sessions, neither old nor new.
func TestP6_ARefusedLogHasNoSessions(t *testing.T) {
	t.Parallel()
	var refused atomic.Bool
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.Refused = func(int32) error {
			if refused.Load() {
				return &eventlog.Refusal{}
			}
			return nil
		}
	})
	r := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{})
	refused.Store(true)
	_, err := r.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
	require.Equal(t, realtime.CloseResync, err)
	_, err = rt.TryListen(t, n, rt.User("head", "admin"), realtime.Options{})
	require.ErrorIs(t, err, realtime.ErrLogRefused)
}

// A restarted node serves what was published while it was down.
func TestP6_RestartedNodeServesOldPositions(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	first := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	r := rt.Listen(t, n, rt.User("head", "admin"),
		realtime.Options{
			From: &domain.LogPosition{
				Position: domain.Position{Partition: first.Partition, Offset: -1},
			},
			Rooms: []domain.Room{class("a")},
		})
	require.Equal(t, []int64{first.Offset}, r.Positions(t, first))
	n.Kill()
	_, err := r.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
	require.Equal(t, realtime.CloseShutdown, err)
	rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a")) // a retry
	second := rt.Publish(t, n.Log, rt.School, "2", rt.Notice("2", "a"))
	n = rt.Start(t, n.Log, nil)
	r = rt.Listen(t, n, rt.User("head", "admin"),
		realtime.Options{From: &domain.LogPosition{Position: first}, Rooms: []domain.Room{class("a")}})
	require.Equal(t, []int64{second.Offset}, r.Positions(t, second))
}

func TestLimits(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil,
		func(c *realtime.Config) { c.MaxSessions = 3; c.MaxPerUser = 2; c.MaxRooms = 3 })
	one := rt.Listen(t, n, rt.User("one", "admin"), realtime.Options{})
	rt.Listen(t, n, rt.User("one", "admin"), realtime.Options{})
	_, err := rt.TryListen(t, n, rt.User("one", "admin"), realtime.Options{})
	require.ErrorIs(t, err, realtime.ErrTooManySessions)
	rt.Listen(t, n, rt.User("two", "admin"), realtime.Options{})
	_, err = rt.TryListen(t, n, rt.User("three", "admin"), realtime.Options{})
	require.ErrorIs(t, err, realtime.ErrFull)

	_, err = one.Join(t.Context(), class("a"), nil)
	require.NoError(t, err, "the user's, the role's, and this one")
	_, err = one.Join(t.Context(), class("b"), nil)
	require.ErrorIs(t, err, realtime.ErrTooManyRooms)
	_, err = one.Join(t.Context(), class("a"), nil)
	require.NoError(t, err, "to join again is no more")
	one.Stop()
	one.Stop()
	rt.Listen(t, n, rt.User("three", "admin"), realtime.Options{})
}

func TestAnEventIsDeliveredOnceOrOncePerRoom(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	rooms := []domain.Room{
		class("a"),
		{Kind: domain.RoomStudent, ID: "s"},
		{Kind: domain.RoomSchool},
	}
	once := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{Rooms: rooms})
	each := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{Rooms: rooms, PerRoom: true})
	pos := rt.Publish(t, n.Log, rt.School, "1", rt.Mark("s", "a", 1))
	require.Equal(t, []int64{pos.Offset}, once.Positions(t, pos))
	require.Equal(t, []int64{pos.Offset, pos.Offset, pos.Offset}, each.Positions(t, pos))
}

func TestTokensThatExpireEndTheSession(t *testing.T) {
	t.Parallel()
	var clock fakeClock
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Now = clock.now })
	identity := rt.User("head", "admin")
	identity.Expires = clock.now().Add(time.Minute)
	r := rt.Listen(t, n, identity, realtime.Options{Rooms: []domain.Room{class("a")}})
	later := identity
	later.Expires = identity.Expires.Add(time.Hour)
	clock.advance(30 * time.Second)
	require.NoError(t, r.Refresh(later))
	require.ErrorIs(t, r.Refresh(realtime.Identity{Subject: "other", School: rt.School}),
		realtime.ErrDenied)
	clock.advance(time.Minute)
	pos := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	require.Equal(t, []int64{pos.Offset}, r.Positions(t, pos), "it was refreshed")
	clock.advance(time.Hour)
	require.ErrorIs(t, r.Refresh(later), realtime.ErrExpired)
	rt.Publish(t, n.Log, rt.School, "2", rt.Notice("2", "a"))
	got, err := r.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
	require.Equal(t, realtime.CloseExpired, err)
	require.Len(t, got, 1, "nothing is sent after the token has expired")
	_, err = rt.TryListen(t, n, later, realtime.Options{})
	require.ErrorIs(t, err, realtime.ErrExpired)
}

func TestTokensThatAreRevokedEndTheSession(t *testing.T) {
	t.Parallel()
	var revoked atomic.Bool
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.Revoked = func(identity realtime.Identity) bool {
			return revoked.Load() &&
				identity.TokenID == "old"
		}
	})
	old, renewed := rt.User("head", "admin"), rt.User("head", "admin")
	old.TokenID, renewed.TokenID = "old", "new"
	quiet := rt.Listen(t, n, old, realtime.Options{})
	fresh := rt.Listen(t, n, old, realtime.Options{})
	require.NoError(t, fresh.Refresh(renewed))
	revoked.Store(true)
	_, err := quiet.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
	require.Equal(t, realtime.CloseRevoked, err)
	_, err = rt.TryListen(t, n, old, realtime.Options{})
	require.ErrorIs(t, err, realtime.ErrInvalidToken)
	require.ErrorIs(t, fresh.Refresh(old), realtime.ErrInvalidToken)
	pos := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	fresh.Reaches(t, pos)
	require.NoError(t, fresh.Refresh(renewed), "a session with a newer token stays open")
}

func TestRevokeEndsAUsersSessions(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	one, two := rt.Listen(t, n, rt.User("one", "admin"), realtime.Options{}),
		rt.Listen(t, n, rt.User("two", "admin"), realtime.Options{})
	require.NoError(t, n.Revoke(t.Context(), rt.School, "one"))
	_, err := one.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
	require.Equal(t, realtime.CloseRevoked, err)
	_, err = two.Join(t.Context(), class("a"), nil)
	require.NoError(t, err)
}

func TestDrainClosesAllSessions(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	var all []*rt.Reader
	for i := range 50 {
		all = append(all, rt.Listen(t, n, rt.User(strconv.Itoa(i), "admin"), realtime.Options{}))
	}
	n.Drain(t.Context(), 20*time.Millisecond)
	for _, r := range all {
		_, err := r.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
		require.Equal(t, realtime.CloseShutdown, err)
		require.True(t, realtime.CloseShutdown.Reconnect())
	}
	_, err := rt.TryListen(t, n, rt.User("late", "admin"), realtime.Options{})
	require.ErrorIs(t, err, realtime.ErrDraining)
}

func TestDashboardsReceiveTheNewestPositionOnly(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.DashboardInterval = 20 * time.Millisecond })
	room := domain.Room{Kind: domain.RoomDashboard, ID: "fees"}
	r := rt.Listen(t, n, rt.User("books", "accountant"),
		realtime.Options{Rooms: []domain.Room{room}})
	other := rt.Listen(t, n, rt.User("books", "accountant"),
		realtime.Options{Rooms: []domain.Room{{Kind: domain.RoomDashboard, ID: "marks"}}})
	at := func(offset int64) domain.Position {
		return domain.Position{
			Partition: 1,
			Offset:    offset,
		}
	}
	for i := range int64(1000) {
		n.Changed(realtime.Changed{
			School: rt.School, Projections: []string{"fees", "students"},
			Position: at(i),
		})
	}
	got, _ := r.Until(t, func(got []realtime.Delivery, _ error) bool {
		return len(got) > 0 && got[len(got)-1].Position.Position == at(999)
	})
	require.Less(t, len(got), 100)
	n.Changed(realtime.Changed{
		School: rt.School, Projections: []string{"marks"},
		Position: at(1000),
	})
	got, _ = other.Until(t, func(got []realtime.Delivery, _ error) bool { return len(got) > 0 })
	require.Equal(t, []string{"1 dashboard:marks 1:1000"}, rt.Describe(got))
}

func TestRebuildNotifiesAllDashboardsOfItsPartition(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.DashboardInterval = time.Millisecond })
	fees := domain.Room{Kind: domain.RoomDashboard, ID: "fees"}
	listen := func(school string) *rt.Reader {
		identity := rt.User("head", "admin")
		identity.School = school
		return rt.Listen(t, n, identity, realtime.Options{Rooms: []domain.Room{fees}})
	}
	at := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	here := []*rt.Reader{listen(rt.School)}
	var there *rt.Reader
	for i := 0; there == nil || len(here) < 2; i++ {
		school := fmt.Sprint("school-", i)
		if eventlog.PartitionFor(school, 4) == at.Partition {
			here = append(here, listen(school))
		} else if there == nil {
			there = listen(school)
		}
	}
	n.Changed(realtime.Changed{Projections: []string{"fees"}, Position: at})
	for _, r := range here {
		r.Until(t, func(got []realtime.Delivery, _ error) bool {
			return len(got) == 1 &&
				got[0].Position.Position == at
		})
	}
	elsewhere := domain.Position{Partition: there.Position().Partition, Offset: 3}
	n.Changed(realtime.Changed{Projections: []string{"fees"}, Position: elsewhere})
	got, _ := there.Until(t, func(got []realtime.Delivery, _ error) bool { return len(got) > 0 })
	require.Equal(t, elsewhere, got[0].Position.Position, "the first one received")
}

func TestMissedEventsOfResumedSessionsAreCounted(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.Registerer = registry })
	missed := func() (total float64) {
		t.Helper()
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "schoolbell_realtime_recovered_events_total" {
				total = f.GetMetric()[0].GetCounter().GetValue()
			}
		}
		return total
	}
	var last domain.Position
	first := rt.Publish(t, n.Log, rt.School, "first", rt.Notice("first", "a"))
	for i := range 3 {
		last = rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), rt.Notice("1", "a"))
	}
	fresh := rt.Listen(t, n, rt.User("head", "admin"),
		realtime.Options{Rooms: []domain.Room{class("a")}})
	fresh.Reaches(t, last)
	back := rt.Listen(t, n, rt.User("head", "admin"),
		realtime.Options{Rooms: []domain.Room{class("a")}, From: &domain.LogPosition{Position: first}})
	back.Positions(t, last)
	for i := range 2 {
		last = rt.Publish(t, n.Log, rt.School, "new"+strconv.Itoa(i), rt.Notice("1", "a"))
	}
	back.Positions(t, last)
	fresh.Positions(t, last)
	require.EqualValues(t, 3, missed())
}
