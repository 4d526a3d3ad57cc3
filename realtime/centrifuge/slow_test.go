package centrifuge_test

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

// Sockets that are never read hold back nobody but themselves, and are gone after a while.
func TestClientsThatNeverReadDisturbNobody(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, func(c *realtime.Config) { c.RingBytes = 1 << 20 })
	server := wstest.Server{URL: serve(t, n.Hub, func(c *centrifuge.Config) { c.WriteTimeout = 500 * time.Millisecond })}
	dial := func(user string) *wstest.Client {
		c := server.Dial(t)
		c.Send(wstest.Masked(ws.Text, `{"id":1,"connect":{"token":"`+user+` admin"}}`), wstest.Masked(ws.Text, `{"id":2,"subscribe":{"channel":"class:7a"}}`))
		for range 2 {
			_, err := c.Next()
			require.NoError(t, err)
		}
		return c
	}
	const events = 400
	var deaf, well []*wstest.Client
	for i := range 20 {
		deaf = append(deaf, dial("deaf"+strconv.Itoa(i)))
	}
	for i := range 20 {
		well = append(well, dial("well"+strconv.Itoa(i)))
	}
	read := make(chan error, len(well))
	for _, c := range well {
		go func() {
			for i := 0; i < events; {
				_ = c.SetDeadline(time.Now().Add(time.Minute)) // of each frame: how long all take is the machine's affair
				f, err := c.Next()
				switch {
				case err != nil:
				case string(f.Payload) == "{}": // on a machine that is busy there may be pings
					c.Send(wstest.Masked(ws.Text, "{}"))
				case strings.Contains(string(f.Payload), `"announcement_id":"n`+strconv.Itoa(i)+`"`):
					i++
				default:
					err = fmt.Errorf("frame %d: %.200s", i, f.Payload)
				}
				if err != nil {
					read <- err
					return
				}
			}
			read <- nil
		}()
	}
	for i := range events {
		id := "n" + strconv.Itoa(i)
		rt.Publish(t, n.Log, rt.School, id, &announcement.Posted{
			AnnouncementID: id, Title: "long", Body: strings.Repeat("a lot to read ", 1000), Channels: []string{announcement.InApp},
			Audience: announcement.Audience{ClassIDs: []string{"7a"}},
		})
	}
	for range well {
		require.NoError(t, <-read)
	}
	require.Eventually(t, func() bool {
		nodes, err := n.Nodes(t.Context())
		return err == nil && nodes[0].Connections == int64(len(well))
	}, 10*time.Second, 10*time.Millisecond, "those who do not read are gone")
	for _, c := range deaf {
		_, err := io.Copy(io.Discard, c.Conn)
		_ = err // cut off in the middle of a frame, or reset
	}
}
