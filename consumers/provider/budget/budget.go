// Package budget limits the SMS of a school to its monthly budget of messages, and to what an
// operator allows on a day, for a number and by country, so that whoever gets hold of a school's
// token cannot spend without end. It wraps a provider: what exceeds a limit is not sent and fails
// with that reason. What the school itself calls urgent, for example that it is closed tomorrow, is
// sent beyond the school's own budget, and never beyond the operator's limits.
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
	limits   Limits
	now      func() time.Time
}

// Limit puts a budget before a provider. The pool is in the role schoolbell_jobs. A nil clock means
// [time.Now].
func Limit(p SMSProvider, pool *pgxpool.Pool, settings consumers.SettingsSource, limits Limits,
	now func() time.Time,
) consumers.Provider {
	if now == nil {
		now = time.Now
	}
	k := &Limiter{p, pool, settings, limits, now}
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
	now := k.now()
	s, err := k.settings.At(ctx, d.School, now)
	if err != nil {
		return consumers.Receipt{},
			provider.Fail(consumers.Temporary, "database", "read settings: %w", err)
	}
	if problem := k.limits.numberProblem(d.Address, s.Phone.Country); problem != "" {
		return consumers.Receipt{}, provider.Fail(consumers.Permanent, "number", "%s", problem)
	}
	n, err := k.Count(ctx, d)
	if err != nil {
		return consumers.Receipt{}, err
	}
	reached, err := k.reserve(ctx, d, n, s, now)
	if err != nil {
		return consumers.Receipt{},
			provider.Fail(consumers.Temporary, "database", "count SMS: %w", err)
	}
	if reached != "" {
		return consumers.Receipt{},
			provider.Fail(consumers.Permanent, reached, "%s", reasons[reached])
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

// reasons say which limit a delivery has reached.
var reasons = map[string]string{
	"budget":     "the school's SMS budget for this month is used up",
	"school_day": "the school has sent as many SMS today as it may (--sms-per-school)",
	"number_day": "this number has got as many SMS today as it may (--sms-per-number)",
}

// reserve counts a delivery and returns which limit it would exceed, or "". Month and day are those
// of the school's time zone.
func (k *Limiter) reserve(
	ctx context.Context, d *consumers.Delivery, n int, s *consumers.Settings, now time.Time,
) (reached string, err error) {
	local := now.In(s.Location())
	day := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	err = k.pool.QueryRow(ctx, `SELECT schoolbell.admit_sms($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		d.ID, d.School, day, d.Address, n, s.Budget, exempt(d), k.limits.PerSchool,
		k.limits.PerNumber).Scan(&reached)
	return reached, err
}

// exempt reports what the school itself has called urgent.
func exempt(d *consumers.Delivery) bool {
	return d.Planner == "announcement" && d.Priority == consumers.Urgent
}
