package ledger

import (
	"context"
	"sync"
)

// batcher collects what goroutines want done at the same time, and does it together. There is no waiting for company:
// while one batch is being done the next one gathers.
type batcher[In, Out any] struct {
	queue chan *call[In, Out]
	limit int
	do    func(ctx context.Context, batch []In) ([]Out, error) // an answer for each, in order
}

type call[In, Out any] struct {
	in   In
	out  Out
	err  error
	done chan struct{}
}

func newBatcher[In, Out any](most int, do func(context.Context, []In) ([]Out, error)) *batcher[In, Out] {
	return &batcher[In, Out]{queue: make(chan *call[In, Out], most), limit: most, do: do}
}

// submit has one thing done and waits for it. When ctx ends before, it may still be done.
func (b *batcher[In, Out]) submit(ctx context.Context, in In) (Out, error) {
	c := &call[In, Out]{in: in, done: make(chan struct{})}
	var nothing Out
	select {
	case b.queue <- c:
	case <-ctx.Done():
		return nothing, context.Cause(ctx)
	}
	select {
	case <-c.done:
		return c.out, c.err
	case <-ctx.Done():
		return nothing, context.Cause(ctx)
	}
}

// run does batches, up to so many at the same time, until ctx ends.
func (b *batcher[In, Out]) run(ctx context.Context, atOnce int) {
	var g sync.WaitGroup
	for range atOnce {
		g.Go(func() {
			for {
				var batch []*call[In, Out]
				select {
				case c := <-b.queue:
					batch = append(batch, c)
				case <-ctx.Done():
					return
				}
				b.process(ctx, b.gather(batch))
			}
		})
	}
	g.Wait()
}

func (b *batcher[In, Out]) gather(batch []*call[In, Out]) []*call[In, Out] {
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
