package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// Damage is found by verify and mended by a rebuild, of all projections or of the damaged ones alone.
func TestP8_RebuildEqualsOneFoldOfTheLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names, renewed []string
		sound          bool
	}{
		{nil, []string{"pupils", "marks", "counts"}, false},
		{[]string{"counts"}, []string{"pupils", "marks", "counts"}, false}, // as events are parked
		{[]string{"pupils"}, []string{"pupils", "marks"}, true},            // as marks are made from pupils
		{[]string{"counts"}, []string{"counts"}, true},
	} {
		t.Run(fmt.Sprint(c.names, c.sound), func(t *testing.T) {
			t.Parallel()
			l := newLive(t)
			l.sound = c.sound
			exec(t, l.store.url, `CREATE INDEX "by class" ON schoolbell.test_pupils (class_id, name) WHERE marks > 1;
				ALTER TABLE schoolbell.test_marks SET (fillfactor = 70);
				GRANT SELECT ON schoolbell.test_pupils, schoolbell.test_journal TO schoolbell_jobs;
				CREATE POLICY jobs ON schoolbell.test_pupils FOR SELECT TO schoolbell_jobs USING (true);
				CREATE POLICY jobs ON schoolbell.test_journal FOR SELECT TO schoolbell_jobs USING (true)`)
			l.run(false)
			l.append(3000)
			if !c.sound {
				require.NoError(t, appendOne(l, "school-1", storetest.Mark("pupil-1", 1, attendance.Present, storetest.ReasonFail)))
			}
			waitFor(t, l.store, l.log, 0)
			require.Equal(t, l.want(), l.got())
			verified, err := l.beside(false).Verify(t.Context())
			require.NoError(t, err)
			require.Zero(t, verified.Differ, verified.Examples)
			require.Greater(t, verified.Rows, int64(3000))

			exec(t, l.store.url, `SET ROLE schoolbell_projector; DELETE FROM schoolbell.test_pupils WHERE student_id = 'pupil-3';
				UPDATE schoolbell.test_kinds SET mean = 0, last = NULL WHERE school = 'school-1';
				INSERT INTO schoolbell.test_journal VALUES ('school-1', 1000000, 'x', now(), '')`)
			verified, err = l.beside(false).Verify(t.Context())
			require.NoError(t, err)
			require.Positive(t, verified.Differ)
			for _, part := range []string{"pupil-3", "mean", "test_journal"} {
				require.Contains(t, fmt.Sprint(verified.Examples), part)
			}

			shape := l.shape()
			shadow := l.beside(false)
			shadow.Projections = c.names
			rebuilt, err := shadow.Rebuild(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.renewed, rebuilt.Projections)
			require.Equal(t, shape, l.shape(), "indexes, constraints, policies, rights and options are the same")
			require.Zero(t, l.leftovers())
			verified, err = shadow.Verify(t.Context())
			require.NoError(t, err)
			require.Zero(t, verified.Differ, verified.Examples)

			l.append(500) // the live set goes on, from a new claim and with nothing in memory of the old rows
			waitFor(t, l.store, l.log, 0)
			verified, err = shadow.Verify(t.Context())
			require.NoError(t, err)
			require.Zero(t, verified.Differ, verified.Examples)
			if len(c.renewed) == 3 {
				require.Equal(t, l.want(), l.got())
			}
		})
	}
}

// A fold that has changed without a new version is found out.
func TestP8_VerifyFindsAChangedFold(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(1000)
	require.NoError(t, appendOne(l, "school-1", storetest.Mark("pupil-1", 1, attendance.Present, storetest.ReasonFail)))
	waitFor(t, l.store, l.log, 0)
	exec(t, l.store.url, `UPDATE schoolbell.fold_versions SET version = 2`)
	verified, err := l.beside(true).Verify(t.Context())
	require.NoError(t, err)
	require.Positive(t, verified.Differ)
	require.Contains(t, fmt.Sprint(verified.Examples), "parked_events")
}

// While events arrive and an owner of an older version folds them, a newer one rebuilds. Readers
// see one point of the log all the time, and what the old folds had parked is where it belongs.
func TestP8_RebuildByANewerVersionWhileEventsArrive(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	_, left := l.run(false)
	l.append(3000)
	waitFor(t, l.store, l.log, 0)
	ctx, cancel := context.WithCancel(t.Context())
	arrived, read := make(chan struct{}), make(chan int)
	go func() {
		defer close(arrived)
		pace := time.NewTicker(5 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			l.append(5)
			<-pace.C
		}
	}()
	for range 2 {
		go func() { read <- readAll(ctx, t, l.store.url) }()
	}
	rebuilt, err := l.beside(true).Rebuild(t.Context())
	require.NoError(t, err)
	t.Logf("rebuilt %d events in %v with a pause of %v, %d parked", rebuilt.Events, rebuilt.Took, rebuilt.Pause, rebuilt.Parked)
	require.Zero(t, rebuilt.Parked)

	l.run(true)
	var version *projections.VersionError
	require.ErrorAs(t, left(), &version, "the older one leaves by itself")
	cancel()
	<-arrived
	require.Positive(t, <-read)
	require.Positive(t, <-read)
	waitFor(t, l.store, l.log, 0)
	fixed := projections.NewReference(storetest.Set(true), cloudevents.Decode, testPartitions, 1000)
	for n := range int32(testPartitions) {
		for next := int64(0); ; {
			b, err := l.log.Fetch(t.Context(), n, next, 1<<20, 0)
			require.NoError(t, err)
			if len(b.Records) == 0 {
				break
			}
			for _, r := range b.Records {
				fixed.Add(r)
			}
			next = b.Next
		}
	}
	want, err := fixed.Dump()
	require.NoError(t, err)
	require.Equal(t, want, l.got())
	var versions int
	l.scan(`SELECT count(*) FROM schoolbell.fold_versions WHERE version = 2`, &versions)
	require.Equal(t, 3, versions)
}

