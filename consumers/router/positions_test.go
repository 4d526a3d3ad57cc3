package router_test

import (
	"context"
	"sync"

	"github.com/schoolbell/schoolbell/consumers/router"
	"github.com/schoolbell/schoolbell/eventlog"
)

// positions keeps positions in memory.
type positions struct {
	mu   sync.Mutex
	kept map[place]*position
}

type place struct {
	topic, group string
	partition    int32
}

type position struct{ next, epoch int64 }

func newPositions() *positions { return &positions{kept: map[place]*position{}} }

func (p *positions) Claim(_ context.Context, group string, topic eventlog.Topic, partition int32) (next, epoch int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := place{topic.Name, group, partition}
	if p.kept[key] == nil {
		p.kept[key] = &position{}
	}
	p.kept[key].epoch++
	return p.kept[key].next, p.kept[key].epoch, nil
}

func (p *positions) Save(_ context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.kept[place{topic.Name, group, partition}]
	if at.epoch != epoch {
		return router.ErrFenced
	}
	at.next = next
	return nil
}
