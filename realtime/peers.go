package realtime

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

// Each node says hello to all others, so that a node that sends a request knows whose replies to
// wait for. The bus cannot say how many subscribers a message had: in a Redis cluster PUBLISH
// counts only the subscribers of one server.
const (
	helloInterval = time.Second
	deadAfter     = 3 * helloInterval // a peer silent for this long is considered dead
	byeTimeout    = 500 * time.Millisecond
)

// peers are the other nodes, as far as this one has received messages from them.
type peers struct {
	now        func() time.Time
	mu         sync.Mutex
	lastSeen   map[string]time.Time
	completeAt time.Time // from then on every node that is alive is in lastSeen
}

// begin notes that this node says hello from now on, which the others answer at once.
func (p *peers) begin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.completeAt = p.now().Add(2 * helloInterval)
}

// seen notes that a node is alive, and reports whether it is new.
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

// alive lists the nodes whose replies are worth waiting for, and reports whether there may be
// others because this node has only just started.
func (p *peers) alive() (nodes []string, maybeMore bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	maps.DeleteFunc(p.lastSeen,
		func(_ string, at time.Time) bool { return now.Sub(at) > deadAfter })
	return slices.Collect(maps.Keys(p.lastSeen)), p.completeAt.IsZero() || now.Before(p.completeAt)
}

// sendHellos says hello until ctx ends, and then goodbye, so that the others stop waiting for this
// node at once. Errors are ignored: the next hello follows in a second, and [deadAfter] replaces a
// lost goodbye.
func (h *Hub) sendHellos(ctx context.Context) error {
	hello := func() { _ = h.broadcast(ctx, message{Kind: kindHello}) }
	h.peers.begin()
	hello()
	_ = every(ctx, helloInterval, hello)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), byeTimeout)
	defer cancel()
	_ = h.broadcast(ctx, message{Kind: kindBye})
	return nil
}
