package authors

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/schoolbell/schoolbell/domain"
)

const (
	// maxWriters is how many writers a process remembers, and how many rows may wait for PostgreSQL.
	maxWriters = 10_000
	// storeLimit is how long the first request of a writer waits for its row.
	storeLimit = 250 * time.Millisecond
	storeEvery = time.Second
)

// Token is what identifies a writer, and the token that was shown.
type Token struct {
	Subject  string // its sub
	ID       string // its jti; may be empty
	Operator bool   // of the platform: another person than the school's user of the same name
}

// writer is a token's subject at a school.
type writer struct {
	school, subject string
	operator        bool
}

// Authors hashes writers and stores who they are. It is safe for concurrent use.
type Authors struct {
	pool   *pgxpool.Pool
	key    []byte
	logger *slog.Logger

	mu     sync.Mutex
	stored map[writer]string    // by writer, the hash; their rows are in the table
	unsent map[writer]time.Time // since when rows have waited for PostgreSQL
}

// Open reads the key of all hashes. The pool is one in the role schoolbell_jobs.
func Open(ctx context.Context, pool *pgxpool.Pool, logger *slog.Logger) (*Authors, error) {
	a := &Authors{
		pool: pool, logger: logger, stored: map[writer]string{}, unsent: map[writer]time.Time{},
	}
	if err := pool.QueryRow(ctx, `SELECT key FROM schoolbell.author_key`).Scan(&a.key); err != nil {
		return nil, fmt.Errorf("read the key of authors: %w", err)
	}
	return a, nil
}

// Of returns what events that a bearer writes to a school are marked with.
func (a *Authors) Of(ctx context.Context, school string, t Token) domain.Author {
	return domain.Author{
		Subject: a.hashOf(ctx, writer{school, t.Subject, t.Operator}),
		TokenID: a.tokenID(school, t.ID),
	}
}

// tokenID is the jti itself, which is random with all providers, or its hash when it is no id that
// an event can carry.
func (a *Authors) tokenID(school, id string) string {
	var f domain.Faults
	if f.OptionalID("", id); f.Err() != nil {
		return "hash:" + a.hash(school, "token", id)
	}
	return id
}

func (a *Authors) hashOf(ctx context.Context, w writer) string {
	a.mu.Lock()
	hash, stored := a.stored[w]
	away := len(a.unsent) > 0
	a.mu.Unlock()
	if stored {
		return hash
	}
	hash = a.actor(w)
	now := time.Now()
	if !away {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeLimit)
		defer cancel()
		err := a.store(limited, map[writer]time.Time{w: now})
		if err == nil {
			return hash
		}
		a.logger.WarnContext(ctx, "who wrote events is stored later", "error", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	// One that finds no room is stored with a later event of the writer.
	if _, waits := a.unsent[w]; !waits && len(a.unsent) < maxWriters {
		a.unsent[w] = now
	}
	return hash
}

// actor is what events carry of a writer.
func (a *Authors) actor(w writer) string {
	kind := "user"
	if w.operator {
		kind = "operator"
	}
	return "token:" + a.hash(w.school, kind, w.subject)
}

// hash depends on the school first, so that hashes of two schools cannot be compared.
func (a *Authors) hash(school, kind, value string) string {
	mac := func(key []byte, text string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	sum := mac(mac(a.key, school), kind+"\x00"+value)
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Run stores the rows that have waited for PostgreSQL, until ctx ends.
func (a *Authors) Run(ctx context.Context) error {
	tick := time.NewTicker(storeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := a.flush(ctx); err != nil && ctx.Err() == nil {
			a.logger.WarnContext(ctx, "who wrote events is stored later", "error", err)
		}
	}
}

func (a *Authors) flush(ctx context.Context) error {
	a.mu.Lock()
	waiting := maps.Clone(a.unsent)
	a.mu.Unlock()
	if len(waiting) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return a.store(limited, waiting)
}

// store writes rows, and remembers that they are written.
func (a *Authors) store(ctx context.Context, writers map[writer]time.Time) error {
	n := len(writers)
	schools, hashes, subjects := make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	operators, at := make([]bool, 0, n), make([]time.Time, 0, n)
	of := make(map[writer]string, n)
	for w, first := range writers {
		of[w] = a.actor(w)
		schools, hashes, subjects = append(schools, w.school), append(hashes, of[w]),
			append(subjects, w.subject)
		operators, at = append(operators, w.operator), append(at, first)
	}
	_, err := a.pool.Exec(ctx, `
		INSERT INTO schoolbell.actors (school, actor, subject, operator, first_at)
		SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::timestamptz[])
		ON CONFLICT DO NOTHING`, schools, hashes, subjects, operators, at)
	if err != nil {
		return fmt.Errorf("store who wrote events: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.stored)+n > maxWriters {
		clear(a.stored)
	}
	for w, hash := range of {
		a.stored[w] = hash
		delete(a.unsent, w)
	}
	return nil
}
