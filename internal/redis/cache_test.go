package redis_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/redis"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/cache"
)

const partition = 3

func at(
	offset int64,
) domain.Position {
	return domain.Position{Partition: partition, Offset: offset}
}

func notifier(t *testing.T, c *redis.Cache) *redis.Notifier {
	t.Helper()
	set, err := projections.NewSet(projections.New("attendance", 1), projections.New("fees", 1))
	require.NoError(t, err)
	return redis.NewNotifier(c, set)
}

// changed says that attendance or fees of the school north have changed; -1 is not.
func changed(attendance, fees int64) []*projections.Change {
	return []*projections.Change{{School: "north", Offsets: []int64{attendance, fees}}}
}

func ask(least int64, projections ...string) cache.Lookup {
	return cache.Lookup{
		Key: cache.Key{
			Partition: partition, School: "north", Query: "q", Input: "i",
			Projections: projections,
		},
		TTL: time.Minute, MinOffset: least,
	}
}

// got is how an answer came about.
type got struct {
	answer  string
	offset  int64
	outcome cache.Outcome
}

func fetch(
	t *testing.T, a *cache.ReadThrough[string], k cache.Lookup, answer string, offset int64,
) got {
	t.Helper()
	return fetchFrom(t, a, k, answer, offset, 0)
}

// fetchFrom fetches what is read, if it must be, at an offset from tables.
func fetchFrom(
	t *testing.T, a *cache.ReadThrough[string], k cache.Lookup, answer string, offset, tables int64,
) got {
	t.Helper()
	text, o, outcome, err := a.Get(t.Context(), k,
		func(context.Context) (string, cache.Snapshot, error) {
			return answer, cache.Snapshot{Offset: offset, Tables: tables}, nil
		})
	require.NoError(t, err)
	return got{text, o, outcome}
}

func TestAResultIsCurrentUntilItsProjectionsChange(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		c := open(t, address)
		a, n, ctx := texts(c), notifier(t, c), t.Context()
		fees := ask(-1, "fees")

		require.Equal(t, got{"a", 10, cache.Miss}, fetch(t, a, fees, "a", 10))
		require.Equal(t, cache.Miss, fetch(t, a, fees, "a", 10).outcome,
			"nothing is cached before the projector has claimed the partition")
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		require.Equal(t, cache.Miss, fetch(t, a, fees, "a", 10).outcome)
		require.Equal(t, got{"a", 10, cache.Hit}, fetch(t, a, fees, "b", 99))

		require.NoError(t, n.Committed(ctx, at(15), 1, changed(14, -1)))
		require.Equal(t, got{"a", 15, cache.Hit}, fetch(t, a, fees, "b", 99),
			"another projection has changed")
		require.Equal(t, got{"b", 16, cache.Miss}, fetch(t, a, ask(16, "fees"), "b", 16),
			"but not as new as is asked for")

		require.NoError(t, n.Committed(ctx, at(20), 1, changed(-1, 18)))
		require.Equal(t, got{"c", 20, cache.Miss}, fetch(t, a, fees, "c", 20))
		require.Equal(t, got{"c", 20, cache.Hit}, fetch(t, a, fees, "d", 99))

		both := ask(-1, "fees", "attendance")
		both.Key.Input = "another"
		for _, stale := range []int64{13, 17} {
			require.Equal(t, cache.Miss, fetch(t, a, both, "old", stale).outcome,
				"a result of an old snapshot is not stored")
		}
		require.Equal(t, cache.Miss, fetch(t, a, both, "new", 18).outcome)
		require.Equal(t, got{"new", 20, cache.Hit}, fetch(t, a, both, "x", 99))
	})
}

