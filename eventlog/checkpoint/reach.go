package checkpoint

import (
	"context"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// reachTimeout bounds how long [Reach] waits. Tables that are further behind are as they are.
const reachTimeout = 2 * time.Second

// Reach returns a function that waits until the tables have what the log has when it is called, in
// some of its partitions. It does not wait for a log that does not respond, nor for tables that are
// far behind it.
func Reach(
	bounds func(ctx context.Context, partition int32) (start, end int64, err error),
	tables *Positions,
) func(ctx context.Context, partitions []int32) {
	return func(ctx context.Context, partitions []int32) {
		ctx, cancel := context.WithTimeout(ctx, reachTimeout)
		defer cancel()
		var all sync.WaitGroup
		for _, partition := range partitions {
			all.Go(func() {
				_, end, err := bounds(ctx, partition)
				if err != nil || end == 0 {
					return
				}
				_ = tables.Await(ctx, domain.Position{Partition: partition, Offset: end - 1})
			})
		}
		all.Wait()
	}
}
