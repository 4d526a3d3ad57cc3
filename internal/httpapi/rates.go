package httpapi

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// rates limits how many events a token may send, or requests a school, with a token bucket each.
type rates struct {
	limit rate.Limit
	burst int

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
	sweepAt int // the number of buckets at which full ones are removed
}

// minSweep is the number of buckets below which removing full ones is not worth a scan.
const minSweep = 1024

func newRates(perSecond float64, burst int) *rates {
	return &rates{
		limit: rate.Limit(perSecond), burst: burst, buckets: map[string]*rate.Limiter{},
		sweepAt: minSweep,
	}
}

// take takes n out of a bucket and returns 0, or takes nothing and returns how long to wait.
func (l *rates) take(key string, n int) time.Duration {
	if n <= 0 {
		return 0
	}
	now := time.Now()
	r := l.bucket(key, now).ReserveN(now, n)
	if !r.OK() { // more than the burst: it can never pass
		return time.Second
	}
	// A refused request must not use up what the next one could have.
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

// bucket returns the bucket of a key. A full bucket is the same as none, so full ones can be
// removed: memory follows the number of active tokens, not of all that were ever seen.
func (l *rates) bucket(key string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.buckets[key]
	if b == nil {
		if len(l.buckets) >= l.sweepAt {
			for k, old := range l.buckets {
				if old.TokensAt(now) >= float64(l.burst) {
					delete(l.buckets, k)
				}
			}
			l.sweepAt = max(minSweep, 2*len(l.buckets))
		}
		b = rate.NewLimiter(l.limit, l.burst)
		l.buckets[key] = b
	}
	return b
}
