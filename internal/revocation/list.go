// Package revocation holds the tokens that are refused before they expire. The truth is a table in
// PostgreSQL, which survives every restart; each process has all of it in memory, so that a check
// costs nothing and an outage of the database makes no revoked token valid.
//
// Every second a process reads what has been added since the last version that it read. A table that
// was restored from a backup gets back what the processes hold. The first change: what a revocation
// covers is in [auth.Revocation].
package revocation

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/internal/auth"
)

// MaxPerSchool is how many revocations of one school are in force at a time, as each process holds
// all of them in memory. Concurrent additions at several processes may exceed it by a few.
const MaxPerSchool = 10_000

const (
	// loadEvery is how long a process may be unaware of a revocation by another one.
	loadEvery = time.Second
	// loadTimeout is how long a reading may take, so that a database that does not respond does not
	// delay the next attempt.
	loadTimeout = 5 * time.Second
	// pruneEvery is how often expired revocations are looked for.
	pruneEvery = time.Minute
)

// id tells revocations apart.
type id struct{ school, user, token string }

// List is the revocations that are in force. It is safe for concurrent use.
type List struct {
	pool   *pgxpool.Pool
	logger *slog.Logger
	now    func() time.Time

	mu      sync.RWMutex
	revoked map[id]auth.Revocation
	schools map[string]int // how many of them each school has
	unsent  bool           // some may not be in the table

	version int64     // up to which the table has been read; used by Load only
	pruned  time.Time // used by Load only
}

// New returns a list on a pool in the role schoolbell_jobs. It is empty until [List.Load].
func New(pool *pgxpool.Pool, logger *slog.Logger) *List {
	return &List{
		pool: pool, logger: logger, now: time.Now,
		revoked: map[id]auth.Revocation{}, schools: map[string]int{},
	}
}

// Revoked reports whether a token is refused.
func (l *List) Revoked(p auth.Principal) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if len(l.revoked) == 0 {
		return false
	}
	for _, token := range []string{"", p.TokenID} {
		if r, ok := l.revoked[id{p.School, p.Subject, token}]; ok && r.Covers(p) {
			return true
		}
	}
	return false
}

// Users are the users whose tokens are refused, with the moment up to which they are. It returns a
// copy, so that a caller may take its time.
func (l *List) Users() iter.Seq[auth.Revocation] {
	l.mu.RLock()
	defer l.mu.RUnlock()
	var users []auth.Revocation
	for of, r := range l.revoked {
		if of.token == "" {
			users = append(users, r)
		}
	}
	return slices.Values(users)
}

// Add refuses tokens from now on: here at once, in all processes within two seconds. It fails with
// [auth.ErrTooManyRevocations] when the school has as many as it may. When it fails otherwise, the
// revocation is in force in this process only, until [List.Run] reaches the database again.
func (l *List) Add(ctx context.Context, r auth.Revocation) error {
	if l.full(r) {
		return auth.ErrTooManyRevocations
	}
	l.learn(r)
	err := l.store(ctx, []auth.Revocation{r})
	if err != nil {
		l.setUnsent(true)
	}
	return err
}

// Import adds what an earlier version stored elsewhere.
func (l *List) Import(ctx context.Context, earlier []auth.Revocation) error {
	now := l.now()
	earlier = slices.DeleteFunc(earlier, func(r auth.Revocation) bool { return !r.Until.After(now) })
	for _, r := range earlier {
		l.learn(r)
	}
	return l.store(ctx, earlier)
}

func (l *List) full(r auth.Revocation) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	_, exists := l.revoked[id{r.School, r.User, r.TokenID}]
	return !exists && l.schools[r.School] >= MaxPerSchool
}

// learn merges a revocation with an earlier one of the same tokens: the later time of each counts.
func (l *List) learn(r auth.Revocation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := id{r.School, r.User, r.TokenID}
	earlier, exists := l.revoked[of]
	if !exists {
		l.schools[r.School]++
	}
	if earlier.At.After(r.At) {
		r.At = earlier.At
	}
	if earlier.Until.After(r.Until) {
		r.Until = earlier.Until
	}
	l.revoked[of] = r
}

