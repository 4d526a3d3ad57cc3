package httpapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
)

// pollInterval is how often the database is asked for positions while somebody waits.
const pollInterval = 5 * time.Millisecond

// Positions lets readers wait until the tables have reached a position. It hears of them from the projector, when that
// runs in this process (it is a [projections.Notifier]), and otherwise asks the database, once for all who wait.
type Positions struct {
	pool *postgres.Pool
	set  string

	mu       sync.Mutex
	known    map[int32]int64
	waiting  map[int32][]*waiter
	somebody chan struct{} // holds a token when a waiter has come
}

type waiter struct {
	offset  int64
	reached chan struct{}
}

var _ projections.Notifier = (*Positions)(nil)

// NewPositions watches the tables of a set.
func NewPositions(pool *postgres.Pool, set string) *Positions {
	return &Positions{
		pool: pool, set: set,
		known: map[int32]int64{}, waiting: map[int32][]*waiter{}, somebody: make(chan struct{}, 1),
	}
}

// Claimed implements [projections.Notifier].
func (p *Positions) Claimed(_ context.Context, at domain.Position, _, _ int64) error {
	return p.reached(at)
}

// Committed implements [projections.Notifier].
func (p *Positions) Committed(_ context.Context, at domain.Position, _ int64, _ []*projections.Change) error {
	return p.reached(at)
}

// Heartbeat implements [projections.Notifier].
func (p *Positions) Heartbeat(_ context.Context, at domain.Position, _ int64) error {
	return p.reached(at)
}

func (p *Positions) reached(at domain.Position) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known[at.Partition] = at.Offset
	p.waiting[at.Partition] = slices.DeleteFunc(p.waiting[at.Partition], func(w *waiter) bool {
		if w.offset > at.Offset {
			return false
		}
		close(w.reached)
		return true
	})
	if len(p.waiting[at.Partition]) == 0 {
		delete(p.waiting, at.Partition)
	}
	return nil
}

// Await returns when the tables have reached a position, or with the context's error.
func (p *Positions) Await(ctx context.Context, at domain.Position) error {
	p.mu.Lock()
	if known, ok := p.known[at.Partition]; ok && known >= at.Offset {
		p.mu.Unlock()
		return nil
	}
	w := &waiter{offset: at.Offset, reached: make(chan struct{})}
	p.waiting[at.Partition] = append(p.waiting[at.Partition], w)
	p.mu.Unlock()
	select {
	case p.somebody <- struct{}{}:
	default:
	}
	select {
	case <-w.reached:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting[at.Partition] = slices.DeleteFunc(p.waiting[at.Partition], func(other *waiter) bool { return other == w })
	if len(p.waiting[at.Partition]) == 0 {
		delete(p.waiting, at.Partition)
	}
	return ctx.Err()
}

// Run asks the database while somebody waits, until ctx ends. What it cannot learn, it tries to learn again: those who
// wait have time limits of their own.
func (p *Positions) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.somebody:
		}
		for ctx.Err() == nil {
			partitions := p.partitions()
			if len(partitions) == 0 {
				break
			}
			_ = p.ask(ctx, partitions)
			select {
			case <-ctx.Done():
			case <-ticker.C:
			}
		}
	}
}

func (p *Positions) partitions() []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	ps := make([]int32, 0, len(p.waiting))
	for n := range p.waiting {
		ps = append(ps, n)
	}
	return ps
}

func (p *Positions) ask(ctx context.Context, partitions []int32) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	rows, err := conn.Query(ctx, `SELECT partition, position - 1 FROM checkpoints WHERE set_name = $1 AND partition = ANY($2)`,
		p.set, partitions)
	if err != nil {
		return fmt.Errorf("ask for positions: %w", err)
	}
	defer rows.Close()
	var errs []error
	for rows.Next() {
		var at domain.Position
		if err := rows.Scan(&at.Partition, &at.Offset); err != nil {
			return fmt.Errorf("read positions: %w", err)
		}
		errs = append(errs, p.reached(at))
	}
	return errors.Join(append(errs, rows.Err())...)
}
