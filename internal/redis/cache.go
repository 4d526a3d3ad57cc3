package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Key names an answer.
type Key struct {
	Partition   int32 // of the school
	School      string
	Query       string
	Input       string   // whatever tells the query's answers apart, without colons
	Projections []string // that the answer comes from
}

// Outcome says where an answer came from.
type Outcome string

// The outcomes of looking for an answer.
const (
	Hit    Outcome = "hit"
	Miss   Outcome = "miss"
	Bypass Outcome = "bypass" // Redis could not be asked, or was not to be
)

// cached is an answer that holds.
type cached struct {
	value  []byte
	offset int64 // the last event that is certainly in it
}

// errMiss says that there is no answer that holds.
var errMiss = errors.New("no answer is kept")

// get looks for an answer that holds at an offset or later.
func (c *Cache) get(ctx context.Context, k Key, minOffset int64) (cached, Outcome) {
	f, err := c.fetch(ctx, k)
	outcome := Bypass
	switch {
	case err == nil && f.offset >= minOffset:
		outcome = Hit
	case err == nil, errors.Is(err, errMiss):
		outcome = Miss
	}
	c.metrics.reads.WithLabelValues(k.Query, string(outcome)).Inc()
	return f, outcome
}

// fetch asks in one round trip, in an order that matters: an answer is said to be good as of the head's position, so all
// changes up to there must be among the versions, and these are therefore read after the head.
func (c *Cache) fetch(ctx context.Context, k Key) (cached, error) {
	var entry, head, versions *redis.SliceCmd
	err := c.do(ctx, func(ctx context.Context) error {
		_, err := c.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			entry = p.HMGet(ctx, c.entryKey(k), "position", "answer")
			head = p.HMGet(ctx, c.headKey(k.Partition), "base", "position")
			versions = p.HMGet(ctx, c.versionsKey(k.Partition, k.School), k.Projections...)
			return nil
		})
		return err
	})
	if err != nil {
		return cached{}, err
	}
	answer, _ := entry.Val()[1].(string)
	made, ok := integers(entry.Val()[:1])
	known, ok2 := integers(head.Val())
	needed, ok3 := integers(versions.Val())
	if !ok || !ok2 || !ok3 || made[0] < known[0] {
		return cached{}, errMiss
	}
	for _, version := range needed {
		if made[0] < version {
			return cached{}, errMiss
		}
	}
	return cached{value: []byte(answer), offset: max(made[0], known[1])}, nil
}

// integers reads numbers from an answer of Redis, all or none.
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

// put keeps an answer that was made from a snapshot at the given offset, unless it is known not to hold any more.
func (c *Cache) put(ctx context.Context, k Key, answer []byte, offset int64, ttl time.Duration) {
	args := make([]any, 0, 3+len(k.Projections))
	args = append(args, offset, ttl.Milliseconds(), answer)
	for _, p := range k.Projections {
		args = append(args, p)
	}
	keys := []string{c.headKey(k.Partition), c.versionsKey(k.Partition, k.School), c.entryKey(k)}
	outcome := "failed"
	if kept, err := c.run(ctx, storeScript, keys, args...); err == nil {
		outcome = map[bool]string{true: "kept", false: "refused"}[kept]
	}
	c.metrics.stores.WithLabelValues(k.Query, outcome).Inc()
}

// run calls a script that answers 1 or 0.
func (c *Cache) run(ctx context.Context, s *redis.Script, keys []string, args ...any) (done bool, err error) {
	err = c.do(ctx, func(ctx context.Context) error {
		n, err := s.Run(ctx, c.client, keys, args...).Int()
		done = n == 1
		return err
	})
	return done, err
}

// Invalidate drops the answers of a school to one query, or to all when query is empty, for an operator who knows
// better. It returns how many there were. All keys have to be looked through anyway, so it need not be known in which
// partition the school is.
func (c *Cache) Invalidate(ctx context.Context, school, query string) (int64, error) {
	pattern := c.prefix + ":{*}:e:" + escapeGlob(school) + ":*"
	if query != "" {
		pattern = c.prefix + ":{*}:e:" + escapeGlob(school) + ":" + escapeGlob(query) + ":*"
	}
	var dropped int64
	for cursor := uint64(0); ; {
		var keys []string
		err := c.do(ctx, func(ctx context.Context) (err error) {
			keys, cursor, err = c.client.Scan(ctx, cursor, pattern, 1000).Result()
			return err
		})
		if err != nil {
			return dropped, fmt.Errorf("look for answers of %s: %w", school, err)
		}
		if len(keys) > 0 {
			err := c.do(ctx, func(ctx context.Context) error {
				n, err := c.client.Unlink(ctx, keys...).Result()
				dropped += n
				return err
			})
			if err != nil {
				return dropped, fmt.Errorf("drop answers of %s: %w", school, err)
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

func (c *Cache) entryKey(k Key) string {
	return c.entryPrefix(k.Partition, k.School) + k.Query + ":" + k.Input
}