// A rebuild changes rows while the position stays. What was read before it is outdated, and what is
// read after it is cached at once.
func TestRebuiltTablesOutdateResultsOfTheSamePosition(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		c := open(t, address)
		a, n, ctx := texts(c), notifier(t, c), t.Context()
		k := ask(-1, "fees")
		read := func(answer string, tables int64) got {
			text, o, outcome, err := a.Get(ctx, k, func(context.Context) (string, cache.Snapshot, error) {
				return answer, cache.Snapshot{Offset: 10, Tables: tables}, nil
			})
			require.NoError(t, err)
			return got{text, o, outcome}
		}
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		require.Equal(t, got{"old", 10, cache.Miss}, read("old", 0))
		require.Equal(t, got{"old", 10, cache.Hit}, read("x", 0))
		for _, exchange := range []int64{2, 3} {
			require.NoError(t, notifier(t, c).Claimed(ctx, at(10), exchange, exchange))
			require.Equal(t, got{"slow", 10, cache.Miss}, read("slow", exchange-1))
			require.Equal(t, got{"new", 10, cache.Miss}, read("new", exchange),
				"one that was read before the exchange is not stored after it")
			require.Equal(t, got{"new", 10, cache.Hit}, read("x", exchange))
		}
		require.NoError(t, n.Claimed(ctx, at(10), 4, 3))
		require.Equal(t, got{"new", 10, cache.Hit}, read("x", 3), "the next worker's claim changes no rows")
	})
}

func TestLostKeysOnlyCostALoad(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		c := open(t, address)
		direct := goredis.NewClient(&goredis.Options{Addr: address})
		defer direct.Close()
		a, n, ctx := texts(c), notifier(t, c), t.Context()
		k := ask(-1, "fees")
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		fetch(t, a, k, "a", 10)

		require.NoError(t, direct.FlushAll(ctx).Err())
		require.Equal(t, cache.Miss, fetch(t, a, k, "a", 10).outcome)
		require.NoError(t, n.Heartbeat(ctx, at(12), 1))
		require.Equal(t, cache.Miss, fetch(t, a, k, "late", 11).outcome)
		require.Equal(t, cache.Miss, fetch(t, a, k, "b", 12).outcome,
			"a result made before the flush was noticed is not stored")
		require.Equal(t, got{"b", 12, cache.Hit}, fetch(t, a, k, "c", 99))

		require.NoError(t, direct.Del(ctx, "sb:{3}:v:north").Err())
		require.Equal(t, cache.Miss, fetch(t, a, k, "old", 11).outcome)
		require.Equal(t, got{"b", 12, cache.Hit}, fetch(t, a, k, "c", 99),
			"the version is set to where the head is")

		// The owner dies between a commit and its notice.
		require.NoError(t, notifier(t, c).Claimed(ctx, at(20), 2, 0))
		require.Equal(t, cache.Miss, fetch(t, a, k, "d", 20).outcome)
		require.NoError(t, n.Committed(ctx, at(15), 1, changed(-1, 15)),
			"the old owner is not listened to")
		require.Equal(t, got{"d", 20, cache.Hit}, fetch(t, a, k, "e", 99))
	})
}

func TestTheNextNoticeMakesUpForAFailedOne(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		w := newWire(t, address)
		c, reader := open(t, w.Addr().String()), open(t, address)
		a, n, ctx := texts(reader), notifier(t, c), t.Context()
		k := ask(-1, "fees")
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		fetch(t, a, k, "a", 10)
		w.set(true, false)
		require.ErrorIs(t, n.Committed(ctx, at(12), 1, changed(-1, 12)), redis.ErrUnavailable)
		require.Equal(t, got{"a", 10, cache.Hit}, fetch(t, a, k, "b", 12),
			"it is as old as it says")
		w.set(false, false)
		require.Eventually(t, func() bool { return n.Heartbeat(ctx, at(12), 1) == nil },
			10*time.Second, time.Millisecond)
		require.Equal(t, got{"b", 12, cache.Miss}, fetch(t, a, k, "b", 12))
	})
}

// revised is a change by events that were parked, at the position of a head.
func revised(position, tables int64) []*projections.Change {
	changes := changed(position+1, position+1)
	changes[0].Tables = tables
	return changes
}

