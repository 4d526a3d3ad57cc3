package checkpoint

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
)

// pollInterval is how often the database is queried for positions while a reader waits.
const pollInterval = 5 * time.Millisecond

// Positions lets readers wait until the tables have reached a position. Where the projector runs in
// the same process it calls [Positions.Reached], and no query is needed; elsewhere the database is
// polled, once for all who wait, and only while there are any.
type Positions struct {
	acquire  func(context.Context) (*pgxpool.Conn, error)
	consumer string

	mu      sync.Mutex
	reached map[int32]int64 // offset of the last record in the tables, as far as is known here
	waiting map[int32][]*waiter
	wake    chan struct{} // holds a token when a waiter has come
}

type waiter struct {
	offset int64
	done   chan struct{}
}

// NewPositions watches the tables of a consumer, on connections that acquire returns.
func NewPositions(
	acquire func(context.Context) (*pgxpool.Conn, error), consumer string,
) *Positions {
	return &Positions{
		acquire: acquire, consumer: consumer,
		reached: map[int32]int64{}, waiting: map[int32][]*waiter{}, wake: make(chan struct{}, 1),
	}
}

// Reached records that the tables stand at a position, and releases the readers who wait for it.
func (p *Positions) Reached(at domain.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reached[at.Partition] = at.Offset
	p.remove(at.Partition, func(w *waiter) bool {
		if w.offset > at.Offset {
			return false
		}
		close(w.done)
		return true
	})
}

// remove forgets waiters, and with the last one that there are any, so that polling stops.
func (p *Positions) remove(partition int32, which func(*waiter) bool) {
	p.waiting[partition] = slices.DeleteFunc(p.waiting[partition], which)
	if len(p.waiting[partition]) == 0 {
		delete(p.waiting, partition)
	}
}

// Await returns when the tables have reached a position, or with the context's error.
func (p *Positions) Await(ctx context.Context, at domain.Position) error {
	p.mu.Lock()
	if offset, ok := p.reached[at.Partition]; ok && offset >= at.Offset {
		p.mu.Unlock()
		return nil
	}
	w := &waiter{offset: at.Offset, done: make(chan struct{})}
	p.waiting[at.Partition] = append(p.waiting[at.Partition], w)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(at.Partition, func(other *waiter) bool { return other == w })
	return ctx.Err()
}

// Waiting returns how many partitions have readers who wait.
func (p *Positions) Waiting() int { return len(p.partitions()) }

// Run polls the database while readers wait, until ctx ends. A query that fails is repeated: readers
// have time limits of their own.
func (p *Positions) Run(ctx context.Context) error {
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		}
		for ctx.Err() == nil {
			partitions := p.partitions()
			if len(partitions) == 0 {
				break
			}
			_ = p.poll(ctx, partitions)
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
	all := make([]int32, 0, len(p.waiting))
	for n := range p.waiting {
		all = append(all, n)
	}
	return all
}

func (p *Positions) poll(ctx context.Context, partitions []int32) error {
	conn, err := p.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	rows, _ := conn.Query(ctx, `SELECT partition, position - 1 FROM checkpoints
		WHERE set_name = $1 AND partition = ANY($2)`, p.consumer, partitions)
	var at domain.Position
	_, err = pgx.ForEachRow(rows, []any{&at.Partition, &at.Offset}, func() error {
		p.Reached(at)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read positions: %w", err)
	}
	return nil
}
