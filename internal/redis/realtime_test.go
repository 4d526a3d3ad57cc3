package redis_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

func openRedis(t *testing.T) (*devstack.Redis, *redis.Cache) {
	t.Helper()
	server, err := devstack.StartRedis("")
	require.NoError(t, err)
	t.Cleanup(server.Stop)
	cache, err := redis.Open(redis.Config{URL: server.URL()}, prometheus.NewRegistry())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	return server, cache
}

func TestTicketsAreValidOnceAndForSeconds(t *testing.T) {
	t.Parallel()
	server, cache := openRedis(t)
	tickets := redis.NewTickets(cache)
	identity := rt.User("mum", "guardian")
	identity.Expires = identity.Expires.UTC()
	ticket, err := tickets.Issue(t.Context(), identity)
	require.NoError(t, err)
	socket := realtime.TicketUse{}
	got, err := tickets.Redeem(t.Context(), ticket, socket)
	require.NoError(t, err)
	require.Equal(t, identity, got)
	_, err = tickets.Redeem(t.Context(), ticket, socket)
	require.ErrorIs(t, err, realtime.ErrInvalidToken, "a second time")
	_, err = tickets.Redeem(t.Context(), ticket, realtime.TicketUse{Stream: "a", Again: true})
	require.ErrorIs(t, err, realtime.ErrInvalidToken, "it has opened no stream")
	ticket, err = tickets.Issue(t.Context(), identity)
	require.NoError(t, err)
	server.Server().FastForward(redis.TicketLifetime + time.Second)
	_, err = tickets.Redeem(t.Context(), ticket, socket)
	require.ErrorIs(t, err, realtime.ErrInvalidToken, "too late")
}

// A browser opens a stream again and again at the same address.
func TestATicketIsGoodForTheReconnectsOfItsStream(t *testing.T) {
	t.Parallel()
	server, cache := openRedis(t)
	tickets := redis.NewTickets(cache)
	mum := rt.User("mum", "guardian")
	mum.Expires = mum.Expires.UTC()
	forever := mum
	forever.Expires = time.Time{}
	for _, test := range []struct {
		identity realtime.Identity
		lives    time.Duration
	}{{mum, 59 * time.Minute}, {forever, 23 * time.Hour}} {
		ticket, err := tickets.Issue(t.Context(), test.identity)
		require.NoError(t, err)
		redeem := func(use realtime.TicketUse) error {
			got, err := tickets.Redeem(t.Context(), ticket, use)
			if err == nil {
				require.Equal(t, test.identity, got)
			}
			return err
		}
		first := realtime.TicketUse{Stream: "/stream?class:a"}
		again := realtime.TicketUse{Stream: "/stream?class:a", Again: true}
		require.NoError(t, redeem(first))
		require.ErrorIs(t, redeem(first), realtime.ErrInvalidToken, "from the start")
		require.ErrorIs(t, redeem(realtime.TicketUse{}), realtime.ErrInvalidToken, "by a socket")
		require.ErrorIs(t, redeem(realtime.TicketUse{Stream: "/stream?school", Again: true}),
			realtime.ErrInvalidToken, "for another stream")
		require.NoError(t, redeem(again))
		server.Server().FastForward(test.lives)
		require.NoError(t, redeem(again))
		server.Server().FastForward(2 * time.Hour)
		require.ErrorIs(t, redeem(again), realtime.ErrInvalidToken, "after the token's end")
	}
}

// Nodes know of each other's connections, and of a dead node's no more.
func TestPresenceAcrossNodes(t *testing.T) {
	t.Parallel()
	server, cache := openRedis(t)
	with := func(c *realtime.Config) { c.Bus = redis.NewBus(cache); c.DashboardInterval = time.Millisecond }
	one := rt.Start(t, nil, with)
	two := rt.Start(t, one.Log, with)
	dashboard := domain.Room{Kind: domain.RoomDashboard, ID: "fees"}
	first := rt.Listen(t, one, rt.User("mum", "admin"),
		realtime.Options{Rooms: []domain.Room{dashboard}})
	second := rt.Listen(t, two, rt.User("mum", "admin"),
		realtime.Options{Rooms: []domain.Room{dashboard}})
	room := domain.Room{Kind: domain.RoomUser, ID: "mum"}
	present := func(n *rt.Node, want ...string) {
		t.Helper()
		require.Eventually(t, func() bool {
			members, err := n.Presence(t.Context(), rt.School, room)
			if err != nil || len(members) != len(want) {
				return false
			}
			for i := range members {
				if members[i].Session != want[i] || members[i].User != "mum" {
					return false
				}
			}
			return true
		}, 10*time.Second, 10*time.Millisecond)
	}
	present(one, first.ID(), second.ID()) // online on two devices
	present(two, second.ID(), first.ID())

	// A notice to one node's dashboards reaches all.
	announcer := realtime.NewNotifier(redis.NewBus(cache), one.Changed, time.Millisecond,
		slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	announced := make(chan error, 1)
	go func() { announced <- announcer.Run(ctx) }()
	announcer.Notify(realtime.Changed{
		School: rt.School, Projections: []string{"fees"},
		Position: domain.Position{Offset: 9},
	})
	first.Until(t, func(got []realtime.Delivery, _ error) bool {
		return len(got) > 0 &&
			got[0].Position.Offset == 9
	})
	second.Until(t, func(got []realtime.Delivery, _ error) bool {
		return len(got) == 1 &&
			got[0].Position.Offset == 9
	})
	cancel()
	require.NoError(t, <-announced)

	// While Redis is away, each node knows of its own; afterwards of all again.
	server.Server().Close()
	members, err := one.Presence(t.Context(), rt.School, room)
	require.Error(t, err)
	require.Len(t, members, 1)
	require.NoError(t, server.Server().Restart())
	present(one, first.ID(), second.ID())

	two.Kill()
	present(one, first.ID())

	three := rt.Start(t, one.Log, with)
	third := rt.Listen(t, three, rt.User("mum", "admin"), realtime.Options{})
	present(one, first.ID(), third.ID())
	nodes, err := one.Nodes(t.Context())
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	require.EqualValues(t, 1, nodes[0].Connections)
	require.Equal(t, 1, nodes[0].Busiest[0].Sessions)
	require.NoError(t, one.Revoke(context.Background(), rt.School, "mum"))
	for _, r := range []*rt.Reader{first, third} {
		_, err := r.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
		require.Equal(t, realtime.CloseRevoked, err)
	}
}