func (l *List) setUnsent(unsent bool) (was bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.unsent = l.unsent, unsent
	return was
}

// store merges revocations into the table. The lock makes the order of versions that of the
// commits: a reader that has seen a version has seen all lower ones.
func (l *List) store(ctx context.Context, list []auth.Revocation) error {
	if len(list) == 0 {
		return nil
	}
	var schools, users, tokens []string
	var at, until []time.Time
	for _, r := range list {
		schools, users, tokens = append(schools, r.School), append(users, r.User),
			append(tokens, r.TokenID)
		at, until = append(at, r.At), append(until, r.Until)
	}
	err := pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx,
			`LOCK TABLE schoolbell.revocations IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO schoolbell.revocations AS r (school, user_id, token_id, revoked_at, until)
			SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[])
			ON CONFLICT (school, user_id, token_id) DO UPDATE SET
				revoked_at = greatest(r.revoked_at, excluded.revoked_at),
				until = greatest(r.until, excluded.until), version = excluded.version`,
			schools, users, tokens, at, until)
		return err
	})
	if err != nil {
		return fmt.Errorf("store revocations: %w", err)
	}
	return nil
}

// Run loads the revocations of other processes until ctx ends.
func (l *List) Run(ctx context.Context) error {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := l.Load(ctx); err != nil && ctx.Err() == nil {
			l.logger.WarnContext(ctx, "tokens that other processes revoke are accepted until "+
				"PostgreSQL is reachable", "error", err)
		}
	}
}

// Load reads what has been added to the table, stores what it lacks, and deletes what has expired.
func (l *List) Load(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	var batch pgx.Batch
	var last int64 // the highest version that was ever given
	batch.Queue(`SELECT last_value FROM schoolbell.revocations_version_seq`).
		QueryRow(func(row pgx.Row) error { return row.Scan(&last) })
	version := l.version
	batch.Queue(`
		SELECT school, user_id, token_id, revoked_at, until, version FROM schoolbell.revocations
		WHERE version > $1`, version).
		Query(func(rows pgx.Rows) error {
			var r auth.Revocation
			var v int64
			_, err := pgx.ForEachRow(rows,
				[]any{&r.School, &r.User, &r.TokenID, &r.At, &r.Until, &v}, func() error {
					l.learn(r)
					version = max(version, v)
					return nil
				})
			return err
		})
	if err := l.pool.SendBatch(ctx, &batch).Close(); err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	if last < l.version { // an older table has been restored, or a new one made
		l.version, version = 0, 0
		l.setUnsent(true)
	}
	l.version = version
	if l.setUnsent(false) {
		if err := l.store(ctx, l.all()); err != nil {
			l.setUnsent(true)
			return err
		}
	}
	return l.prune(ctx)
}

func (l *List) all() []auth.Revocation {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return slices.Collect(maps.Values(l.revoked))
}

// prune deletes what has expired, here and in the table.
func (l *List) prune(ctx context.Context) error {
	now := l.now()
	if now.Sub(l.pruned) < pruneEvery {
		return nil
	}
	l.pruned = now
	if !l.forget(now) {
		return nil
	}
	if _, err := l.pool.Exec(ctx,
		`DELETE FROM schoolbell.revocations WHERE until <= $1`, now); err != nil {
		return fmt.Errorf("delete expired revocations: %w", err)
	}
	return nil
}

// forget deletes here what has expired, and reports whether anything had.
func (l *List) forget(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := len(l.revoked)
	for of, r := range l.revoked {
		if r.Until.After(now) {
			continue
		}
		delete(l.revoked, of)
		if l.schools[of.school]--; l.schools[of.school] == 0 {
			delete(l.schools, of.school)
		}
	}
	return len(l.revoked) < before
}
