package router_test

import (
	"context"
	"sync"

	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/eventlog"
)

// positions stores positions in memory.
type positions struct {
	mu     sync.Mutex
	stored map[reader]*position
}

type reader struct {
	topic, group string
	partition    int32
}

type position struct{ next, epoch int64 }

func newPositions() *positions { return &positions{stored: map[reader]*position{}} }

func (p *positions) Claim(
	_ context.Context, group string, topic eventlog.Topic, partition int32,
) (next, epoch int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := reader{topic.Name, group, partition}
	at := p.stored[key]
	if at == nil {
		at = &position{}
		p.stored[key] = at
	}
	at.epoch++
	return at.next, at.epoch, nil
}

func (p *positions) Save(
	_ context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64,
	_ eventlog.Mark,
) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.stored[reader{topic.Name, group, partition}]
	if at.epoch != epoch {
		return router.ErrFenced
	}
	at.next = next
	return nil
}
