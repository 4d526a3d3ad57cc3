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

	"github.com/schoolbell/schoolbell/internal/auth"
)

// Revocations are the tokens that are refused before they expire. Redis carries them from process to process; each has
// all of them in memory, so that asking costs nothing, an absent Redis forgets nothing, and one that was flushed gets
// them back.
type Revocations struct {
	cache  *Cache
	logger *slog.Logger
	now    func() time.Time

	mu      sync.RWMutex
	revoked map[string]auth.Revocation // by their names in Redis
}

// NewRevocations keeps revocations in the same Redis as the cache.
func NewRevocations(c *Cache, logger *slog.Logger) *Revocations {
	return &Revocations{cache: c, logger: logger, now: time.Now, revoked: map[string]auth.Revocation{}}
}

// reloadInterval is how long a process may not know what another one has revoked.
const reloadInterval = time.Second

// Revoked reports that a token is refused.
func (r *Revocations) Revoked(p auth.Principal) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if len(r.revoked) == 0 {
		return false
	}
	for _, id := range []string{"", p.TokenID} {
		if known, ok := r.revoked[revocationName(p.School, p.Subject, id)]; ok && known.Covers(p) {
			return true
		}
	}
	return false
}

// revocationName is the field of a revocation. Ids hold no NUL.
func revocationName(school, user, tokenID string) string {
	return school + "\x00" + user + "\x00" + tokenID
}

func (r *Revocations) key() string { return r.cache.prefix + ":revoked" }

// Add refuses tokens from now on: here at once, and in all processes within a second or two. If Redis does not take it,
// it holds in this process, and is offered to Redis again.
func (r *Revocations) Add(ctx context.Context, revocation auth.Revocation) error {
	name := revocationName(revocation.School, revocation.User, revocation.TokenID)
	merged := r.learn(name, revocation)
	return r.cache.do(ctx, func(ctx context.Context) error {
		return r.cache.client.HSet(ctx, r.key(), name, encoded(merged)).Err()
	})
}

// learn adds a revocation to what is known: of two, what refuses more counts.
func (r *Revocations) learn(name string, revocation auth.Revocation) auth.Revocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.revoked[name]; ok {
		if known.At.After(revocation.At) {
			revocation.At = known.At
		}
		if known.Until.After(revocation.Until) {
			revocation.Until = known.Until
		}
	}
	r.revoked[name] = revocation
	return revocation
}

func encoded(revocation auth.Revocation) []byte {
	b, err := json.Marshal(revocation)
	if err != nil {
		panic(err) // texts and times can always be written
	}
	return b
}

// Run keeps up with the other processes until ctx ends.
func (r *Revocations) Run(ctx context.Context) error {
	tick := time.NewTicker(reloadInterval)
	defer tick.Stop()
	for failing := false; ; {
		err := r.Load(ctx)
		if err != nil && !failing && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "what other processes have revoked is not known for now", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Load learns what is in Redis, gives back what is missing there, and drops on both sides what is over.
func (r *Revocations) Load(ctx context.Context) error {
	var stored map[string]string
	err := r.cache.do(ctx, func(ctx context.Context) (err error) {
		stored, err = r.cache.client.HGetAll(ctx, r.key()).Result()
		return err
	})
	if err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	for name, body := range stored {
		var revocation auth.Revocation
		if err := json.Unmarshal([]byte(body), &revocation); err != nil {
			return fmt.Errorf("read revocation %q: %w", name, err)
		}
		r.learn(name, revocation)
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

// sort forgets what is over, and tells it from what Redis does not have.
func (r *Revocations) sort(stored map[string]string) (over []string, missing map[string]auth.Revocation) {
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
