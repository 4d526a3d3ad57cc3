package realtime

import (
	"context"
	"time"
)

// sweep ends sessions whose token has expired or is revoked, including those with nothing to send,
// and those whose log is no longer the one that they have followed.
func (h *Hub) sweep(ctx context.Context) error {
	return every(ctx, time.Second, func() {
		now := h.cfg.Now()
		for _, s := range h.allSessions() {
			switch {
			case s.expired(now):
				s.Close(CloseExpired)
			case h.revoked(s.Identity()):
				s.Close(CloseRevoked)
			case h.cfg.Refused(s.school.partition.number) != nil:
				s.Close(CloseResync)
			}
		}
	})
}

// every calls do at an interval until ctx ends, and returns the error of ctx.
func every(ctx context.Context, interval time.Duration, do func()) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			do()
		}
	}
}

// Drain refuses new sessions and closes the open ones evenly over a time, each with
// [CloseShutdown], after which its client reconnects. The other nodes so receive them spread out
// rather than all at once. It returns when all sessions have ended, or ctx ends.
func (h *Hub) Drain(ctx context.Context, over time.Duration) {
	h.draining.Store(true)
	all := h.allSessions()
	batches := min(20, len(all))
	tick := time.NewTicker(max(over/time.Duration(max(1, batches)), time.Millisecond))
	defer tick.Stop()
	for i := range batches {
		for _, s := range all[i*len(all)/batches : (i+1)*len(all)/batches] {
			s.Close(CloseShutdown)
		}
		if i == batches-1 {
			break
		}
		select {
		case <-ctx.Done():
			for _, s := range all {
				s.Close(CloseShutdown)
			}
			return
		case <-tick.C:
		}
	}
	tick.Reset(10 * time.Millisecond)
	for h.sessions.Load() > 0 && ctx.Err() == nil {
		for _, s := range h.allSessions() { // some may have opened meanwhile
			s.Close(CloseShutdown)
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}
