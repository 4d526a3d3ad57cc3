package redis

import (
	"context"
	"errors"
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
	schools map[string]int             // how many of them each school has
	unsent  bool                       // some may not be in Redis

	loaded loadedState // used by Load only
}

// loadedState is what Redis held when its revocations were read last. While it is the same they
// need not be read again.
type loadedState struct {
	version      string
	mine, shared int64 // how many there are
	at           time.Time
}

// MaxRevocations is how many revocations of one school are in force at a time: every process holds
// all of them in memory.
const MaxRevocations = 10_000

// fullReload is how often the revocations are read although nothing seems to have changed.
const fullReload = time.Minute

// NewRevocations stores revocations in the same Redis as the cache.
func NewRevocations(c *Cache, logger *slog.Logger) *Revocations {
	return &Revocations{
		cache: c, logger: logger, now: time.Now,
		revoked: map[string]auth.Revocation{}, schools: map[string]int{},
	}
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

// versionKey counts the changes to the revocations.
func (r *Revocations) versionKey() string { return r.key() + ":version" }

// sharedKey is where versions up to v0.1 stored the revocations of all logs. They are still read, so
// that an update does not make revoked tokens valid again.
func (r *Revocations) sharedKey() string { return r.cache.shared + ":revoked" }

// Add refuses tokens from now on: here at once, in all processes within two seconds. It fails with
// [auth.ErrTooManyRevocations] when the school has as many as it may. When it fails otherwise, the
// revocation is in force in this process only, until [Revocations.Run] reaches Redis again.
func (r *Revocations) Add(ctx context.Context, revocation auth.Revocation) error {
	name := revocationName(revocation.School, revocation.User, revocation.TokenID)
	if r.full(name, revocation.School) {
		return auth.ErrTooManyRevocations
	}
	merged := r.learn(name, revocation)
	err := r.write(ctx, func(pipe redis.Pipeliner) {
		pipe.HSet(ctx, r.key(), name, encoded(merged))
	})
	if err != nil {
		r.setUnsent()
	}
	return err
}

func (r *Revocations) setUnsent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unsent = true
}

func (r *Revocations) full(name, school string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, there := r.revoked[name]
	return !there && r.schools[school] >= MaxRevocations
}

// write changes the revocations in Redis together with their version.
func (r *Revocations) write(ctx context.Context, change func(redis.Pipeliner)) error {
	return r.cache.do(ctx, func(ctx context.Context) error {
		_, err := r.cache.client.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			change(pipe)
			pipe.Incr(ctx, r.versionKey())
			return nil
		})
		return err
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
	} else {
		r.schools[revocation.School]++
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

// Load reads the revocations in Redis when they have changed, adds those that it lacks, and deletes
// expired ones on both sides.
func (r *Revocations) Load(ctx context.Context) error {
	now, err := r.state(ctx)
	if err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	if r.current(now) {
		return nil
	}
	var mine, shared *redis.MapStringStringCmd
	err = r.cache.do(ctx, func(ctx context.Context) error {
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
	if len(over) > 0 || len(missing) > 0 {
		err := r.write(ctx, func(pipe redis.Pipeliner) {
			if len(over) > 0 {
				pipe.HDel(ctx, r.key(), over...)
			}
			for name, revocation := range missing {
				pipe.HSetNX(ctx, r.key(), name, encoded(revocation))
			}
		})
		if err != nil {
			r.setUnsent()
			return err
		}
	}
	// Of before the reading: what has changed since is read the next time.
	r.loaded = now
	return nil
}

// state asks Redis what it holds.
func (r *Revocations) state(ctx context.Context) (loadedState, error) {
	now := loadedState{at: r.now()}
	err := r.cache.do(ctx, func(ctx context.Context) error {
		var version *redis.StringCmd
		var mine, shared *redis.IntCmd
		_, err := r.cache.client.Pipelined(ctx, func(p redis.Pipeliner) error {
			version = p.Get(ctx, r.versionKey())
			mine, shared = p.HLen(ctx, r.key()), p.HLen(ctx, r.sharedKey())
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		now.version, now.mine, now.shared = version.Val(), mine.Val(), shared.Val()
		return nil
	})
	return now, err
}

// current reports that Redis holds what it held at the last reading.
func (r *Revocations) current(now loadedState) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	last := r.loaded
	return !r.unsent && last.version == now.version && last.mine == now.mine &&
		last.shared == now.shared && now.at.Sub(last.at) < fullReload
}

// sort deletes expired revocations here, and returns those to delete in Redis and those to add.
func (r *Revocations) sort(
	stored map[string]string,
) (over []string, missing map[string]auth.Revocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	r.unsent = false // missing has them all
	missing = maps.Clone(r.revoked)
	for name, revocation := range r.revoked {
		_, there := stored[name]
		switch {
		case !revocation.Until.After(now):
			delete(r.revoked, name)
			if r.schools[revocation.School]--; r.schools[revocation.School] == 0 {
				delete(r.schools, revocation.School)
			}
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
