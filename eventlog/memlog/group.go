package memlog

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/schoolbell/schoolbell/eventlog"
)

// group shares out partitions among its members: partition p belongs to member p mod their number,
// and goes to it as soon as the one that had it before has let go.
type group struct {
	members   []*member
	holders   map[int32]*member
	committed map[int32]int64
}

type member struct{ running map[int32]context.CancelFunc }

// Committed returns the offset that was last committed for a partition, and false if none was yet.
func (l *Log) Committed(groupName string, partition int32) (next int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.groups[groupName]; g != nil {
		next, ok = g.committed[partition]
	}
	return next, ok
}

// Consume implements [eventlog.Group].
func (l *Log) Consume(
	parent context.Context, groupName string, work func(context.Context, eventlog.Assignment) error,
) error {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	m := &member{running: map[int32]context.CancelFunc{}}
	g := l.join(groupName, m)
	defer l.leave(g, m)
	var workers sync.WaitGroup
	defer workers.Wait() // before leaving

	for {
		assigned, changed := l.share(g, m)
		for _, n := range assigned {
			partCtx, cancel := context.WithCancel(ctx)
			m.running[n] = cancel
			workers.Go(func() {
				defer l.release(g, n)
				a := eventlog.Assignment{
					Partition: n, Committed: func(next int64) { l.commit(g, n, next) },
				}
				if err := work(partCtx, a); err != nil && partCtx.Err() == nil {
					fail(fmt.Errorf("work on partition %d: %w", n, err))
				}
				<-partCtx.Done() // one that ends early leaves its partition at rest
			})
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if parent.Err() != nil {
				return nil
			}
			return context.Cause(ctx)
		}
	}
}

func (l *Log) join(name string, m *member) *group {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[name]
	if g == nil {
		g = &group{holders: map[int32]*member{}, committed: map[int32]int64{}}
		l.groups[name] = g
	}
	g.members = append(g.members, m)
	l.notify()
	return g
}

func (l *Log) leave(g *group, m *member) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.members = slices.DeleteFunc(g.members, func(other *member) bool { return other == m })
	l.notify()
}

// share ends the member's work on partitions that are no longer its own, and returns those it has
// gained.
func (l *Log) share(g *group, m *member) (assigned []int32, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.parts {
		n := int32(i)
		mine := g.members[i%len(g.members)] == m
		switch holder := g.holders[n]; {
		case mine && holder == nil:
			g.holders[n] = m
			assigned = append(assigned, n)
		case !mine && holder == m:
			m.running[n]()
		}
	}
	return assigned, l.changed
}

func (l *Log) release(g *group, n int32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(g.holders, n)
	l.notify()
}

func (l *Log) commit(g *group, n int32, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g.committed[n] = next
}
