package ingest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
)

// readers read a log of one partition in simulated time.
type readers struct {
	log   *memlog.Log
	speed atomic.Int64 // records in a millisecond
	at    atomic.Int64
}

func (r *readers) run(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			_, end, _ := r.log.Bounds(ctx, 0)
			r.at.Store(min(end, r.at.Load()+10*r.speed.Load()))
		case <-ctx.Done():
			return
		}
	}
}

func (r *readers) positions(context.Context) ([]map[int32]int64, error) {
	return []map[int32]int64{{0: r.at.Load()}}, nil
}

// bubble is processes with pacers of their own, and a reader, in simulated time.
type bubble struct {
	readers readers
	writers []Writer
	tasks   sync.WaitGroup
}

func newBubble(ctx context.Context, processes int) *bubble {
	b := &bubble{readers: readers{log: memlog.New(1)}}
	b.readers.speed.Store(20)
	for range processes {
		p := NewPacer(PacerConfig{
			MaxLag: testLag, Partitions: 1, Readers: 1, Positions: b.readers.positions,
			Metrics: prometheus.NewRegistry(),
		})
		b.tasks.Go(func() { _ = p.Run(ctx) })
		b.writers = append(b.writers, Writer{
			Log: b.readers.log, Limit: time.Second, Pacer: p, Hold: 500 * time.Millisecond,
		})
	}
	b.tasks.Go(func() { b.readers.run(ctx) })
	return b
}

// ahead is how many records are before one that is appended now.
func (b *bubble) ahead(ctx context.Context) int {
	_, end, _ := b.readers.log.Bounds(ctx, 0)
	return int(end - b.readers.at.Load())
}

func records(n int) []eventlog.Record {
	all := make([]eventlog.Record, n)
	for i := range all {
		all[i].Value = []byte("{}")
	}
	return all
}

// Sixteen producers of one school send all they can to each of two processes, and come again when
// they are told. The neighbour's events are written without any delay, and what is ahead of them is
// bounded, although the hostile school has all that the reader can do.
func TestP11_ANeighbourOfAFloodIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := newBubble(ctx, 2)
		var hostile, refused atomic.Int64
		for i := range 32 {
			b.tasks.Go(func() {
				for ctx.Err() == nil {
					_, err := b.writers[i%2].Write(ctx, "hostile", records(maxEvents))
					if busy, ok := errors.AsType[*BusyError](err); ok {
						refused.Add(1)
						require.GreaterOrEqual(t, busy.RetryAfter, time.Second)
						time.Sleep(busy.RetryAfter) //nolint:forbidigo // in a bubble, this is the clock
					} else if err == nil {
						hostile.Add(maxEvents)
					}
				}
			})
		}
		const bound = 20*250*13/10 + 2*(guaranteed+refill)
		for range 500 {
			time.Sleep(20 * time.Millisecond) //nolint:forbidigo // as above
			require.LessOrEqual(t, b.ahead(ctx), bound)
			sent := time.Now()
			_, err := b.writers[0].Write(ctx, "small", records(5))
			require.NoError(t, err)
			require.Zero(t, time.Since(sent), "in simulated time")
		}
		require.Greater(t, hostile.Load(), int64(20*500*20*8/10), "and the reader is busy")
		require.NotZero(t, refused.Load())
		require.EqualValues(t, refused.Load(),
			testutil.ToFloat64(b.writers[0].Pacer.paced.WithLabelValues("refused"))+
				testutil.ToFloat64(b.writers[1].Pacer.paced.WithLabelValues("refused")))
		stop()
		b.tasks.Wait()
	})
}

func TestRecordsWaitForRoomOrAreRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := newBubble(ctx, 1)
		b.readers.speed.Store(0)
		w := b.writers[0]
		_, err := w.Write(ctx, "one", records(maxEvents))
		require.NoError(t, err)

		began := time.Now()
		_, err = w.Write(ctx, "one", records(maxEvents))
		require.ErrorAs(t, err, new(*BusyError))
		require.Equal(t, w.Hold, time.Since(began))

		w.Hold = 0 // as long as the context
		gone, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err = w.Write(gone, "one", records(maxEvents))
		require.ErrorIs(t, err, context.DeadlineExceeded)

		time.AfterFunc(time.Second, func() { b.readers.speed.Store(100) })
		_, err = w.Write(ctx, "one", records(maxEvents))
		require.NoError(t, err)
		require.Greater(t, time.Since(began), w.Hold+3*time.Second)

		// When the reader has stopped, and only then, nobody waits.
		b.readers.speed.Store(0)
		began = time.Now()
		for range 50 {
			_, err = w.Write(ctx, "one", records(maxEvents))
			require.NoError(t, err)
		}
		require.GreaterOrEqual(t, time.Since(began), patience-pollEvery)
		stop()
		b.tasks.Wait()
	})
}
