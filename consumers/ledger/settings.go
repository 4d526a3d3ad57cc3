package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/consumers"
)

// Settings stores the settings of schools, in all versions: an event is planned with those that
// were in force when it was appended, so that planning it again gives the same. It implements
// [consumers.SettingsSource].
type Settings struct {
	pool *pgxpool.Pool

	mu     sync.Mutex
	loaded time.Time
	all    map[string][]version
}

type version struct {
	from     time.Time
	settings *consumers.Settings
}

// NewSettings returns the settings in a database. The pool has the role schoolbell_jobs.
func NewSettings(pool *pgxpool.Pool) *Settings { return &Settings{pool: pool} }

// settingsMaxAge is how long settings are cached. An event that was appended less than this after a
// change may still be planned with the settings before.
const settingsMaxAge = time.Second

// At implements [consumers.SettingsSource].
func (s *Settings) At(ctx context.Context, school string, at time.Time) (*consumers.Settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	return s.at(school, at), nil
}

func (s *Settings) at(school string, at time.Time) *consumers.Settings {
	for _, version := range slices.Backward(s.all[school]) {
		if !version.from.After(at) {
			return version.settings
		}
	}
	return &consumers.Settings{School: school}
}

// reminding returns the settings of the schools that want reminders of fees, by school.
func (s *Settings) reminding(ctx context.Context, at time.Time) (schools []*consumers.Settings, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	for _, school := range slices.Sorted(maps.Keys(s.all)) {
		if now := s.at(school, at); now.Reminders.Max > 0 {
			schools = append(schools, now)
		}
	}
	return schools, nil
}

// refresh reads the settings unless they have just been read. The caller holds the lock.
func (s *Settings) refresh(ctx context.Context) error {
	if time.Since(s.loaded) <= settingsMaxAge {
		return nil
	}
	return s.load(ctx)
}

func (s *Settings) load(ctx context.Context) error {
	rows, _ := s.pool.Query(ctx, `
		SELECT school, version, valid_from, settings FROM schoolbell.school_settings
		ORDER BY school, version`)
	all := map[string][]version{}
	var school string
	var v version
	var number int64
	var b []byte
	if _, err := pgx.ForEachRow(rows, []any{&school, &number, &v.from, &b}, func() error {
		v.settings = &consumers.Settings{}
		if err := json.Unmarshal(b, v.settings); err != nil {
			return fmt.Errorf("settings %d of school %q: %w", number, school, err)
		}
		v.settings.School, v.settings.Version = school, number
		all[school] = append(all[school], v)
		return nil
	}); err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	s.all, s.loaded = all, time.Now()
	return nil
}

// Current returns the settings of a school that are in force now, past the cache; never nil.
func (s *Settings) Current(ctx context.Context, school string) (*consumers.Settings, error) {
	return SettingsOf(ctx, s.pool, school)
}

// SettingsOf returns the settings of a school that are in force; never nil. The connection, or the
// transaction, may be of any role that reads the school.
func SettingsOf(ctx context.Context, from interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, school string,
) (*consumers.Settings, error) {
	now := &consumers.Settings{}
	var b []byte
	err := from.QueryRow(ctx, `
		SELECT version, settings FROM schoolbell.school_settings
		WHERE school = $1 AND valid_from <= clock_timestamp()
		ORDER BY version DESC LIMIT 1`, school).Scan(&now.Version, &b)
	if err == nil {
		err = json.Unmarshal(b, now)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("read settings of school %q: %w", school, err)
	}
	now.School = school
	return now, nil
}

// Set replaces the settings of a school from now on, whatever they were.
func (s *Settings) Set(ctx context.Context, settings *consumers.Settings, actor string) error {
	return s.SetFrom(ctx, settings, actor, time.Now())
}

// SetFrom replaces the settings of a school from a time on, which may be in the past: for events
// that were appended before the school had any.
func (s *Settings) SetFrom(ctx context.Context, settings *consumers.Settings, actor string, from time.Time) error {
	_, err := s.write(ctx, settings, anyVersion, actor, from)
	return err
}

// ErrStale means that the settings have been changed since they were read.
var ErrStale = errors.New("the settings have been changed meanwhile")

// Replace replaces a version of the settings of a school, 0 for none, and returns the new version.
// The error is [ErrStale] when they have been changed since.
func (s *Settings) Replace(ctx context.Context, settings *consumers.Settings, version int64, actor string) (int64, error) {
	return s.write(ctx, settings, version, actor, time.Now())
}

