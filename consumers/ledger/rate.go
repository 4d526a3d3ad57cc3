package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
)

// waitForSlot waits until the provider of the channel may be called. Slots are allotted by the
// database, so the rate limit holds for all processes together.
func (l *Ledger) waitForSlot(ctx context.Context, channel consumers.Channel) error {
	slots := l.slots[channel]
	if slots == nil {
		return nil
	}
	at, err := slots.submit(ctx, struct{}{})
	if err != nil {
		return err
	}
	wait := time.NewTimer(time.Until(at))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeSlots takes the next n slots of a provider.
func (l *Ledger) takeSlots(
	ctx context.Context, provider string, rate float64, n int,
) ([]time.Time, error) {
	every := time.Duration(float64(time.Second) / rate)
	var ahead time.Duration
	err := l.pool.QueryRow(ctx, `
		INSERT INTO schoolbell.ledger_rates AS r (provider, next_at)
		VALUES ($1, clock_timestamp() + $2::interval)
		-- unused time is lost: a provider limits the rate, not the number
		ON CONFLICT (provider) DO UPDATE
			SET next_at = greatest(r.next_at, clock_timestamp()) + $2::interval
		RETURNING next_at - $2::interval - clock_timestamp()`,
		provider, every*time.Duration(n)).Scan(&ahead)
	if err != nil {
		return nil, fmt.Errorf("take slots of provider %s: %w", provider, err)
	}
	// The database returns a duration, since its clock may differ from ours.
	first := time.Now().Add(ahead)
	slots := make([]time.Time, n)
	for i := range slots {
		slots[i] = first.Add(time.Duration(i) * every)
	}
	return slots, nil
}

// maxPause bounds how long one response can stop all workers. It is less than a worker's time for a
// job.
const maxPause = 5 * time.Second

// throttle stops all calls to a provider for a while, if it has a rate limit at all. The delivery
// that was refused waits in any case.
func (l *Ledger) throttle(ctx context.Context, provider string, pause time.Duration) {
	_, err := l.pool.Exec(ctx, `
		UPDATE schoolbell.ledger_rates
		SET next_at = greatest(next_at, clock_timestamp() + $2::interval) WHERE provider = $1`,
		provider, min(pause, maxPause))
	if err != nil {
		l.cfg.Logger.WarnContext(ctx, "cannot store the pause that a provider wants",
			"provider", provider, "error", err)
	}
}
