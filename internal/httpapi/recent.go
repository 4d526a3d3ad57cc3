package httpapi

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

const (
	// recentFor is how long an event is remembered, at least: producers repeat a request that they
	// have no response to within seconds.
	recentFor = time.Minute
	// recentMax bounds the memory, to about 20 MB. Above 1,700 events a second they are remembered
	// for a shorter time.
	recentMax = 100_000
)

// recent remembers the events that this process has written to the log, so that a producer learns
// that it repeats itself. It is an aid only: whether an event counts is decided by the readers of
// the log, who see what came through other processes as well.
type recent struct {
	now  func() time.Time
	seed [2]maphash.Seed

	mu       sync.Mutex
	current  map[eventKey]written
	previous map[eventKey]written
	since    time.Time // when current began
}

// eventKey is a hash of an event's school, source and id, too long to meet another one's.
type eventKey [2]uint64

// written is an event in the log.
type written struct {
	content uint64 // of its type and data
	at      domain.Position
}

func newRecent(now func() time.Time) *recent {
	return &recent{
		now: now, seed: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		current: map[eventKey]written{}, since: now(),
	}
}

func (r *recent) key(e *domain.Envelope) (k eventKey) {
	type identity struct{ school, source, id string }
	for i, seed := range r.seed {
		k[i] = maphash.Comparable(seed, identity{e.School, e.Source, e.ID})
	}
	return k
}

// content leaves the time out, which of an event without one is that of its request.
func (r *recent) content(e *domain.Envelope, rec *eventlog.Record) uint64 {
	type content struct{ eventType, data string }
	return maphash.Comparable(r.seed[0], content{e.Type, string(rec.Value)})
}

// find returns what is remembered of the keys, by their index.
func (r *recent) find(keys []eventKey) map[int]written {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	var found map[int]written
	for i, k := range keys {
		w, ok := r.current[k]
		if !ok {
			w, ok = r.previous[k]
		}
		if !ok {
			continue
		}
		if found == nil {
			found = map[int]written{}
		}
		found[i] = w
	}
	return found
}

// add remembers an event unless there is an earlier one of its key.
func (r *recent) add(keys []eventKey, all []written) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	for i, k := range keys {
		if _, ok := r.current[k]; !ok {
			r.current[k] = all[i]
		}
	}
}

// forget drops what is older than the events of the last minute, half of the memory at a time.
func (r *recent) forget() {
	now := r.now()
	switch age := now.Sub(r.since); {
	case age >= 2*recentFor:
		r.previous = nil
	case age >= recentFor, len(r.current) >= recentMax:
		r.previous = r.current
	default:
		return
	}
	r.current, r.since = map[eventKey]written{}, now
}
