package realtime

import (
	"cmp"
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Pace is the speed at which the requests of one client are served. A client that sends more at
// once is not refused: the rest of its requests wait, as nothing more is read from it meanwhile. Only
// one that goes on to send more than its rate is closed in the end.
type Pace struct {
	limiter  *rate.Limiter
	patience time.Duration
	behind   time.Time // since when requests have had to wait; zero if the last one did not
}

// DefaultPatience is how long a client may send faster than its rate before it is closed.
const DefaultPatience = 10 * time.Second

// NewPace returns the pace of a client: so many requests per second, and at once so many. A patience
// of 0 means [DefaultPatience].
func NewPace(perSecond float64, burst int, patience time.Duration) *Pace {
	return &Pace{
		limiter:  rate.NewLimiter(rate.Limit(perSecond), burst),
		patience: cmp.Or(patience, DefaultPatience),
	}
}

// Take counts a request that has been read, and returns how long it has to wait before it is served.
// The error is [CloseTooManyCalls] for a client whose requests have had to wait for too long.
func (p *Pace) Take() (time.Duration, error) {
	now := time.Now()
	wait := p.limiter.ReserveN(now, 1).DelayFrom(now)
	switch {
	case wait == 0:
		p.behind = time.Time{}
	case p.behind.IsZero():
		p.behind = now
	case now.Sub(p.behind) > p.patience:
		return 0, CloseTooManyCalls
	}
	return wait, nil
}

// Wait waits for as long as Take says, or until ctx ends.
func (p *Pace) Wait(ctx context.Context) error {
	wait, err := p.Take()
	if err != nil || wait == 0 {
		return err
	}
	return Pause(ctx, wait)
}

// Pause waits for a time, or until ctx ends, and then returns its error.
func Pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
