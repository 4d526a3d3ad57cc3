package realtime_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/realtime"
	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
)

// countingLog counts the records that are fetched.
type countingLog struct {
	*memlog.Log
	records atomic.Int64
}

func (c *countingLog) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	b, err := c.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	c.records.Add(int64(len(b.Records)))
	return b, err
}

// knownEvents is an index that a test makes of what it publishes.
type knownEvents struct {
	mu      sync.Mutex
	offsets map[string][]int64
	through int64
	err     error
}

func (k *knownEvents) Find(
	_ context.Context, school string, _ int32, from int64, limit int,
) (found eventlog.Found, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, offset := range k.offsets[school] {
		if offset < from {
			continue
		}
		found.Offsets = append(found.Offsets, offset)
		if len(found.Offsets) == limit {
			found.Through = offset + 1
			return found, k.err
		}
	}
	found.Through = k.through
	return found, k.err
}

// A quiet school's client comes back after its neighbours have published thousands of events, so
// that the ring has forgotten its own. It gets each of them, once and in order, and nothing of the
// neighbours' is read for it; the newest, which the index does not reach, come from the log as ever.
func TestP11_AResumedSessionReadsItsOwnPartOfTheLog(t *testing.T) {
	t.Parallel()
	log := &countingLog{Log: memlog.New(4)}
	index := &knownEvents{offsets: map[string][]int64{}}
	n := rt.Start(t, log.Log, func(c *realtime.Config) {
		c.Log, c.Index, c.RingBytes = log, index, 20_000
	})
	loud := ""
	for i := 0; loud == ""; i++ {
		if s := fmt.Sprint("loud-", i); eventlog.PartitionFor(s, 4) == partitionOf(rt.School) {
			loud = s
		}
	}
	const records = 9000
	var own []int64
	var first, last domain.Position
	var neighbours []eventlog.Record
	flush := func() {
		_, err := log.Append(t.Context(), loud, neighbours)
		require.NoError(t, err)
		neighbours = nil
	}
	for i := range records {
		if i%1000 != 0 {
			id := strconv.Itoa(i)
			neighbours = append(neighbours, rt.Record(t, loud, id, rt.Notice(id, "a")))
			continue
		}
		if len(neighbours) > 0 {
			flush()
		}
		last = rt.Publish(t, log.Log, rt.School, strconv.Itoa(i), rt.Notice(strconv.Itoa(i), "a"))
		own = append(own, last.Offset)
		if i == 0 {
			first = last
		}
	}
	flush()
	index.offsets[rt.School], index.through = own[:len(own)-1], own[len(own)-1]-500
	end := rt.Publish(t, log.Log, loud, "end", rt.Notice("end", "a"))
	watch := rt.Listen(t, n, realtime.Identity{Subject: "head", School: loud, Roles: []string{"admin"}},
		realtime.Options{Rooms: []domain.Room{class("a")}})
	watch.Reaches(t, end) // so the hub has read everything

	resume := func() int64 {
		log.records.Store(0)
		back := rt.Listen(t, n, rt.User("head", "admin"),
			realtime.Options{Rooms: []domain.Room{class("a")}, From: &domain.LogPosition{Position: first}})
		require.Equal(t, own[1:], back.Positions(t, last))
		back.Stop()
		return log.records.Load()
	}
	read := resume()
	index.err = fmt.Errorf("the database is away: %w", context.DeadlineExceeded)
	without := resume()
	t.Logf("of %d records %d were read with an index, and %d without", records, read, without)
	require.Less(t, read, int64(4000), "its own and those after the index ends, in one fetch each")
	require.GreaterOrEqual(t, without, int64(records))
}
