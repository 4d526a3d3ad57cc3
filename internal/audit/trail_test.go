package audit_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/audit"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

type bundle struct {
	*testing.T
	trail      *audit.Trail
	api, owner *postgres.Pool
	registry   *prometheus.Registry

	mu  sync.Mutex
	now time.Time
}

func setup(t *testing.T, configure ...func(*audit.Config)) *bundle {
	t.Helper()
	dsn := devtest.Postgres(t)
	b := &bundle{
		T: t, api: devtest.Pool(t, dsn, postgres.API), owner: devtest.Pool(t, dsn, postgres.Owner),
		registry: prometheus.NewRegistry(), now: time.Date(2026, 9, 1, 8, 10, 0, 0, time.UTC),
	}
	c := audit.Config{
		Pool: devtest.Pool(t, dsn, postgres.Jobs).Conns(), Metrics: b.registry,
		Logger: slog.New(slog.DiscardHandler), Keep: 400 * 24 * time.Hour, Now: b.time,
	}
	for _, f := range configure {
		f(&c)
	}
	var err error
	b.trail, err = audit.New(c)
	require.NoError(t, err)
	return b
}

func (b *bundle) time() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *bundle) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bundle) exec(sql string) {
	b.Helper()
	_, err := b.owner.Conns().Exec(b.Context(), sql)
	require.NoError(b, err)
}

func (b *bundle) list(school string, f audit.Filter) (list []audit.Record) {
	b.Helper()
	if f.Limit == 0 {
		f.Limit = 1000
	}
	require.NoError(b, b.api.Read(b.Context(), school, func(tx pgx.Tx) (err error) {
		list, err = audit.List(b.Context(), tx, school, f)
		return err
	}))
	return list
}

func read(thing string) audit.Read {
	return audit.Read{
		School: "north", Subject: "t-1", TokenID: "jti", Roles: "teacher", Thing: thing,
		Channel: audit.REST,
	}
}

// One record for each reader, thing, channel and hour, whichever processes and moments it comes from.
func TestReadsOfAnHourAreOneRecord(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		for range 2 {
			b.trail.Note(read("student:s-1"))
			b.pass(time.Second)
		}
		require.NoError(t, b.trail.Flush(t.Context()))
	}
	first := time.Date(2026, 9, 1, 8, 10, 0, 0, time.UTC)
	require.Equal(t, []audit.Record{{
		Hour: first.Truncate(time.Hour), Subject: "t-1", TokenID: "jti", Roles: "teacher",
		Thing: "student:s-1", Channel: audit.REST, FirstAt: first, LastAt: first.Add(5 * time.Second),
		Count: 6,
	}}, b.list("north", audit.Filter{}))

	b.pass(time.Hour)
	refused := read("student:s-1")
	refused.Refused = true
	other := read("student:s-1")
	other.School, other.TokenID = "south", "another"
	for _, r := range []audit.Read{read("student:s-1"), read("student:s-2"), refused, other} {
		b.trail.Note(r)
	}
	require.NoError(t, b.trail.Flush(t.Context()))
	all := b.list("north", audit.Filter{})
	require.Len(t, all, 4)
	require.Len(t, b.list("south", audit.Filter{}), 1)
	require.Len(t, b.list("north", audit.Filter{Thing: "student:s-1"}), 3)
	require.Len(t, b.list("north", audit.Filter{From: first.Truncate(time.Hour).Add(time.Hour)}), 3)
	require.Len(t, b.list("north", audit.Filter{To: first.Truncate(time.Hour).Add(time.Hour)}), 1)
	require.Empty(t, b.list("north", audit.Filter{Subject: "t-2"}))
	var paged []audit.Record
	var after *audit.Record
	for {
		page := b.list("north", audit.Filter{After: after, Limit: 1})
		if len(page) == 0 {
			break
		}
		paged = append(paged, page...)
		after = &page[0]
	}
	require.Equal(t, all, paged)
}

