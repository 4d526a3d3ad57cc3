package centrifuge_test

import (
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
