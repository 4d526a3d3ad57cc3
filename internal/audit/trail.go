package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	// MaxWaiting is how many records may wait for PostgreSQL in a process.
	MaxWaiting = 100_000
	// MaxRefusals is how many things that a reader was refused within an hour have a record each; who
	// guesses ids must not fill the table.
	MaxRefusals = 1000
	// maxGaps is of how many schools a process remembers that records of theirs are lost.
	maxGaps = 10_000
	// writeEvery is how long a record waits at most, while PostgreSQL takes it.
	writeEvery   = 500 * time.Millisecond
	writeTimeout = 10 * time.Second
	// Bounds of texts, in bytes: a record must fit into an index.
	maxThing = 512
	maxText  = 255
)

// The ways in which something was read.
const (
	REST        = "REST"
	NotModified = "304" // the reader has it already
	Socket      = "socket read"
	Room        = "room joined"
	Link        = "signed link"
)

// Things of records that are about others.
const (
	gap    = "audit: gap"    // that are lost
	others = "audit: others" // that were refused beyond MaxRefusals
)

// Read is what was read, or refused, and by whom.
type Read struct {
	School  string
	Subject string // of the reader's token
	TokenID string // its jti; may be empty
	Roles   string // of the token, separated by commas
	Thing   string // "student:ID", "document:SHA256", "room:NAME", or the path of a list with its filter
	Channel string
	Refused bool
}

// key is one record.
type key struct {
	Read
	hour int64 // since 1970
}

type entry struct {
	first, last time.Time
	count       int64
}

func (e *entry) add(o entry) {
	if e.count == 0 || o.first.Before(e.first) {
		e.first = o.first
	}
	if o.last.After(e.last) {
		e.last = o.last
	}
	e.count += o.count
}

// Config is what a trail works with.
type Config struct {
	Pool    *pgxpool.Pool // in the role schoolbell_jobs
	Metrics prometheus.Registerer
	Logger  *slog.Logger
	Keep    time.Duration // how long records are stored
	// Required refuses reads that could not be recorded.
	Required bool
	Now      func() time.Time // nil is time.Now
	// MaxWaiting is for tests; 0 is [MaxWaiting].
	MaxWaiting int
}

// Trail records reads. It is safe for concurrent use.
type Trail struct {
	Config
	metrics metrics

	mu      sync.Mutex
	waiting map[key]entry
	writing int              // records that are being written
	lost    map[string]entry // by school
	failed  error            // why the last write failed

	refusals  map[reader]int // how many records refusals have got …
	refusedIn int64          // … in this hour
}

// reader is one user of a school.
type reader struct{ school, subject string }

// New returns a trail, which writes while [Trail.Run] runs.
func New(c Config) (*Trail, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = MaxWaiting
	}
	t := &Trail{Config: c, waiting: map[key]entry{}, lost: map[string]entry{}}
	var err error
	t.metrics, err = newMetrics(c.Metrics, t.size)
	return t, err
}

// ErrFull refuses a read that could not be recorded.
var ErrFull = errors.New("reads are refused until they can be recorded: the audit has no room, as " +
	"PostgreSQL takes nothing")

