package logtest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
)

// assignments records which member works on which partition, and fails the test when two share one.
type assignments struct {
	t       *testing.T
	mu      sync.Mutex
	holders map[int32]string
}

func (o *assignments) work(member string) func(context.Context, eventlog.Assignment) error {
	return func(ctx context.Context, a eventlog.Assignment) error {
		o.mu.Lock()
		if other, taken := o.holders[a.Partition]; taken {
			o.t.Errorf("%s was given partition %d, which %s still has", member, a.Partition, other)
		}
		o.holders[a.Partition] = member
		o.mu.Unlock()
		<-ctx.Done()
		o.mu.Lock()
		delete(o.holders, a.Partition)
		o.mu.Unlock()
		return ctx.Err()
	}
}

// shares returns how many partitions each member has, sorted.
func (o *assignments) shares() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	count := map[string]int{}
	for _, m := range o.holders {
		count[m]++
	}
	var shares []int
	for _, n := range count {
		shares = append(shares, n)
	}
	slices.Sort(shares)
	return shares
}

// join makes a member; the returned function takes it out and waits.
func (o *assignments) join(h *Harness, member string) (leave func()) {
	log := h.Open(o.t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- log.Consume(ctx, o.t.Name(), o.work(member)) }()
	leave = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			o.t.Errorf("%s: consume: %v", member, err)
		}
	})
	o.t.Cleanup(leave)
	return leave
}

// Every partition has one worker at a time; shares are even; a member that joins gets some
// partitions and one that leaves gives up all.
func testGroup(t *testing.T, h *Harness) {
	o := &assignments{t: t, holders: map[int32]string{}}
	shared := func(want ...int) {
		t.Helper()
		eventually(t, "the partitions are shared out",
			func() bool { return slices.Equal(o.shares(), want) })
	}
	n := int(h.Partitions)
	leaveA := o.join(h, "a")
	shared(n)
	leaveB := o.join(h, "b")
	shared(n/2, n-n/2)
	leaveA()
	shared(n)
	leaveC := o.join(h, "c")
	shared(n/2, n-n/2)
	leaveB()
	leaveC()
	shared()
}

func testWorkerFails(t *testing.T, h *Harness) {
	log := h.Open(t)
	broken := errors.New("broken")
	err := log.Consume(t.Context(), t.Name(),
		func(ctx context.Context, a eventlog.Assignment) error {
			if a.Partition == 1 {
				return broken
			}
			<-ctx.Done()
			return ctx.Err()
		})
	require.ErrorIs(t, err, broken)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(
		t,
		log.Consume(ctx, t.Name(),
			func(context.Context, eventlog.Assignment) error { return broken }),
	)
}

func testCommitted(t *testing.T, h *Harness) {
	log := h.Open(t)
	mustAppend(t, log, schoolIn(h, 1), records(0, 9)...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	var late func(int64)
	var mu sync.Mutex
	go func() {
		done <- log.Consume(ctx, t.Name(), func(ctx context.Context, a eventlog.Assignment) error {
			if a.Partition == 1 {
				mu.Lock()
				late = a.Committed
				mu.Unlock()
				a.Committed(4)
			}
			<-ctx.Done()
			if a.Partition == 1 {
				a.Committed(9) // what is done last counts too
			}
			return nil
		})
	}()
	committed := func(want int64) func() bool {
		return func() bool {
			next, ok := h.Committed(t, t.Name(), 1)
			return ok && next == want
		}
	}
	eventually(t, "offsets are committed while the member works", committed(4))
	cancel()
	require.NoError(t, <-done)
	eventually(t, "offsets are committed at the end", committed(9))
	mu.Lock()
	defer mu.Unlock()
	require.NotPanics(t, func() { late(9) }, "after the partition is lost")
}
