package realtime

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/schoolbell/schoolbell/domain"
)

// grantsCache keeps what is known of the connections of users, so that a thousand that come back at once ask once each
// for all their rooms. An event that changes them makes an entry out of date at once, and one that is loaded afterwards
// waits until the read models know of that event.
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
	loaded time.Time       // zero: out of date
	at     domain.Position // the entry must be loaded at this position or later
}

// get returns the connections of a user, as they are at a position or later.
func (c *grantsCache) get(ctx context.Context, school, user string, at domain.Position) (Grants, error) {
	key := grantsKey{school, user}
	for {
		e, valid := c.cached(key, at)
		if valid {
			return e.grants, nil
		}
		if c.rights == nil {
			return Grants{}, nil
		}
		loaded := c.load.DoChan(school+"\x00"+user+"\x00"+e.at.String(), func() (any, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recheckWait)
			defer cancel()
			if kept, valid := c.cached(key, e.at); valid { // another flight has landed in between
				return kept.grants, nil
			}
			g, err := c.rights.Grants(ctx, school, user, e.at)
			if err == nil {
				c.put(key, e.at, g)
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
			if newer, valid := c.cached(key, at); valid || newer.at.Offset <= e.at.Offset {
				return r.Val.(Grants), nil
			}
		}
	}
}

// cached returns the entry of a user and whether it is good at a position; if not, it says for which one to load.
func (c *grantsCache) cached(key grantsKey, at domain.Position) (grantsEntry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, known := c.entries[key]
	if known && !e.loaded.IsZero() && c.now().Sub(e.loaded) < c.ttl && e.at.Offset >= at.Offset {
		return e, true
	}
	if !known || e.at.Offset < at.Offset {
		e.at = at
	}
	return e, false
}

// put keeps what was loaded for a position, unless a later one is needed by now.
func (c *grantsCache) put(key grantsKey, at domain.Position, g Grants) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, known := c.entries[key]; known && e.at.Offset > at.Offset {
		return
	}
	if len(c.entries) >= c.maxEntries {
		for k, old := range c.entries { // any will do: it is loaded again when it is wanted
			if !old.loaded.IsZero() {
				delete(c.entries, k)
				break
			}
		}
	}
	c.entries[key] = grantsEntry{grants: g, loaded: c.now(), at: at}
}

// invalidate notes that a user's connections must be loaded again, at a position or later. With a student it does so only
// for those who are connected with that student, or may be from now on. It reports whether it did.
func (c *grantsCache) invalidate(school, user string, at domain.Position, student string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := grantsKey{school, user}
	e, ok := c.entries[key]
	known := ok && !e.loaded.IsZero()
	if student != "" && known && !slices.Contains(e.grants.Children, student) && !slices.Contains(e.grants.Pupils, student) &&
		len(e.grants.Teaches) == 0 && student != user {
		return false
	}
	c.entries[key] = grantsEntry{at: at}
	return true
}
