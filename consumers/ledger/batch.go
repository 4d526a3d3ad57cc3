package ledger

import (
	"context"
	"sync"
)

// batcher does together what goroutines request at the same time. Nothing waits for a batch to fill
// up: while one is being processed the next one gathers, so batches grow with the load.
type batcher[In, Out any] struct {
	queue chan *call[In, Out]
	limit int                                                  // of a batch
	do    func(ctx context.Context, batch []In) ([]Out, error) // one result for each, in order
}

type call[In, Out any] struct {
	in   In
	out  Out
	err  error
	done chan struct{}
}

func newBatcher[In, Out any](
	limit int, do func(context.Context, []In) ([]Out, error),
) *batcher[In, Out] {
	return &batcher[In, Out]{queue: make(chan *call[In, Out], limit), limit: limit, do: do}
}

// submit has one thing done and waits for the result. When ctx ends before, it may still be done.
func (b *batcher[In, Out]) submit(ctx context.Context, in In) (out Out, err error) {
	c := &call[In, Out]{in: in, done: make(chan struct{})}
	select {
	case b.queue <- c:
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		return out, context.Cause(ctx)
	}
}

// run processes batches, so many of them concurrently, until ctx ends.
func (b *batcher[In, Out]) run(ctx context.Context, concurrent int) {
	var g sync.WaitGroup
	for range concurrent {
		g.Go(func() {
			for {
				select {
				case c := <-b.queue:
					b.process(ctx, b.gather(c))
				case <-ctx.Done():
					return
				}
			}
		})
	}
	g.Wait()
}

func (b *batcher[In, Out]) gather(first *call[In, Out]) []*call[In, Out] {
	batch := []*call[In, Out]{first}
	for len(batch) < b.limit {
		select {
		case c := <-b.queue:
			batch = append(batch, c)
		default:
			return batch
		}
	}
	return batch
}

func (b *batcher[In, Out]) process(ctx context.Context, batch []*call[In, Out]) {
	in := make([]In, len(batch))
	for i, c := range batch {
		in[i] = c.in
	}
	out, err := b.do(ctx, in)
	for i, c := range batch {
		if c.err = err; err == nil {
			c.out = out[i]
		}
		close(c.done)
	}
}