// Reads go on without PostgreSQL. What finds no room is a gap, in the audit of its school.
func TestALostRecordIsAGap(t *testing.T) {
	t.Parallel()
	const room = 5
	b := setup(t, func(c *audit.Config) { c.MaxWaiting = room })
	b.exec("ALTER TABLE schoolbell.audit RENAME TO away")
	for i := range room + 3 {
		b.trail.Note(read(fmt.Sprintf("student:s-%d", i)))
		require.NoError(t, b.trail.Admit())
	}
	b.trail.Note(read("student:s-0")) // has a record
	require.Error(t, b.trail.Flush(t.Context()))
	require.ErrorContains(t, b.trail.Probe(t.Context()), "audit: gap")
	require.NoError(t, testutil.GatherAndCompare(b.registry, strings.NewReader(`
# HELP schoolbell_audit_records_total Records of who read what: stored, or lost because too many waited for PostgreSQL.
# TYPE schoolbell_audit_records_total counter
schoolbell_audit_records_total{result="lost"} 3
schoolbell_audit_records_total{result="stored"} 0
# HELP schoolbell_audit_waiting Records of who read what that are not in PostgreSQL yet.
# TYPE schoolbell_audit_waiting gauge
schoolbell_audit_waiting 5
`), "schoolbell_audit_records_total", "schoolbell_audit_waiting"))

	b.exec("ALTER TABLE schoolbell.away RENAME TO audit")
	require.NoError(t, b.trail.Flush(t.Context()))
	list := b.list("north", audit.Filter{})
	require.Len(t, list, room+1)
	gap := b.list("north", audit.Filter{Thing: "audit: gap"})
	require.Len(t, gap, 1)
	require.EqualValues(t, 3, gap[0].Count)
	require.EqualValues(t, 2, b.list("north", audit.Filter{Thing: "student:s-0"})[0].Count)
	require.NoError(t, b.trail.Probe(t.Context()))
	b.trail.Note(read("student:s-9"))
	require.NoError(t, b.trail.Flush(t.Context()))
	require.Len(t, b.list("north", audit.Filter{}), room+2)
}

// Where reads must be recorded, those that cannot be are refused.
func TestARequiredAuditRefusesWhatItCannotRecord(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *audit.Config) { c.MaxWaiting, c.Required = 2, true })
	require.NoError(t, b.trail.Admit())
	b.trail.Note(read("student:s-1"))
	b.trail.Note(read("student:s-2"))
	require.ErrorIs(t, b.trail.Admit(), audit.ErrFull)
	b.trail.Note(read("student:s-3")) // was admitted when there was room
	refused := read("student:s-4")
	refused.Refused = true
	b.trail.Note(refused)
	require.NoError(t, b.trail.Flush(t.Context()))
	require.NoError(t, b.trail.Admit())
	require.Len(t, b.list("north", audit.Filter{}), 4)
	require.Len(t, b.list("north", audit.Filter{Thing: "audit: gap"}), 1)
}

// Who guesses ids is recorded, and does not fill the table; what others are refused has its records.
func TestGuessesOfAReaderAreBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	refuse := func(subject string, n int) {
		r := read(fmt.Sprintf("student:s-%d", n))
		r.Subject, r.Refused = subject, true
		b.trail.Note(r)
	}
	for i := range audit.MaxRefusals + 500 {
		refuse("guesser", i)
	}
	refuse("guesser", 0) // has a record
	refuse("other", 0)
	require.NoError(t, b.trail.Flush(t.Context()))
	require.Len(t, b.list("north", audit.Filter{Subject: "guesser", Limit: 5000}), audit.MaxRefusals+1)
	rest := b.list("north", audit.Filter{Thing: "audit: others"})
	require.Len(t, rest, 1)
	require.EqualValues(t, 500, rest[0].Count)
	require.True(t, rest[0].Refused)
	require.EqualValues(t, 2, b.list("north", audit.Filter{Subject: "guesser", Thing: "student:s-0"})[0].Count)
	require.Len(t, b.list("north", audit.Filter{Subject: "other"}), 1)

	b.pass(time.Hour)
	refuse("guesser", 7777)
	require.NoError(t, b.trail.Flush(t.Context()))
	require.Len(t, b.list("north", audit.Filter{Thing: "student:s-7777"}), 1, "the next hour")
}

func TestRecordsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.trail.Note(read("student:s-1"))
	require.NoError(t, b.trail.Flush(t.Context()))
	b.pass(399 * 24 * time.Hour)
	require.NoError(t, b.trail.Prune(t.Context()))
	require.Len(t, b.list("north", audit.Filter{}), 1)
	b.pass(2 * 24 * time.Hour)
	require.NoError(t, b.trail.Prune(t.Context()))
	require.Empty(t, b.list("north", audit.Filter{}))
}

// Whatever a client wrote can be stored: one record must not stop all others.
func TestEveryRecordCanBeStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	texts := []string{"nul\x00", "\xffbytes", ""}
	for range 4 { // characters that do not end where the bound is
		texts = append(texts, strings.Repeat("a", len(texts)-3)+noise(5000))
	}
	for _, s := range texts {
		b.trail.Note(audit.Read{
			School: "north", Subject: s, TokenID: s, Roles: s, Thing: s, Channel: audit.REST,
		})
		b.trail.Note(audit.Read{School: s, Thing: "student:s-1"})
	}
	require.NoError(t, b.trail.Flush(t.Context()))
	list := b.list("north", audit.Filter{})
	require.Len(t, list, len(texts))
	for _, r := range list {
		require.True(t, utf8.ValidString(r.Thing))
		require.LessOrEqual(t, len(r.Thing), 512)
	}
}

// noise is a text of so many characters that no index makes smaller.
func noise(n int) string {
	random := rand.New(rand.NewPCG(1, 2))
	text := make([]rune, n)
	for i := range text {
		text[i] = rune(0x4e00 + random.IntN(0x5000))
	}
	return string(text)
}
