package realtimetest

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

// SlowClients checks that clients that never read delay no others: the others receive every event,
// memory stays bounded, and those that do not read are cut off. It is the same for every protocol
// over WebSocket. The server's write timeout must be short; connect opens a connection that has
// joined class:7a and has read everything up to its first event; ping and pong are the protocol's
// own. The test must not run in parallel to others, as it measures memory.
func SlowClients(
	t *testing.T, n *Node, connect func(user string) *wstest.Client, ping, pong string,
) {
	t.Helper()
	const (
		clients = 20  // that read, and as many that do not
		events  = 400 // of 14 KB: more than the kernel buffers for a connection
	)
	var readers []*wstest.Client
	for i := range clients {
		slow := connect("slow" + strconv.Itoa(i))
		require.NoError(t, slow.Conn.(*net.TCPConn).SetReadBuffer(4096))
		readers = append(readers, connect("reader"+strconv.Itoa(i)))
	}
	before := wstest.Heap()
	done := make(chan error, clients)
	for _, c := range readers {
		go func() { done <- readAll(c, events, ping, pong) }()
	}
	for i := range events {
		id := "n" + strconv.Itoa(i)
		notice := Notice(id, "7a").(*announcement.Posted)
		notice.Body = strings.Repeat("a lot to read ", 1000)
		Publish(t, n.Log, School, id, notice)
	}
	for range readers {
		require.NoError(t, <-done)
	}
	require.Eventually(t, func() bool {
		nodes, err := n.Nodes(t.Context())
		return err == nil && nodes[0].Connections == clients
	}, wstest.Timeout, 10*time.Millisecond, "clients that do not read must be cut off")
	// The log in memory and the ring remain, but no buffers of clients.
	require.Less(t, wstest.Heap()-before, int64(64<<20))
}

// readAll reads the events n0, n1 and so on, in order.
func readAll(c *wstest.Client, events int, ping, pong string) error {
	for i := 0; i < events; {
		// A deadline for each frame: how long all of them take depends on the machine.
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		f, err := c.Next()
		switch {
		case err != nil:
			return err
		case string(f.Payload) == ping:
			c.Send(wstest.Masked(ws.Text, pong))
		case strings.Contains(string(f.Payload), fmt.Sprintf(`"id":"n%d"`, i)):
			i++
		default:
			return fmt.Errorf("frame %d: %.200s", i, f.Payload)
		}
	}
	return nil
}
