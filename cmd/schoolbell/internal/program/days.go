package program

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// days says what day it is at a school, by the time zone of its settings.
type days struct {
	pool *postgres.Pool
	now  func() time.Time

	mu    sync.Mutex
	zones map[string]zone
}

type zone struct {
	location *time.Location
	loaded   time.Time
}

// zoneMaxAge is how long after a change of its time zone a school may still have the day of the one
// before.
const zoneMaxAge = 5 * time.Second

func newDays(pool *postgres.Pool) *days {
	return &days{pool: pool, now: time.Now, zones: map[string]zone{}}
}

// today returns the school's day. Only schools for which a token was shown are asked about, so what
// is kept is bounded by their number.
func (d *days) today(ctx context.Context, school string) (domain.Date, error) {
	now := d.now()
	d.mu.Lock()
	z, ok := d.zones[school]
	d.mu.Unlock()
	if !ok || now.Sub(z.loaded) > zoneMaxAge {
		z = zone{loaded: now}
		if err := d.pool.Read(ctx, school, func(tx pgx.Tx) (err error) {
			z.location, err = ledger.ZoneOf(ctx, tx, school)
			return err
		}); err != nil {
			return 0, err
		}
		d.mu.Lock()
		d.zones[school] = z
		d.mu.Unlock()
	}
	return domain.DateOf(now.In(z.location)), nil
}