// Admit returns [ErrFull] when reads must be recorded, and cannot.
func (t *Trail) Admit() error {
	if !t.Required {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full() {
		return ErrFull
	}
	return nil
}

// full reports that there is no room for another record. The lock is held.
func (t *Trail) full() bool { return len(t.waiting)+t.writing >= t.MaxWaiting }

// Note records a read. Of what clients wrote, PostgreSQL must not refuse anything: one record would
// keep all others from being stored.
func (t *Trail) Note(r Read) {
	r.Thing = storable(r.Thing, maxThing)
	for _, s := range [...]*string{&r.School, &r.Subject, &r.TokenID, &r.Roles} {
		*s = storable(*s, maxText)
	}
	now := t.Now()
	one := entry{first: now, last: now, count: 1}
	k := key{r, now.Unix() / 3600}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(t.bounded(k), one)
}

// bounded returns the record for a refusal, which is of others when the reader has got too many in
// this hour. The lock is held.
func (t *Trail) bounded(k key) key {
	if _, waits := t.waiting[k]; waits || !k.Refused {
		return k
	}
	if t.refusals == nil || t.refusedIn != k.hour {
		t.refusals, t.refusedIn = map[reader]int{}, k.hour
	}
	by := reader{k.School, k.Subject}
	if t.refusals[by] >= MaxRefusals {
		k.Thing = others
		return k
	}
	t.refusals[by]++
	return k
}

// put adds to a record. The lock is held. A read that was admitted because it would be recorded is,
// even if others were admitted at the same moment.
func (t *Trail) put(k key, e entry) {
	old, exists := t.waiting[k]
	if !exists && t.full() && (!t.Required || k.Refused) {
		lost, exists := t.lost[k.School]
		if exists || len(t.lost) < maxGaps {
			lost.add(e)
			t.lost[k.School] = lost
		}
		t.metrics.lost.Add(float64(e.count))
		return
	}
	old.add(e)
	t.waiting[k] = old
}

func (t *Trail) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.waiting) + t.writing
}

// Probe says whether records are lost, or wait for longer than they should.
func (t *Trail) Probe(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.lost) > 0:
		return fmt.Errorf("%s: reads of %d schools were not recorded", gap, len(t.lost))
	case t.failed != nil:
		return fmt.Errorf("%d records of reads wait for PostgreSQL: %w", len(t.waiting), t.failed)
	}
	return nil
}

// Run writes records until ctx ends, and then those that are left. It also deletes what is older
// than records are stored for.
func (t *Trail) Run(ctx context.Context) error {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	var pruned time.Time
	for {
		select {
		case <-ctx.Done():
			t.report(context.WithoutCancel(ctx), t.Flush(context.WithoutCancel(ctx)))
			return nil
		case <-tick.C:
		}
		t.report(ctx, t.Flush(ctx))
		if now := t.Now(); now.Sub(pruned) > time.Hour {
			more, err := t.prune(ctx)
			if err != nil {
				t.Logger.WarnContext(ctx, "delete old records of reads", "error", err)
			}
			if !more {
				pruned = now
			}
		}
	}
}

// report logs when writing begins to fail, and when it works again.
func (t *Trail) report(ctx context.Context, err error) {
	t.mu.Lock()
	was := t.failed
	t.failed = err
	t.mu.Unlock()
	switch {
	case err != nil && was == nil:
		t.Logger.WarnContext(ctx, "who reads what is recorded later", "error", err)
	case err == nil && was != nil:
		t.Logger.InfoContext(ctx, "who reads what is recorded again")
	}
}

// Flush writes what waits.
func (t *Trail) Flush(ctx context.Context) error {
	t.mu.Lock()
	records, lost := t.waiting, t.lost
	t.waiting, t.lost, t.writing = map[key]entry{}, map[string]entry{}, len(t.waiting)
	t.mu.Unlock()
	if len(records)+len(lost) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	for school, e := range lost {
		records[key{Read{School: school, Thing: gap}, e.first.Unix() / 3600}] = e
	}
	written, err := t.write(ctx, records)
	t.metrics.stored.Add(float64(written))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.writing = 0
	// What is left is not stored yet. Gaps need no room among the records.
	for k, e := range records {
		if k.Thing == gap {
			old := t.lost[k.School]
			old.add(e)
			t.lost[k.School] = old
			continue
		}
		t.put(k, e)
	}
	return err
}

// storable returns a text as PostgreSQL takes it, and shortens it to what fits.
func storable(s string, size int) string {
	if !utf8.ValidString(s) || strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	}
	if len(s) <= size {
		return s
	}
	end := size - len("…")
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
