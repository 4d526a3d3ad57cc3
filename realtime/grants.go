package realtime

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/schoolbell/schoolbell/domain"
)

// grantsCache caches the grants of users, so that a thousand clients that reconnect at once cost
// one query per user for all their rooms. An event that changes a user's grants invalidates the
// entry at once, and loading it again waits until the read models have reached that event.
type grantsCache struct {
	rights     Rights
	ttl        time.Duration
	maxEntries int
	now        func() time.Time
	load       singleflight.Group

	mu      sync.Mutex
	entries map[grantsKey]grantsEntry
}

type grantsKey struct{ school, user string }

type grantsEntry struct {
	grants Grants
	loaded time.Time       // zero: invalid
	at     domain.Position // the entry must be as of this position or later
	on     domain.Date     // the school's day, before the grants were loaded
}

// get returns the grants of a user on a day, as of a position or later.
func (c *grantsCache) get(
	ctx context.Context, school, user string, at domain.Position, on domain.Date,
) (Grants, error) {
	key := grantsKey{school, user}
	for {
		e, valid := c.cached(key, at, on)
		if valid {
			return e.grants, nil
		}
		if c.rights == nil {
			return Grants{}, nil
		}
		loaded := c.load.DoChan(school+"\x00"+user+"\x00"+e.at.String()+on.String(), func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recheckWait)
			defer cancel()
			if newer, valid := c.cached(key, e.at, on); valid { // another call was faster
				return newer.grants, nil
			}
			g, err := c.rights(ctx, school, user, e.at)
			if err == nil {
				c.put(key, e.at, on, g)
			}
			return g, err
		})
		select {
		case <-ctx.Done():
			return Grants{}, ctx.Err()
		case r := <-loaded:
			if r.Err != nil {
				return Grants{}, r.Err
			}
			if newer, valid := c.cached(key, at, on); valid || newer.at.Offset <= e.at.Offset {
				return r.Val.(Grants), nil
			}
		}
	}
}

// cached returns the entry of a user and whether it is valid on a day and as of a position. If not,
// the entry has the position to load it for.
func (c *grantsCache) cached(
	key grantsKey, at domain.Position, on domain.Date,
) (grantsEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if ok && !e.loaded.IsZero() && c.now().Sub(e.loaded) < c.ttl && e.at.Offset >= at.Offset &&
		e.on == on {
		return e, true
	}
	if !ok || e.at.Offset < at.Offset {
		e.at = at
	}
	return e, false
}

// put stores what was loaded for a position, unless a later one is required by now.
func (c *grantsCache) put(key grantsKey, at domain.Position, on domain.Date, g Grants) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok && e.at.Offset > at.Offset {
		return
	}
	if len(c.entries) >= c.maxEntries {
		for k, old := range c.entries { // any will do: it is loaded again when needed
			if !old.loaded.IsZero() {
				delete(c.entries, k)
				break
			}
		}
	}
	c.entries[key] = grantsEntry{grants: g, loaded: c.now(), at: at, on: on}
}

// invalidate requires a user's grants to be loaded again, as of a position or later. If a student
// is named, only users who are connected with that student, or may be from now on, are affected. It
// reports whether the user is.
func (c *grantsCache) invalidate(school, user string, at domain.Position, student string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := grantsKey{school, user}
	e, ok := c.entries[key]
	valid := ok && !e.loaded.IsZero()
	if student != "" && valid && !slices.Contains(e.grants.Children, student) &&
		!slices.Contains(e.grants.Pupils, student) &&
		len(e.grants.Teaches) == 0 && student != user {
		return false
	}
	c.entries[key] = grantsEntry{at: at}
	return true
}
