package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/schoolbell/schoolbell/projections/cache"
)

var _ cache.Store = (*Cache)(nil)

// errMiss is returned when no current result is cached.
var errMiss = errors.New("no current result is cached")

// Get implements [cache.Store].
func (c *Cache) Get(ctx context.Context, k cache.Key, minOffset int64) (cache.Entry, cache.Outcome) {
	f, err := c.fetch(ctx, k)
	outcome := cache.Bypass
	switch {
	case err == nil && f.Offset >= minOffset:
		outcome = cache.Hit
	case err == nil, errors.Is(err, errMiss):
		outcome = cache.Miss
	}
	c.metrics.reads.WithLabelValues(k.Query, string(outcome)).Inc()
	return f, outcome
}

// fetch reads in one round trip, in an order that matters: a result is valid as of the head's
// position, so the versions must have all changes up to there, and are therefore read after the
// head.
func (c *Cache) fetch(ctx context.Context, k cache.Key) (cache.Entry, error) {
	var entry, head, versions *redis.SliceCmd
	err := c.do(ctx, func(ctx context.Context) error {
		_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			entry = p.HMGet(ctx, c.entryKey(k), "position", "tables", "answer")
			head = p.HMGet(ctx, c.headKey(k.Partition), "base", "tables", "position")
			versions = p.HMGet(ctx, c.versionsKey(k.Partition, k.School),
				append([]string{tablesField}, k.Projections...)...)
			return nil
		})
		return err
	})
	if err != nil {
		return cache.Entry{}, err
	}
	body, _ := entry.Val()[2].(string)
	made, ok := integers(entry.Val()[:2])
	now, ok2 := integers(head.Val())
	if !ok || !ok2 || made[0] < now[0] || made[1] < now[1] || !has(versions.Val(), made[0], made[1]) {
		return cache.Entry{}, errMiss
	}
	return cache.Entry{Value: []byte(body), Offset: max(made[0], now[2])}, nil
}

// tablesField has, next to the versions of a school, the tables of the latest revision of the school's
// rows. No projection has such a name.
const tablesField = ":tables"

// revisedSuffix makes a version of an offset that stands for a revision there: half an offset more.
const revisedSuffix = ".5"

// has reports that what was made at an offset from some tables has all changes that the versions of a
// school, with the tables of its latest revision before them, tell of.
func has(versions []any, offset, tables int64) bool {
	revised, ok := integers(versions[:1])
	revisions := !ok || tables >= revised[0] // a school without any has no such field
	for _, v := range versions[1:] {
		s, _ := v.(string)
		whole, half := strings.CutSuffix(s, revisedSuffix)
		version, err := strconv.ParseInt(whole, 10, 64)
		if err != nil || offset < version || offset == version && half && !revisions {
			return false
		}
	}
	return true
}

// integers parses numbers from a reply of Redis, all or none.
func integers(values []any) ([]int64, bool) {
	ns := make([]int64, len(values))
	for i, v := range values {
		s, _ := v.(string)
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, false
		}
		ns[i] = n
	}
	return ns, true
}

// Put implements [cache.Store].
func (c *Cache) Put(
	ctx context.Context, k cache.Key, value []byte, of cache.Snapshot, ttl time.Duration,
) {
	args := make([]any, 0, 4+len(k.Projections))
	args = append(args, of.Offset, ttl.Milliseconds(), value, of.Tables)
	for _, p := range k.Projections {
		args = append(args, p)
	}
	keys := []string{c.headKey(k.Partition), c.versionsKey(k.Partition, k.School), c.entryKey(k)}
	outcome := "failed"
	if stored, err := c.run(ctx, storeScript, keys, args...); err == nil {
		outcome = map[bool]string{true: "stored", false: "refused"}[stored]
	}
	c.metrics.stores.WithLabelValues(k.Query, outcome).Inc()
}

// run calls a script that returns 1 or 0.
func (c *Cache) run(
	ctx context.Context, s *redis.Script, keys []string, args ...any,
) (done bool, err error) {
	err = c.do(ctx, func(ctx context.Context) error {
		n, err := s.Run(ctx, c.client, keys, args...).Int()
		done = n == 1
		return err
	})
	return done, err
}

// Invalidate deletes the cached results of a school, of one query or, when query is empty, of all.
// It returns how many there were. It scans all keys, so it need not know the partition of the
// school, nor the log: without one in the configuration it deletes those of all logs.
func (c *Cache) Invalidate(ctx context.Context, school, query string) (int64, error) {
	pattern := c.prefix + ":{*}:e:" + escapeGlob(school) + ":*"
	if c.prefix == c.shared {
		pattern = c.prefix + ":*{*}:e:" + escapeGlob(school) + ":*"
	}
	if query != "" {
		pattern = strings.TrimSuffix(pattern, "*") + escapeGlob(query) + ":*"
	}
	var dropped int64
	for cursor := uint64(0); ; {
		var keys []string
		err := c.do(ctx, func(ctx context.Context) (err error) {
			keys, cursor, err = c.client.Scan(ctx, cursor, pattern, 1000).Result()
			return err
		})
		if err != nil {
			return dropped, fmt.Errorf("scan results of %s: %w", school, err)
		}
		if len(keys) > 0 {
			err := c.do(ctx, func(ctx context.Context) error {
				n, err := c.client.Unlink(ctx, keys...).Result()
				dropped += n
				return err
			})
			if err != nil {
				return dropped, fmt.Errorf("delete results of %s: %w", school, err)
			}
		}
		if cursor == 0 {
			return dropped, nil
		}
	}
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

func (c *Cache) partitionPrefix(partition int32) string {
	return c.prefix + ":{" + strconv.Itoa(int(partition)) + "}:"
}
func (c *Cache) headKey(partition int32) string { return c.partitionPrefix(partition) + "head" }
func (c *Cache) versionsKey(partition int32, school string) string {
	return c.partitionPrefix(partition) + "v:" + school
}

func (c *Cache) entryPrefix(partition int32, school string) string {
	return c.partitionPrefix(partition) + "e:" + school + ":"
}

func (c *Cache) entryKey(k cache.Key) string {
	return c.entryPrefix(k.Partition, k.School) + k.Query + ":" + k.Input
}
