package realtime_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// wire is a bus in memory. A client that is cut off neither sends nor receives.
type wire struct {
	mu      sync.Mutex
	clients []*wireClient
}

type wireClient struct {
	wire     *wire
	cut      bool
	channels []string
	inbox    chan []byte
}

func (w *wire) client() *wireClient {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := &wireClient{wire: w, inbox: make(chan []byte, 1000)}
	w.clients = append(w.clients, c)
	return c
}

func (c *wireClient) Publish(_ context.Context, channel string, message []byte) error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	for _, to := range c.wire.clients {
		if !c.cut && !to.cut && slices.Contains(to.channels, channel) {
			to.inbox <- message
		}
	}
	return nil
}

func (c *wireClient) Subscribe(ctx context.Context, channels []string, handle func([]byte)) error {
	c.wire.mu.Lock()
	c.channels = channels
	c.wire.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-c.inbox:
			handle(m)
		}
	}
}

func (c *wireClient) cutOff() {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	c.cut = true
}

// Presence is collected from all nodes. It does not wait for a node that has stopped, nor for long
// for one that has crashed.
func TestNodesWaitForLivePeersOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var w wire
		var buses []*wireClient
		var nodes []*rt.Node
		room := domain.Room{Kind: domain.RoomUser, ID: "mum"}
		for range 4 {
			bus := w.client()
			buses = append(buses, bus)
			n := rt.Start(t, nil, func(c *realtime.Config) { c.Bus = bus })
			nodes = append(nodes, n)
			rt.Listen(t, n, rt.User("mum", "guardian"), realtime.Options{})
		}
		synctest.Wait() // until all listen
		presence := func(n *rt.Node) (members int, took time.Duration) {
			began := time.Now()
			found, err := n.Presence(t.Context(), rt.School, room)
			require.NoError(t, err)
			return len(found), time.Since(began)
		}
		members, _ := presence(nodes[3])
		require.Equal(t, 4, members, "a node that has just started knows the others")
		<-time.After(3 * time.Second) // simulated by synctest
		members, took := presence(nodes[0])
		require.Equal(t, 4, members)
		require.Zero(t, took, "all have replied")

		nodes[1].Kill()
		synctest.Wait()
		members, took = presence(nodes[0])
		require.Equal(t, 3, members)
		require.Zero(t, took, "it has said goodbye")

		buses[2].cutOff() // as by a kill -9
		members, took = presence(nodes[0])
		require.Equal(t, 2, members)
		require.Equal(t, 300*time.Millisecond, took, "it might be slow")
		<-time.After(4 * time.Second) // simulated by synctest
		members, took = presence(nodes[0])
		require.Equal(t, 2, members)
		require.Zero(t, took, "it is dead")
	})
}