// What was parked is folded while the position stays. What was read before is outdated, what is read
// after it is cached at once, and a neighbour's results stay.
func TestAReleaseOutdatesResultsOfTheSamePosition(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		w := newWire(t, address)
		c := open(t, address)
		writing := open(t, w.Addr().String())
		a, n, ctx := texts(c), notifier(t, writing), t.Context()
		fees, neighbour := ask(-1, "fees"), ask(-1, "fees")
		neighbour.Key.School = "south"
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		fetchFrom(t, a, neighbour, "neighbour", 10, 0)
		fetchFrom(t, a, fees, "without", 10, 0)
		for _, tables := range []int64{2, 3} {
			require.NoError(t, n.Committed(ctx, at(10), 1, revised(10, tables)))
			require.Equal(t, got{"slow", 10, cache.Miss}, fetchFrom(t, a, fees, "slow", 10, tables-1))
			require.Equal(t, got{"with", 10, cache.Miss}, fetchFrom(t, a, fees, "with", 10, tables),
				"one that was read before the release is not stored after it")
			require.Equal(t, got{"with", 10, cache.Hit}, fetchFrom(t, a, fees, "x", 10, tables))
		}
		require.NoError(t, n.Committed(ctx, at(11), 1, changed(-1, 11)))
		require.Equal(t, got{"next", 11, cache.Miss}, fetchFrom(t, a, fees, "next", 11, 3))
		require.Equal(t, got{"next", 11, cache.Hit}, fetchFrom(t, a, fees, "x", 11, 3))
		require.Equal(t, cache.Hit, fetchFrom(t, a, neighbour, "x", 11, 3).outcome)

		// A notice of a release that fails, or is lost in a crash, is made up for.
		w.set(true, false)
		require.Error(t, n.Committed(ctx, at(11), 1, revised(11, 4)))
		w.set(false, false)
		require.Eventually(t, func() bool { return n.Heartbeat(ctx, at(11), 1) == nil },
			10*time.Second, time.Millisecond)
		require.Equal(t, got{"released", 11, cache.Miss}, fetchFrom(t, a, fees, "released", 11, 4))
		require.NoError(t, notifier(t, c).Claimed(ctx, at(11), 6, 5))
		require.Equal(t, got{"crashed", 11, cache.Miss}, fetchFrom(t, a, fees, "crashed", 11, 5))
		require.Equal(t, got{"crashed", 11, cache.Hit}, fetchFrom(t, a, fees, "x", 11, 5))
	})
}

// A release and an event that comes in after it may be reported together.
func TestAReleaseIsReportedWithALaterEvent(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		c := open(t, address)
		a, n, ctx := texts(c), notifier(t, c), t.Context()
		fees := ask(-1, "fees")
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		require.NoError(t, n.Committed(ctx, at(12), 1, revised(10, 2)))
		require.Equal(t, cache.Miss, fetchFrom(t, a, fees, "old", 10, 2).outcome)
		require.Equal(t, cache.Miss, fetchFrom(t, a, fees, "new", 11, 2).outcome)
		require.Equal(t, got{"new", 12, cache.Hit}, fetchFrom(t, a, fees, "x", 12, 2))
	})
}

func TestOneLoadAtATime(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "redis-server")
	c := open(t, devtest.RedisServer(t))
	a := texts(c)
	require.NoError(t, notifier(t, c).Claimed(t.Context(), at(10), 1, 0))
	var missed, loads, now atomic.Int64
	begin := make(chan struct{})
	fees := ask(-1, "fees")
	fees.Await = func(context.Context) error { missed.Add(1); return nil } // it was not there
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			text, offset, _, err := a.Get(context.Background(), fees,
				func(context.Context) (string, cache.Snapshot, error) {
					if n := now.Add(1); n > 1 {
						t.Errorf("%d loads at the same time", n)
					}
					defer now.Add(-1)
					loads.Add(1)
					<-begin
					return "a", cache.Snapshot{Offset: 10}, nil
				})
			// One that comes late finds the newer answer, which is asked for below.
			if late := text == "b" && offset == 11; err != nil || !late &&
				(text != "a" || offset != 10) {
				t.Errorf("got %q at %d: %v", text, offset, err)
			}
		})
	}
	require.Eventually(t, func() bool { return missed.Load() == 100 && loads.Load() == 1 },
		10*time.Second, time.Millisecond)

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, _, err := a.Get(gone, ask(-1, "fees"), nil)
	require.ErrorIs(t, err, context.Canceled, "who gives up does not wait for the load")
	newer, offset, _, err := texts(c).Get(t.Context(), ask(11, "fees"),
		func(context.Context) (string, cache.Snapshot, error) {
			return "b", cache.Snapshot{Offset: 11}, nil
		})
	require.NoError(t, err)
	require.Equal(t, "b", newer)
	require.EqualValues(t, 11, offset)
	require.EqualValues(t, 1, loads.Load(), "for a hundred")
	close(begin)
	wg.Wait()
}

