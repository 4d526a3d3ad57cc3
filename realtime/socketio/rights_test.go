package socketio_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/socketio"
)

// While the read models lag behind, joins that depend on them are refused and memberships end. A
// request is refused with a code that says to try again; a connection does so by itself.
func TestP10_UnknownRightsAreDenied(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "node", "npm")
	rights := &realtimetest.LateRights{Class: "a"}
	n := realtimetest.Start(t, nil, func(c *realtime.Config) { c.Rights = rights.Grants })
	url := "http://" + front(t, n, socketio.Config{})
	rights.Late.Store(true)
	waits := open(t, url, options{"token": "may:teacher", "rooms": []string{"class:a"}},
		transports["websocket"])
	requests := open(t, url, options{"token": "may:teacher"}, transports["websocket"])
	requests.see("connect")
	refused := map[string]any{
		"ok": false,
		"error": map[string]any{
			"code":    "unavailable",
			"message": realtime.ErrRightsUnavailable.Error(),
		},
	}
	require.Equal(t, refused, requests.emit("join", "class:a"))
	rights.Late.Store(false)
	requests.join("class:a")
	for s := waits.next(); s.Saw != "connect"; s = waits.next() {
		require.EqualValues(t, realtime.CloseReconnect.Code, s.Code, "%+v", s)
	}

	rights.Late.Store(true)
	realtimetest.Publish(t, n.Log, realtimetest.School, "1",
		&staff.Assigned{StaffID: "may", Name: "May", Role: "teacher", ClassIDs: []string{"a"}})
	for _, c := range []*client{waits, requests} {
		left := c.see("event")
		if left.Name == staff.TypeAssigned { // it is for herself, too
			left = c.see("event")
		}
		require.Equal(t, "left", left.Name)
		require.Equal(t, []any{map[string]any{"room": "class:a", "again": true}}, left.Args)
	}
}
