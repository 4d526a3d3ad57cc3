package realtime_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

func TestASessionReplacesTheOneWithItsKey(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.MaxPerUser = 2; c.MaxSessions = 3 })
	ann := rt.User("ann", "admin")
	other := rt.Listen(t, n, ann, realtime.Options{Key: "tablet"})
	bob := rt.Listen(t, n, rt.User("bob", "admin"), realtime.Options{Key: "phone"})
	last := rt.Listen(t, n, ann, realtime.Options{Key: "phone"})
	for range 5 {
		next := rt.Listen(t, n, ann, realtime.Options{Key: "phone"})
		_, err := last.Until(t, func(_ []realtime.Delivery, err error) bool { return err != nil })
		require.ErrorIs(t, err, realtime.CloseReplaced)
		require.Empty(t, last.Rooms())
		last = next
	}
	_, err := rt.TryListen(t, n, ann, realtime.Options{Key: "laptop"})
	require.Error(t, err, "the limits are as before")
	at := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	for _, r := range []*rt.Reader{other, bob, last} {
		r.Reaches(t, at)
		_, err := r.Join(t.Context(), class("a"), nil)
		require.NoError(t, err)
	}
}

// What is in memory is served, however far other schools have moved the log on.
func TestP6_AQuietSchoolIsServedBeyondTheMaximumLag(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, memlog.New(1), func(c *realtime.Config) { c.MaxLag = 100 })
	before := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "quiet"))
	missed := rt.Publish(t, n.Log, rt.School, "2", rt.Notice("2", "quiet"))
	for i := range 300 {
		id := "x" + strconv.Itoa(i)
		rt.Publish(t, n.Log, "busy", id, rt.Notice(id, "a"))
	}
	from := &domain.LogPosition{Position: before}
	r := rt.Listen(t, n, rt.User("head", "admin"),
		realtime.Options{From: from, Rooms: []domain.Room{class("quiet")}})
	require.Equal(t, []int64{missed.Offset}, r.Positions(t, missed))
	probe := rt.Listen(t, n, rt.User("head", "admin"), realtime.Options{})
	joined, err := probe.Join(t.Context(), class("quiet"), from)
	require.NoError(t, err)
	require.Len(t, joined.Missed, 1)
}