func TestNoRequestWaitsForTheEventOfAnother(t *testing.T) {
	t.Parallel()
	c := open(t, miniredis.RunT(t).Addr())
	a := texts(c)
	require.NoError(t, notifier(t, c).Claimed(t.Context(), at(10), 1, 0))
	load := func(context.Context) (string, cache.Snapshot, error) { return "a", cache.Snapshot{Offset: 10}, nil }
	waiting, late := make(chan struct{}), errors.New("it did not come in time")
	patient := ask(99, "fees")
	ctx, end := context.WithCancel(t.Context())
	patient.Await = func(context.Context) error {
		close(waiting)
		<-ctx.Done()
		return late
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, _, _, err := a.Get(context.Background(), patient, load); !errors.Is(err, late) {
			t.Errorf("got %v", err)
		}
	})
	<-waiting
	require.Equal(t, got{"a", 10, cache.Miss}, fetch(t, a, ask(-1, "fees"), "a", 10))
	end()
	wg.Wait()
}

func TestFailedLoadsAreNotCached(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		c := open(t, address)
		a := texts(c)
		require.NoError(t, notifier(t, c).Claimed(t.Context(), at(10), 1, 0))
		broken := errors.New("broken")
		_, _, _, err := a.Get(t.Context(), ask(-1, "fees"),
			func(context.Context) (string, cache.Snapshot, error) { return "", cache.Snapshot{}, broken })
		require.ErrorIs(t, err, broken)
		require.Equal(t, got{"a", 10, cache.Miss}, fetch(t, a, ask(-1, "fees"), "a", 10))
	})
}

func TestASilentServerCostsLittle(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		w := newWire(t, address)
		c := openImpatient(t, w.Addr().String())
		a := texts(c)
		fetch(t, a, ask(-1, "fees"), "a", 1)
		w.set(false, true)
		for range 5 {
			require.Equal(t, got{"b", 1, cache.Bypass}, fetch(t, a, ask(-1, "fees"), "b", 1))
		}
		require.ErrorIs(t, c.Ping(t.Context()), redis.ErrUnavailable)
		w.set(false, false)
		require.Eventually(t, func() bool { return c.Ping(t.Context()) == nil }, 10*time.Second,
			5*time.Millisecond)
	})
}

func TestInvalidateDeletesTheResultsOfOneSchool(t *testing.T) {
	t.Parallel()
	onEachServer(t, func(t *testing.T, address string) {
		c := open(t, address)
		a, n, ctx := texts(c), notifier(t, c), t.Context()
		require.NoError(t, n.Claimed(ctx, at(10), 1, 0))
		for _, school := range []string{"north", "n*", "n[a-z]rth"} {
			for _, query := range []string{"q", "r"} {
				k := ask(-1, "fees")
				k.Key.School, k.Key.Query = school, query
				fetch(t, a, k, "a", 10)
			}
		}
		for _, test := range []struct {
			school, query string
			want          int64
		}{
			{"n*", "", 2},
			{"n[a-z]rth", "q", 1},
			{"north", "q", 1},
			{"north", "", 1},
			{"south", "", 0},
		} {
			dropped, err := c.Invalidate(ctx, test.school, test.query)
			require.NoError(t, err)
			require.Equal(t, test.want, dropped, test)
		}
	})
}

func TestACacheNeedsNoMetrics(t *testing.T) {
	t.Parallel()
	c, err := redis.Open(redis.Config{URL: "redis://" + miniredis.RunT(t).Addr()}, nil)
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Ping(t.Context()))
}

func TestConfigReportsAllFaults(t *testing.T) {
	t.Parallel()
	err := redis.Config{URL: "http://x", Prefix: "a:b", PoolSize: -1}.Validate()
	require.ErrorContains(t, err, "URL is malformed")
	require.ErrorContains(t, err, "prefix")
	require.ErrorContains(t, err, "negative")
}
