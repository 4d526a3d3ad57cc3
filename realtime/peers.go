package realtime

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Each node says hello to all others, so that who asks them something knows whose answers to wait for. How many
// listeners a message had, the bus cannot tell: a cluster of Redis counts those of one server only.
const (
	helloInterval = time.Second
	deadAfter     = 3 * helloInterval      // who has not been heard for so long is dead
	byeTimeout    = 500 * time.Millisecond // for the last word of a node that stops
)

// peers are the other nodes that have been heard of lately.
type peers struct {
	now        func() time.Time
	mu         sync.Mutex
	lastSeen   map[string]time.Time
	completeAt time.Time // from when on all nodes are known that are alive
}

// begin notes that this node says hello from now on: those that hear it answer.
func (p *peers) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.completeAt = p.now().Add(2 * helloInterval)
}

// seen remembers that a node is alive, and reports that it is new.
func (p *peers) seen(node string) (isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lastSeen == nil {
		p.lastSeen = map[string]time.Time{}
	}
	_, known := p.lastSeen[node]
	p.lastSeen[node] = p.now()
	return !known
}

func (p *peers) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lastSeen, node)
}

// alive lists the nodes whose answers are worth waiting for, and whether there may be others.
func (p *peers) alive() (nodes []string, maybeMore bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	maps.DeleteFunc(p.lastSeen, func(_ string, at time.Time) bool { return now.Sub(at) > deadAfter })
	return slices.Collect(maps.Keys(p.lastSeen)), p.completeAt.IsZero() || now.Before(p.completeAt)
}

// sendHellos says hello until ctx ends, and then goodbye. What is not heard is said again.
func (h *Hub) sendHellos(ctx context.Context) error {
	tick := time.NewTicker(helloInterval)
	defer tick.Stop()
	h.peers.begin()
	for {
		_ = h.broadcast(ctx, message{Kind: kindHello})
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeTimeout)
			defer cancel()
			_ = h.broadcast(ctx, message{Kind: kindBye})
			return nil
		case <-tick.C:
		}
	}
}
