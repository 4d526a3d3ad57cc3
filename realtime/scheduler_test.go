package realtime_test

import (
	"context"
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// crowd opens more sessions in a class than the scheduler has slots. All are asleep when it
// returns; woken is called when they are woken.
func crowd(t *testing.T, n *rt.Node, name string, woken func(*realtime.Session, *realtime.Slot)) {
	t.Helper()
	for i := range 2*runtime.GOMAXPROCS(0) + 1 {
		var s *realtime.Session
		s, err := n.Open(t.Context(), rt.User("crowd"+strconv.Itoa(i), "admin"), realtime.Options{
			Rooms: []domain.Room{class(name)},
			Wake:  func(slot *realtime.Slot) { woken(s, slot) },
		})
		require.NoError(t, err)
		t.Cleanup(s.End)
		got, err := s.Next(t.Context(), nil, nil)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

// receives requires that a session still receives events while a crowd holds or releases its slots.
func receives(t *testing.T, n *rt.Node, r *rt.Reader, name string) {
	t.Helper()
	pos := rt.Publish(t, n.Log, rt.School, "to "+name, rt.Notice("n", name))
	r.Positions(t, pos)
}

func TestReleasedSlotDelaysNoOthers(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	over := make(chan struct{})
	crowd(t, n, "a", func(_ *realtime.Session, slot *realtime.Slot) {
		slot.Release()
		slot.Release() // again is harmless
		<-over
	})
	other := rt.Listen(t, n, rt.User("other", "admin"),
		realtime.Options{Rooms: []domain.Room{class("b")}})
	t.Cleanup(func() { close(over) })
	rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "a"))
	receives(t, n, other, "b")
}

// Here only Next releases slots.
func TestCatchingUpHoldsNoSlot(t *testing.T) {
	t.Parallel()
	for name, ringBytes := range map[string]int{"much in its rooms": 0, "from the log": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := rt.Start(t, nil, func(c *realtime.Config) { c.RingBytes = ringBytes })
			begin, over := make(chan struct{}), make(chan struct{})
			const events = 1000
			crowd(t, n, "a", func(s *realtime.Session, slot *realtime.Slot) {
				<-begin
				for received := 0; received < events; {
					got, err := s.Next(context.Background(), slot, nil)
					if err != nil || len(got) == 0 {
						return
					}
					received += len(got)
				}
				<-over
			})
			other := rt.Listen(t, n, rt.User("other", "admin"),
				realtime.Options{Rooms: []domain.Room{class("b")}})
			t.Cleanup(func() { close(over) })
			var last domain.Position
			for i := range events {
				last = rt.Publish(t, n.Log, rt.School, strconv.Itoa(i), rt.Notice("n", "a"))
			}
			other.Reaches(t, last)
			close(begin)
			receives(t, n, other, "b")
		})
	}
}
