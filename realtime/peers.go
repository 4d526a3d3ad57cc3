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
	helloEvery = time.Second
	goneAfter  = 3 * helloEvery         // who has not been heard for so long is dead
	byeTime    = 500 * time.Millisecond // for the last word of a node that stops
)

// peers are the other nodes that have been heard of lately.
type peers struct {
	now   func() time.Time
	mu    sync.Mutex
	heard map[string]time.Time
	known time.Time // from when on all nodes are known that are alive
}

// begin notes that this node says hello from now on: those that hear it answer.
func (p *peers) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known = p.now().Add(2 * helloEvery)
}

// note remembers that a node is alive, and reports that it is new.
func (p *peers) note(node string) (isNew bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard == nil {
		p.heard = map[string]time.Time{}
	}
	_, known := p.heard[node]
	p.heard[node] = p.now()
	return !known
}

func (p *peers) forget(node string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.heard, node)
}

// alive lists the nodes whose answers are worth waiting for, and whether there may be others.
func (p *peers) alive() (nodes []string, maybeMore bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	maps.DeleteFunc(p.heard, func(_ string, at time.Time) bool { return now.Sub(at) > goneAfter })
	return slices.Collect(maps.Keys(p.heard)), p.known.IsZero() || now.Before(p.known)
}

// greet says hello until ctx ends, and then goodbye. What is not heard is said again.
func (h *Hub) greet(ctx context.Context) error {
	tick := time.NewTicker(helloEvery)
	defer tick.Stop()
	h.peers.begin()
	for {
		_ = h.say(ctx, message{Kind: sayHello})
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeTime)
			defer cancel()
			_ = h.say(ctx, message{Kind: sayBye})
			return nil
		case <-tick.C:
		}
	}
}
