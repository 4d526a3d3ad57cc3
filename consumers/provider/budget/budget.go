// Package budget limits the SMS of a school to its monthly budget of messages. It wraps a provider:
// what exceeds the budget is not sent and fails with that reason. Only what the school itself calls
// urgent, for example that it is closed tomorrow, is always sent; it is counted like everything
// else.
//
// A delivery is counted before it is sent and only once, however often it is tried. When it was
// certainly not sent the count is taken back; when that is unknown it stays, because the service
// may charge for it.
//
// The first change: what is exempt from the budget is decided in exempt.
package budget

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/provider"
)

// SMSProvider is a provider that knows in advance what a delivery costs.
type SMSProvider interface {
	consumers.Provider
	// Count returns the number of messages that a delivery will be charged as.
	Count(ctx context.Context, d *consumers.Delivery) (int, error)
}

// Limiter is a provider with a budget.
type Limiter struct {
	SMSProvider
	pool     *pgxpool.Pool
	settings consumers.SettingsSource
	now      func() time.Time
}

// Limit puts a budget before a provider. The pool is in the role schoolbell_jobs. A nil clock means
// [time.Now].
func Limit(p SMSProvider, pool *pgxpool.Pool, settings consumers.SettingsSource,
	now func() time.Time,
) consumers.Provider {
	if now == nil {
		now = time.Now
	}
	k := &Limiter{p, pool, settings, now}
	if s, ok := p.(consumers.StatusProvider); ok {
		return &statusLimiter{k, s}
	}
	return k
}

// statusLimiter is a Limiter of a provider that can look up a delivery's status, so that the budget
// hides no ability.
type statusLimiter struct {
	*Limiter
	provider consumers.StatusProvider
}

// Status implements [consumers.StatusProvider].
func (k *statusLimiter) Status(ctx context.Context,
	d *consumers.Delivery,
) (consumers.Receipt, bool, error) {
	return k.provider.Status(ctx, d)
}

// Send implements [consumers.Provider].
func (k *Limiter) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	n, err := k.Count(ctx, d)
	if err != nil {
		return consumers.Receipt{}, err
	}
	within, err := k.reserve(ctx, d, n)
	if err != nil {
		return consumers.Receipt{},
			provider.Fail(consumers.Temporary, "database", "count SMS: %w", err)
	}
	if !within {
		return consumers.Receipt{},
			provider.Fail(consumers.Permanent, "budget",
				"the school's SMS budget for this month is used up")
	}
	r, err := k.SMSProvider.Send(ctx, d)
	var e *consumers.SendError
	if errors.As(err, &e) && e.Class != consumers.Unsure {
		// If this fails the school has a message less. The next attempt counts the same delivery,
		// once.
		_, _ = k.pool.Exec(context.WithoutCancel(ctx), `SELECT schoolbell.uncount_sms($1)`, d.ID)
	}
	return r, err
}

// reserve counts a delivery and reports whether it is within the budget. The month is that of the
// school's time zone.
func (k *Limiter) reserve(ctx context.Context, d *consumers.Delivery,
	n int,
) (within bool, err error) {
	now := k.now()
	s, err := k.settings.At(ctx, d.School, now)
	if err != nil {
		return false, err
	}
	local := now.In(s.Location())
	month := time.Date(local.Year(), local.Month(), 1, 0, 0, 0, 0, time.UTC)
	err = k.pool.QueryRow(ctx, `SELECT schoolbell.count_sms($1, $2, $3, $4, $5, $6)`,
		d.ID, d.School, month, n, s.Budget, exempt(d)).Scan(&within)
	return within, err
}

// exempt reports what the school itself has called urgent.
func exempt(d *consumers.Delivery) bool {
	return d.Planner == "announcement" && d.Priority == consumers.Urgent
}
