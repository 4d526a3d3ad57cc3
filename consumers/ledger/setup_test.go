package ledger_test

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// world is a database, a log, and providers that record what they did.
type world struct {
	t    *testing.T
	url  string
	pool *pgxpool.Pool
	log  *memlog.Log
}

func setup(t *testing.T) *world {
	t.Helper()
	return setupWith(t, devtest.Postgres(t))
}

func setupWith(t *testing.T, url string) *world {
	t.Helper()
	return &world{t: t, url: url, pool: jobsPool(t, url), log: memlog.New(4)}
}

// column returns one column of text.
func (w *world) column(sql string) []string {
	w.t.Helper()
	rows, _ := w.pool.Query(w.t.Context(), sql)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(w.t, err)
	return all
}

func jobsPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: url, Role: postgres.Jobs, MaxConns: 12})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool.Conns()
}

func (w *world) ledger(change func(*ledger.Config)) *ledger.Ledger {
	w.t.Helper()
	cfg := ledger.Config{
		Pool: w.pool, Encode: cloudevents.Encode, Log: w.log, Source: w.log, Decode: cloudevents.Decode, RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond,
		StopTimeout: 2 * time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	l, err := ledger.New(cfg)
	require.NoError(w.t, err)
	return l
}

// run runs a ledger until the test ends or the function is called.
func run(t *testing.T, l *ledger.Ledger) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

// announce runs a ledger without providers until all that was planned is in the log.
func (w *world) announce() {
	w.t.Helper()
	l := w.ledger(nil)
	stop := run(w.t, l)
	require.Eventually(w.t, func() bool {
		n, err := l.Unsettled(w.t.Context())
		return err == nil && n == 0
	}, 30*time.Second, 10*time.Millisecond)
	stop()
	// A worker without a provider puts a job off for a minute.
	_, err := w.pool.Exec(w.t.Context(), `UPDATE schoolbell_river.river_job
		SET state = 'available', scheduled_at = now() WHERE metadata ? 'snoozes'`)
	require.NoError(w.t, err)
}

// plan makes the planning of an event with one delivery for each recipient.
func plan(school, event string, offset int64, recipients ...string) consumers.Planning {
	return planFor(consumers.Delivery{Channel: consumers.SMS, Priority: consumers.Normal, Template: "absence"}, school, event, offset, recipients...)
}

func planFor(d consumers.Delivery, school, event string, offset int64, recipients ...string) consumers.Planning {
	e := &domain.Envelope{
		ID: event, Source: "test", School: school, Type: attendance.TypeMarked, Time: time.Now(), CorrelationID: "c-" + event,
		Position: domain.Position{Partition: 0, Offset: offset},
	}
	p := consumers.Planning{Event: consumers.Event{Envelope: e, AppendedAt: e.Time}, FactsAt: offset}
	for _, r := range recipients {
		d := d
		d.Recipient, d.Address = r, "+22501020304"
		d.Complete(e, "absence")
		p.Deliveries = append(p.Deliveries, d)
	}
	return p
}

// remembering is a provider that records its deliveries, and responds as the test wants.
type remembering struct {
	can    consumers.Abilities
	answer func(ctx context.Context, d *consumers.Delivery, times int) (consumers.Receipt, error)

	mu   sync.Mutex
	sent []string
	byID map[string]int
}

func newProvider(answer func(ctx context.Context, d *consumers.Delivery, times int) (consumers.Receipt, error)) *remembering {
	return &remembering{answer: answer, byID: map[string]int{}}
}

func (p *remembering) Name() string                   { return "remembering" }
func (p *remembering) Abilities() consumers.Abilities { return p.can }

func (p *remembering) Send(ctx context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	p.mu.Lock()
	p.byID[d.ID]++
	n := p.byID[d.ID]
	p.sent = append(p.sent, d.ID)
	p.mu.Unlock()
	if p.answer == nil {
		return consumers.Receipt{ProviderID: "p-" + d.ID, Cost: 100}, nil
	}
	return p.answer(ctx, d, n)
}

func (p *remembering) order() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

func (p *remembering) times(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.byID[id]
}

func only(c consumers.Channel, p consumers.Provider) func(*ledger.Config) {
	return func(cfg *ledger.Config) { cfg.Providers = map[consumers.Channel]consumers.Provider{c: p} }
}

// states counts deliveries by state.
func (w *world) states() map[string]int {
	rows, err := w.pool.Query(context.Background(), `SELECT state, count(*) FROM schoolbell.ledger GROUP BY state`)
	require.NoError(w.t, err)
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var state string
		var n int
		require.NoError(w.t, rows.Scan(&state, &n))
		counts[state] = n
	}
	require.NoError(w.t, rows.Err())
	return counts
}

func (w *world) eventually(want map[string]int) {
	w.t.Helper()
	var got map[string]int
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && !maps.Equal(want, got); {
		<-time.After(20 * time.Millisecond)
		got = w.states()
	}
	require.Equal(w.t, want, got)
}

// outcomes returns the types of the events about each delivery in the log.
func (w *world) outcomes() map[string][]string {
	w.t.Helper()
	types := map[string][]string{}
	for partition := range int32(4) {
		batch, err := w.log.Fetch(w.t.Context(), partition, 0, 64<<20, 0)
		require.NoError(w.t, err)
		for _, rec := range batch.Records {
			e, err := cloudevents.Decode(rec)
			require.NoError(w.t, err)
			require.Equal(w.t, ledger.Source, e.Source)
			require.Equal(w.t, domain.AuthorSchoolbell, e.Author.Subject)
			if e.Type != delivery.TypePlanned {
				types[e.Subject] = append(types[e.Subject], e.Type)
			}
		}
	}
	return types
}

func ids(plans ...consumers.Planning) (all []string) {
	for _, p := range plans {
		for _, d := range p.Deliveries {
			all = append(all, d.ID)
		}
	}
	return all
}

func numbers(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = prefix + strconv.Itoa(i)
	}
	return all
}

func sorted[T cmp.Ordered](s []T) []T { s = slices.Clone(s); slices.Sort(s); return s }
