package redis_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/cache"
)

// tables is the model that the cache is held against: which of the events change the school's fees.
type tables struct {
	mu     sync.RWMutex
	counts []int64 // by offset: how many changes there are up to it
}

func (m *tables) commit(changes bool) (offset int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	offset = int64(len(m.counts))
	var n int64
	if offset > 0 {
		n = m.counts[offset-1]
	}
	if changes {
		n++
	}
	m.counts = append(m.counts, n)
	return offset
}

func (m *tables) end() int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return int64(len(m.counts)) - 1
}

func (m *tables) count(offset int64) int64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.counts[offset]
}

// TestP7_NoAnswerIsOlderThanItSays races readers with an owner that commits, dies between a commit
// and its notice, and comes back as a zombie; the server is flushed, cut off and falls silent.
// Every answer must be exactly the one at the position that it claims, and not older than what was
// asked for.
func TestP7_NoAnswerIsOlderThanItSays(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		w := newWire(t, address)
		direct := goredis.NewClient(&goredis.Options{Addr: address})
		defer direct.Close()
		writing, reading := openImpatient(t, w.Addr().String()), openImpatient(t, w.Addr().String())
		model := &tables{}
		model.commit(false)
		ctx, stop := context.WithCancel(t.Context())
		var hits, answers atomic.Int64
		var g errgroup.Group
		for range 4 {
			shared := numbers(reading)
			for range 2 {
				g.Go(func() error { return read(ctx, model, shared, &hits, &answers) })
			}
		}
		g.Go(func() error {
			defer stop()
			return own(t, model, writing, direct, w, &hits)
		})
		require.NoError(t, g.Wait())
		require.Greater(t, hits.Load(), int64(100), "of %d answers", answers.Load())
	})
}

// read asks until ctx ends and compares each answer with the model.
func read(
	ctx context.Context, model *tables, answers *cache.ReadThrough[int64], hits,
	total *atomic.Int64,
) error {
	for ctx.Err() == nil {
		least := int64(-1)
		if rand.IntN(2) == 0 {
			least = model.end()
		}
		n, offset, outcome, err := answers.Get(context.Background(), ask(least, "fees"),
			func(context.Context) (int64, cache.Snapshot, error) {
				offset := model.end()
				n := model.count(offset)
				if rand.IntN(4) == 0 {
					time.Sleep(time.Duration(rand.IntN(500)) * time.Microsecond) //nolint:forbidigo // a slow reader: it must not put an old answer back
				}
				return n, cache.Snapshot{Offset: offset}, nil
			})
		if err != nil {
			return err
		}
		total.Add(1)
		if outcome == cache.Hit {
			hits.Add(1)
		}
		if want := model.count(offset); n != want || offset < least {
			return fmt.Errorf("%s: answer %d at %d, want %d; at least %d was asked for", outcome, n,
				offset, want, least)
		}
	}
	return nil
}

// own is the projector's side, with everything that can go wrong there.
func own(
	t *testing.T, model *tables, c *redis.Cache, direct *goredis.Client, w *wire,
	hits *atomic.Int64,
) error {
	ctx := context.Background()
	epoch := int64(1)
	n := notifier(t, c)
	// what fails is made good later; that is what is tested
	_ = n.Claimed(ctx, at(model.end()), epoch, 0)
	var zombie *redis.Notifier
	// while the wire is cut, a turn takes no time
	for i := 0; i < 1500 || hits.Load() <= 100 && i < 2_000_000; i++ {
		changes := rand.IntN(5) == 0
		offset := model.commit(changes)
		var change []*projections.Change
		if changes {
			change = changed(-1, offset)
		}
		switch rand.IntN(60) {
		case 0: // dies before it can tell; another process takes over
			zombie, n = n, notifier(t, c)
			epoch++
			_ = n.Claimed(ctx, at(offset), epoch, 0)
			continue
		case 1:
			if zombie != nil {
				_ = zombie.Committed(ctx, at(offset-1), epoch-1, changed(-1, max(0, offset-3)))
			}
		case 2:
			if err := direct.FlushAll(ctx).Err(); err != nil {
				return err
			}
		case 3:
			w.set(true, false)
		case 4, 5, 6, 7:
			w.set(false, false)
		case 8:
			if i%3 == 0 {
				w.set(false, true)
			}
		}
		_ = n.Committed(ctx, at(offset), epoch, change)
	}
	w.set(false, false)
	return nil
}
