package redis

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/redis/go-redis/v9"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// Revocations are the tokens that are refused before they expire. Redis carries them between
// processes. Each process has all of them in memory, so that a check costs nothing, an outage of
// Redis loses nothing, and a flushed Redis gets them back.
type Revocations struct {
	cache  *Cache
	logger *slog.Logger
	now    func() time.Time

	mu      sync.RWMutex
	revoked map[string]auth.Revocation // by field name in Redis
}

// NewRevocations stores revocations in the same Redis as the cache.
func NewRevocations(c *Cache, logger *slog.Logger) *Revocations {
	return &Revocations{cache: c, logger: logger, now: time.Now,
		revoked: map[string]auth.Revocation{}}
}

// reloadInterval is how long a process may be unaware of a revocation by another one.
const reloadInterval = time.Second

// Revoked reports whether a token is refused.
func (r *Revocations) Revoked(p auth.Principal) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.revoked) == 0 {
		return false
	}
	for _, id := range []string{"", p.TokenID} {
		if earlier, ok := r.revoked[revocationName(p.School, p.Subject, id)]; ok &&
			earlier.Covers(p) {
			return true
		}
	}
	return false
}

// revocationName is the field of a revocation. Ids contain no NUL, so names cannot collide.
func revocationName(school, user, tokenID string) string {
	return school + "\x00" + user + "\x00" + tokenID
}

func (r *Revocations) key() string { return r.cache.prefix + ":revoked" }

// sharedKey is where versions up to v0.1 stored the revocations of all logs. They are still read, so
// that an update does not make revoked tokens valid again.
func (r *Revocations) sharedKey() string { return r.cache.shared + ":revoked" }

// Add refuses tokens from now on: here at once, in all processes within two seconds. When it fails,
// the revocation is in force in this process only, until [Revocations.Run] reaches Redis again.
func (r *Revocations) Add(ctx context.Context, revocation auth.Revocation) error {
	name := revocationName(revocation.School, revocation.User, revocation.TokenID)
	merged := r.learn(name, revocation)
	return r.cache.do(ctx, func(ctx context.Context) error {
		return r.cache.client.HSet(ctx, r.key(), name, encoded(merged)).Err()
	})
}

// learn merges a revocation with an earlier one of the same tokens: the later time of each counts.
func (r *Revocations) learn(name string, revocation auth.Revocation) auth.Revocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if earlier, ok := r.revoked[name]; ok {
		if earlier.At.After(revocation.At) {
			revocation.At = earlier.At
		}
		if earlier.Until.After(revocation.Until) {
			revocation.Until = earlier.Until
		}
	}
	r.revoked[name] = revocation
	return revocation
}

func encoded(revocation auth.Revocation) []byte {
	b, err := json.Marshal(revocation)
	if err != nil {
		panic(err) // strings and times can always be marshalled
	}
	return b
}

// Run loads the revocations of other processes until ctx ends.
func (r *Revocations) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for {
		if err := r.Load(ctx); err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "revoked tokens may be accepted until Redis is reachable",
				"error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Load reads the revocations in Redis, adds those that it lacks, and deletes expired ones on both
// sides.
func (r *Revocations) Load(ctx context.Context) error {
	var mine, shared *redis.MapStringStringCmd
	err := r.cache.do(ctx, func(ctx context.Context) error {
		_, err := r.cache.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			mine, shared = p.HGetAll(ctx, r.key()), p.HGetAll(ctx, r.sharedKey())
			return nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	stored := mine.Val()
	for _, revocations := range []map[string]string{shared.Val(), stored} {
		for name, body := range revocations {
			var revocation auth.Revocation
			if err := json.Unmarshal([]byte(body), &revocation); err != nil {
				return fmt.Errorf("decode revocation %q: %w", name, err)
			}
			r.learn(name, revocation)
		}
	}
	over, missing := r.sort(stored)
	if len(over) == 0 && len(missing) == 0 {
		return nil
	}
	return r.cache.do(ctx, func(ctx context.Context) error {
		pipe := r.cache.client.Pipeline()
		if len(over) > 0 {
			pipe.HDel(ctx, r.key(), over...)
		}
		for name, revocation := range missing {
			pipe.HSetNX(ctx, r.key(), name, encoded(revocation))
		}
		_, err := pipe.Exec(ctx)
		return err
	})
}

// sort deletes expired revocations here, and returns those to delete in Redis and those to add.
func (r *Revocations) sort(
	stored map[string]string,
) (over []string, missing map[string]auth.Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	missing = maps.Clone(r.revoked)
	for name, revocation := range r.revoked {
		_, there := stored[name]
		switch {
		case !revocation.Until.After(now):
			delete(r.revoked, name)
			delete(missing, name)
			if there {
				over = append(over, name)
			}
		case there:
			delete(missing, name)
		}
	}
	return slices.Clip(over), missing
}
