package program

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections/query"
)

// days says what day it is at a school, by the time zone of its settings, and what the school has
// decided about access and numbers.
type days struct {
	pool   *postgres.Pool
	now    func() time.Time
	maxAge time.Duration // of settings, after a change

	mu      sync.Mutex
	schools map[string]decided
}

// decided is what the settings of a school say.
type decided struct {
	policy  access.Policy
	numbers query.Settings
	loaded  time.Time
}

// How long after a change of its settings a school may still have the day and the rights of the ones
// before: for queries, which read other tables too; and for live connections, which look up the day
// of every school that is connected all the time.
const (
	settingsMaxAge     = 2 * time.Second
	liveSettingsMaxAge = 10 * time.Second
)

func newDays(pool *postgres.Pool, maxAge time.Duration) *days {
	return &days{pool: pool, now: time.Now, maxAge: maxAge, schools: map[string]decided{}}
}

// today returns the school's day.
func (d *days) today(ctx context.Context, school string) (domain.Date, error) {
	s, err := d.of(ctx, school)
	if err != nil {
		return 0, err
	}
	return domain.DateOf(d.now().In(s.numbers.Location())), nil
}

// policy returns what the school has decided about access.
func (d *days) policy(ctx context.Context, school string) (access.Policy, error) {
	s, err := d.of(ctx, school)
	return s.policy, err
}

// numbers returns what the school has decided that numbers depend on.
func (d *days) numbers(ctx context.Context, school string) (query.Settings, error) {
	s, err := d.of(ctx, school)
	return s.numbers, err
}

// of returns what the settings of a school say. Only schools for which a token was shown are looked
// up, so what is stored is bounded by their number.
func (d *days) of(ctx context.Context, school string) (decided, error) {
	now := d.now()
	d.mu.Lock()
	s, ok := d.schools[school]
	d.mu.Unlock()
	if ok && now.Sub(s.loaded) <= d.maxAge {
		return s, nil
	}
	s = decided{loaded: now}
	if err := d.pool.Read(ctx, school, func(tx pgx.Tx) error {
		now, err := ledger.SettingsOf(ctx, tx, school)
		if err == nil {
			s.policy, s.numbers = now.Access(), numbersOf(now)
		}
		return err
	}); err != nil {
		return s, err
	}
	d.mu.Lock()
	d.schools[school] = s
	d.mu.Unlock()
	return s, nil
}

// numbersOf returns those of a school's settings that numbers depend on.
func numbersOf(s *consumers.Settings) query.Settings {
	return query.Settings{
		Version: s.Version, Zone: s.Location(), YearFrom: s.YearFrom, Week: s.SchoolWeek(),
		Attendance: s.Attendance, Marks: s.Marks,
	}
}
