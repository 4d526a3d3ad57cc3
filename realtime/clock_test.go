package realtime_test

import (
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/eventlog"
)

type record = eventlog.Record

// fakeClock shows a time that tests move.
type fakeClock struct {
	mu    sync.Mutex
	since time.Duration
}

var noon = time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC)

func (c *fakeClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return noon.Add(c.since)
}

func (c *fakeClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since += d
}
