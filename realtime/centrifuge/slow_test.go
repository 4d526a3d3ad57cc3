package centrifuge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

func TestP6_ClientsThatNeverReadDelayNoOthers(t *testing.T) {
	n := rt.Start(t, nil, func(c *realtime.Config) { c.RingBytes = 1 << 20 })
	url := serve(t, n.Hub, func(c *centrifuge.Config) { c.WriteTimeout = 500 * time.Millisecond })
	connect := func(user string) *wstest.Client {
		c := wstest.Server{URL: url}.Dial(t)
		c.Send(
			wstest.Masked(ws.Text, `{"id":1,"connect":{"token":"`+user+` admin"}}`),
			wstest.Masked(ws.Text, `{"id":2,"subscribe":{"channel":"class:7a"}}`),
		)
		for range 2 {
			_, err := c.Next()
			require.NoError(t, err)
		}
		return c
	}
	rt.SlowClients(t, n, connect, "{}", "{}")
}

// A page subscribes to all its rooms at once, and again after each connect. However many there are,
// that is served: to be closed for it would be a storm of reconnects.
func TestABurstIsServed(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.MaxRooms = 280 })
	c := wstest.Server{URL: serve(t, n.Hub, func(c *centrifuge.Config) {
		c.CommandRate, c.CommandBurst = 2000, 10
	})}.Dial(t)
	c.Send(wstest.Masked(ws.Text, `{"id":1,"connect":{"token":"head admin"}}`))
	_, err := c.Next()
	require.NoError(t, err)
	var frame strings.Builder
	for i := range 300 {
		fmt.Fprintf(&frame, `{"id":%d,"subscribe":{"channel":"class:q%d"}}`+"\n", i+2, i)
	}
	c.Send(wstest.Masked(ws.Text, frame.String()))
	refused := 0
	for i := range 300 {
		f, err := c.Next()
		require.NoError(t, err)
		require.Equal(t, ws.Text, f.Op, "%q", f.Payload)
		require.Contains(t, string(f.Payload), fmt.Sprintf(`{"id":%d,`, i+2))
		if strings.Contains(string(f.Payload), `"code":106`) {
			refused++
		}
	}
	require.Equal(t, 22, refused, "those beyond the limit, and no others: two are the user's own")
	at := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "q277"))
	f, err := c.Next()
	require.NoError(t, err)
	require.Contains(t, string(f.Payload), at.String())
}

func TestAFloodEndsTheConnection(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	c := wstest.Server{URL: serve(t, n.Hub, func(c *centrifuge.Config) {
		c.CommandRate, c.CommandBurst, c.Patience = 50, 10, 50*time.Millisecond
	})}.Dial(t)
	c.Send(wstest.Masked(ws.Text, `{"id":1,"connect":{"token":"head admin"}}`))
	for range 50 {
		c.Send(wstest.Masked(ws.Text, `{"id":2,"ping":{}}`))
	}
	for {
		f, err := c.Next()
		require.NoError(t, err)
		if f.Op == ws.CloseFrame {
			require.Equal(t, "\x0b\xc5too many requests", string(f.Payload), "3013")
			return
		}
	}
}