// A reader who has begun before the exchange, and has seen a position but no table yet, finds the tables of that position:
// the exchange waits for it.
func TestP4_TablesAreNotExchangedUnderAReader(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	stop, _ := l.run(false)
	l.append(500)
	waitFor(t, l.store, l.log, 0)
	require.NoError(t, stop())
	api, err := postgres.NewPool(t.Context(), postgres.Config{URL: l.store.url, Role: postgres.API})
	require.NoError(t, err)
	defer api.Close()
	shadow := l.beside(false)
	waiting, rebuilt := make(chan struct{}, 1000), make(chan error, 1)
	shadow.Progress = func(stage string, _, _ int64) {
		if stage == "wait for queries that take long" {
			waiting <- struct{}{}
		}
	}
	require.NoError(t, api.Read(t.Context(), "school-1", func(tx pgx.Tx) error {
		go func() {
			_, err := shadow.Rebuild(t.Context())
			rebuilt <- err
		}()
		select {
		case <-waiting:
		case err := <-rebuilt:
			rebuilt <- err
		}
		var events, journal int
		require.NoError(t, tx.QueryRow(t.Context(), `SELECT (SELECT sum(events) FROM test_kinds), (SELECT count(*) FROM test_journal)`).
			Scan(&events, &journal))
		require.Positive(t, journal)
		require.Equal(t, events, journal)
		return nil
	}))
	require.NoError(t, <-rebuilt)
}

// Wherever it is interrupted, the live tables are as they were, and the next rebuild is not disturbed.
func TestP8_AnInterruptedRebuildChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(3000)
	waitFor(t, l.store, l.log, 0)
	oids := func() (oids string) {
		l.scan(`SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_class WHERE relnamespace = 'schoolbell'::regnamespace`, &oids)
		return oids
	}
	before := oids()
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		shadow := l.beside(false)
		steps := 0
		shadow.Progress = func(string, int64, int64) {
			if steps++; steps == stop {
				cancel()
			}
		}
		_, err := shadow.Rebuild(ctx)
		cancel()
		if err == nil {
			t.Logf("interrupted at %d steps", stop-1)
			break
		}
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, before, oids())
	}
	require.NotEqual(t, before, oids())

	// Killed outright it leaves its schema behind, and its lock goes with its connection.
	exec(t, l.store.url, `CREATE SCHEMA schoolbell_rebuild; CREATE TABLE schoolbell_rebuild.test_pupils (x int)`)
	_, err := l.beside(false).Rebuild(t.Context())
	require.NoError(t, err)
	require.Zero(t, l.leftovers())
	require.Equal(t, l.want(), l.got())
}

func TestTwoRebuildsExcludeEachOther(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(500)
	waitFor(t, l.store, l.log, 0)
	first := l.beside(false)
	var second error
	first.Progress = func(stage string, _, _ int64) {
		if stage == "index" {
			_, second = l.beside(false).Rebuild(t.Context())
		}
	}
	_, err := first.Rebuild(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, second, postgres.ErrAlreadyRunning)
}

func TestP8_RebuildOneSchool(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(3000)
	waitFor(t, l.store, l.log, 0)
	exec(t, l.store.url, `SET ROLE schoolbell_projector; UPDATE schoolbell.test_pupils SET name = 'x' WHERE school IN ('school-1', 'school-2')`)
	shadow := l.beside(false)
	shadow.School = "school-1"
	rebuilt, err := shadow.Rebuild(t.Context())
	require.NoError(t, err)
	t.Logf("rebuilt one school in %v with a pause of %v", rebuilt.Took, rebuilt.Pause)
	verified, err := shadow.Verify(t.Context())
	require.NoError(t, err)
	require.Zero(t, verified.Differ, verified.Examples)
	verified, err = l.beside(false).Verify(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, verified.Examples)
	for _, d := range verified.Examples {
		require.Equal(t, "school-2", d.Key["school"])
	}
	l.append(500)
	waitFor(t, l.store, l.log, 0)
}

func TestRebuildUntil(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(1000)
	waitFor(t, l.store, l.log, 0)
	want := l.want()
	until := time.Now()
	for !time.Now().Truncate(time.Millisecond).After(until) { // as exact as records know their time
	}
	l.append(500)
	waitFor(t, l.store, l.log, 0)
	shadow := l.beside(false)
	shadow.Until = until
	rebuilt, err := shadow.Rebuild(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, rebuilt.Schema)
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: l.store.url, Role: postgres.Projector, Schema: rebuilt.Schema})
	require.NoError(t, err)
	defer pool.Close()
	got, err := postgres.NewProjectionStore(pool, storetest.Set(false), "test").Dump(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, l.want(), l.got(), "the live tables are as they were")
}

// A view of somebody's own is neither dropped with an old table nor left behind on it.
func TestARebuildSaysWhatDependsOnATable(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.sound = true
	l.run(false)
	l.append(300)
	waitFor(t, l.store, l.log, 0)
	exec(t, l.store.url, `CREATE VIEW public.my_pupils AS SELECT school, name FROM schoolbell.test_pupils`)
	_, err := l.beside(false).Rebuild(t.Context())
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused)
	require.Contains(t, refused.Detail, "my_pupils")
	require.Equal(t, l.want(), l.got())
	require.Zero(t, l.leftovers())

	exec(t, l.store.url, `DROP VIEW public.my_pupils`)
	_, err = l.beside(false).Rebuild(t.Context())
	require.NoError(t, err)
	l.append(300)
	waitFor(t, l.store, l.log, 0)
	require.Equal(t, l.want(), l.got())
}