// maxChangeTries bounds how often a change is repeated because another one was quicker.
const maxChangeTries = 100

// Change changes the settings that are in force, also when others change them at the same time. A
// change that changes nothing makes no version.
func (s *Settings) Change(ctx context.Context, school, actor string, change func(*consumers.Settings)) error {
	for range maxChangeTries {
		now, err := s.Current(ctx, school)
		if err != nil {
			return err
		}
		version := now.Version
		before, err := json.Marshal(now, json.Deterministic(true))
		if err != nil {
			return fmt.Errorf("encode settings: %w", err)
		}
		change(now)
		after, err := json.Marshal(now, json.Deterministic(true))
		if err != nil {
			return fmt.Errorf("encode settings: %w", err)
		}
		if bytes.Equal(before, after) {
			return nil // versions are never deleted
		}
		if _, err = s.Replace(ctx, now, version, actor); !errors.Is(err, ErrStale) {
			return err
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ErrStale
}

const anyVersion = -1

// write inserts a version that follows the version over, or any.
func (s *Settings) write(
	ctx context.Context, settings *consumers.Settings, over int64, actor string, from time.Time,
) (version int64, err error) {
	if settings.School == "" {
		return 0, errors.New("settings belong to a school")
	}
	if settings.KeepLogo {
		now, err := s.Current(ctx, settings.School)
		if err != nil {
			return 0, err
		}
		settings.Logo, settings.KeepLogo = now.Logo, false
	}
	b, err := json.Marshal(settings)
	if err != nil {
		return 0, fmt.Errorf("encode settings: %w", err)
	}
	if err := s.checkVersions(ctx, settings.School); err != nil {
		return 0, err
	}
	err = s.pool.QueryRow(ctx, `
		INSERT INTO schoolbell.school_settings (school, version, valid_from, settings, actor)
		SELECT $1, n + 1, $2, $3, $4 FROM (
			SELECT coalesce(max(version), 0) AS n FROM schoolbell.school_settings WHERE school = $1
		) newest
		WHERE $5::bigint IN (n, $6::bigint)
		ON CONFLICT DO NOTHING
		RETURNING version`, settings.School, from, b, actor, over, anyVersion).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, ErrStale
	}
	if err != nil {
		return 0, fmt.Errorf("write settings: %w", err)
	}
	// This process sees its own change at once; the others within settingsMaxAge.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = time.Time{}
	return version, nil
}

// MaxVersions is how many versions of its settings a school may make in 24 hours: they are never
// deleted, as events are planned by the one of their time.
const MaxVersions = 200

// ErrTooManyVersions means that a school has changed its settings too often.
var ErrTooManyVersions = fmt.Errorf("the settings were changed %d times within 24 hours; "+
	"try again later", MaxVersions)

// checkVersions returns [ErrTooManyVersions] when there is room for none.
func (s *Settings) checkVersions(ctx context.Context, school string) error {
	var full bool
	if err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM schoolbell.school_settings WHERE school = $1
			AND valid_from > clock_timestamp() - interval '24 hours'
			AND version = (SELECT max(version) - $2 + 1 FROM schoolbell.school_settings
				WHERE school = $1))`, school, MaxVersions).Scan(&full); err != nil {
		return fmt.Errorf("count versions of the settings of school %q: %w", school, err)
	}
	if full {
		return ErrTooManyVersions
	}
	return nil
}

// SettingsVersion is one of the versions of a school's settings.
type SettingsVersion struct {
	Version  int64               `json:"version"`
	From     time.Time           `json:"from" doc:"The time from which it was in force"`
	By       string              `json:"by,omitzero" doc:"Who made it: the sub of a token"`
	Settings *consumers.Settings `json:"settings"`
}

// Versions returns the latest versions of a school's settings, the newest first.
func (s *Settings) Versions(
	ctx context.Context, school string, limit int,
) ([]SettingsVersion, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT version, valid_from, actor, settings FROM schoolbell.school_settings
		WHERE school = $1 ORDER BY version DESC LIMIT $2`, school, limit)
	versions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (v SettingsVersion, err error) {
		var b []byte
		if err := row.Scan(&v.Version, &v.From, &v.By, &b); err != nil {
			return v, err
		}
		v.From, v.Settings = v.From.UTC(), &consumers.Settings{School: school, Version: v.Version}
		return v, json.Unmarshal(b, v.Settings)
	})
	if err != nil {
		return nil, fmt.Errorf("read versions of settings of school %q: %w", school, err)
	}
	return versions, nil
}
