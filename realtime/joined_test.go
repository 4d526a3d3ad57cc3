package realtime_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// Whoever enters a room is reported before they hear of anything, as is who is refused; and nobody
// enters who could not be.
func TestWhoEntersARoomIsReported(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var entered []string
	var full error
	n := rt.Start(t, nil, func(c *realtime.Config) {
		c.Rights = school().Grants
		c.Joined = func(who realtime.Identity, at string, room domain.Room, refused bool) error {
			mu.Lock()
			defer mu.Unlock()
			line := who.Subject + " " + room.String()
			if room == (domain.Room{}) {
				line = who.Subject + " of " + who.School + " at " + at
			} else {
				require.Equal(t, rt.School, at)
			}
			if refused {
				line += " refused"
			}
			entered = append(entered, line)
			return full
		}
	})
	ann := domain.Room{Kind: domain.RoomStudent, ID: "ann"}
	s, err := n.Open(t.Context(), rt.User("mum", "guardian"), realtime.Options{
		School: rt.School, Rooms: []domain.Room{ann}, Wake: func(*realtime.Slot) {},
	})
	require.NoError(t, err)
	defer s.End()
	_, err = s.Join(t.Context(), domain.Room{Kind: domain.RoomStudent, ID: "other"}, nil)
	require.ErrorIs(t, err, realtime.ErrDenied)
	_, err = n.Open(t.Context(), rt.User("mum", "guardian"), realtime.Options{
		School: "south", Rooms: []domain.Room{ann}, Wake: func(*realtime.Slot) {},
	})
	require.ErrorIs(t, err, realtime.ErrDenied)
	require.Equal(t, []string{
		"mum user:mum", "mum role:guardian", "mum student:ann", "mum student:other refused",
		"mum of " + rt.School + " at south refused",
	}, entered)
	mu.Lock()
	full = errors.New("no room for a record")
	mu.Unlock()
	_, err = s.Join(t.Context(), domain.Room{Kind: domain.RoomClass, ID: "7a"}, nil)
	require.ErrorIs(t, err, realtime.ErrRightsUnavailable)
}
