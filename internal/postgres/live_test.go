package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// live is a log, tables that an engine folds it into, and the plain fold of the same log.
type live struct {
	*testing.T
	store     testStore
	log       *memlog.Log
	reference *projections.Reference
	random    *rand.Rand
	events    int
	sound     bool // append nothing that cannot be folded
}

func newLive(t *testing.T) *live {
	set := storetest.Set(false)
	l := &live{
		T: t, store: openStore(t, set), log: memlog.New(testPartitions),
		random:    rand.New(rand.NewPCG(1, 1)),
		reference: projections.NewReference(set, cloudevents.Decode, testPartitions, 1000),
	}
	return l
}

func (l *live) config(fixed bool) projections.Config {
	return projections.Config{
		Name: "test", Set: storetest.Set(fixed), Log: l.log, Decode: cloudevents.Decode,
		Window: 1000, MaxBatch: 300, MaxRows: 100,
	}
}

// run starts an engine on the live tables, until stop is called or the test ends. Left waits until
// it has ended by itself.
func (l *live) run(fixed bool) (stop, left func() error) {
	cfg := l.config(fixed)
	cfg.Group, cfg.Store = l.log, l.store
	if fixed {
		pool, err := postgres.NewPool(l.Context(),
			postgres.Config{URL: l.store.url, Role: postgres.Projector})
		require.NoError(l, err)
		l.Cleanup(pool.Close)
		cfg.Store = postgres.NewProjectionStore(pool, cfg.Set, "test")
	}
	e, err := projections.NewEngine(cfg)
	require.NoError(l, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	left = sync.OnceValue(func() error {
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Minute):
			return errors.New("the engine continues")
		}
	})
	stop = func() error {
		cancel()
		return left()
	}
	l.Cleanup(func() { _ = stop() })
	return stop, left
}

func (l *live) append(events int) {
	for range events {
		if l.sound {
			require.NoError(l,
				appendOne(l, fmt.Sprint("school-", l.random.IntN(5)), l.soundEvent()))
			continue
		}
		appendEvent(l.T, l.log, l.reference, l.random, l.events)
		l.events++
	}
}

func (l *live) shadow(fixed bool) *postgres.Shadow {
	return &postgres.Shadow{URL: l.store.url, Engine: l.config(fixed)}
}

func (l *live) want() projections.Dump {
	want, err := l.reference.Dump()
	require.NoError(l, err)
	return want
}

func (l *live) got() projections.Dump {
	got, err := l.store.Dump()
	require.NoError(l, err)
	return got
}

func (l *live) scan(sql string, into ...any) {
	owner, err := pgx.Connect(l.Context(), l.store.url)
	require.NoError(l, err)
	defer owner.Close(l.Context())
	require.NoError(l, owner.QueryRow(l.Context(), sql).Scan(into...))
}

// shape is all there is to the live tables but their rows.
func (l *live) shape() (shape string) {
	l.scan(`SELECT string_agg(line, E'\n' ORDER BY line) FROM (
		SELECT indexdef FROM pg_indexes WHERE schemaname = 'schoolbell'
		UNION ALL SELECT conrelid::regclass || conname || pg_get_constraintdef(oid)
		FROM pg_constraint WHERE connamespace = 'schoolbell'::regnamespace
		UNION ALL SELECT tablename || policyname || roles::text || cmd || qual FROM pg_policies
		WHERE schemaname = 'schoolbell'
		UNION ALL SELECT relname || relrowsecurity || relforcerowsecurity || relacl::text ||
		reloptions::text FROM pg_class
			WHERE relnamespace = 'schoolbell'::regnamespace AND relkind = 'r'
		UNION ALL SELECT attrelid::regclass || attname || atttypid::regtype ||
		attcollation::regcollation::text || attnotnull FROM pg_attribute
			WHERE attnum > 0 AND attrelid IN (SELECT oid FROM pg_class
			WHERE relnamespace = 'schoolbell'::regnamespace AND relkind = 'r')
	) lines (line)`, &shape)
	return shape
}

func (l *live) leftovers() (schemas int) {
	l.scan(`SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'schoolbell\_%'
		AND nspname <> 'schoolbell_river'`, &schemas)
	return schemas
}

// appendOne adds an event to the log and to the plain fold.
func appendOne(l *live, school string, data domain.Event) error {
	l.events++
	rec := storetest.Record(storetest.Event(school, l.events, data))
	at, err := l.log.Append(l.Context(), school, []eventlog.Record{rec})
	rec.Position, rec.Key = at, []byte(school)
	l.reference.Add(rec)
	return err
}

// soundEvent makes an event that every fold takes.
func (l *live) soundEvent() domain.Event {
	pupil := fmt.Sprint("pupil-", l.random.IntN(60))
	if l.random.IntN(10) == 0 {
		return storetest.Enrol(pupil, fmt.Sprint("class-", l.random.IntN(4)))
	}
	return storetest.Mark(pupil, l.random.IntN(30), attendance.Present, "")
}

// readAll reads schools again and again, and makes sure that what it sees is of one point of the
// log. It returns how often.
func readAll(ctx context.Context, t *testing.T, url string) (n int) {
	pool, err := postgres.NewPool(ctx, postgres.Config{URL: url, Role: postgres.API, MaxConns: 1})
	if err != nil {
		t.Error(err)
		return 0
	}
	defer pool.Close()
	last := map[int32]int64{}
	for ctx.Err() == nil {
		school := fmt.Sprint("school-", n%5)
		partition := eventlog.PartitionFor(school, testPartitions)
		err := pool.Read(ctx, school, func(tx pgx.Tx) error {
			at, err := checkpoint.Position(ctx, tx, "test", partition)
			if err != nil {
				return err
			}
			var kinds, journal, newest int64
			if err := tx.QueryRow(ctx, `SELECT (SELECT coalesce(sum(events), 0) FROM test_kinds),
				count(*), coalesce(max(log_offset), -1)
				FROM test_journal`).Scan(&kinds, &journal, &newest); err != nil {
				return err
			}
			if kinds != journal || journal == 0 || newest > at.Offset ||
				at.Offset < last[partition] {
				t.Errorf("at %s after %d: %d events counted, %d in the journal, the newest at %d",
					at, last[partition], kinds, journal, newest)
			}
			last[partition] = at.Offset
			return nil
		})
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
			return n
		}
		n++
	}
	return n
}
