package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// Damage is found by verify and repaired by a rebuild, of all projections or of the damaged ones
// alone.
func TestP8_RebuildEqualsOneFoldOfTheLog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		names, renewed []string
		sound          bool
	}{
		{nil, []string{"pupils", "marks", "counts"}, false},
		{[]string{"counts"}, []string{"pupils", "marks", "counts"}, false}, // as events are parked
		// as marks are made from pupils
		{[]string{"pupils"}, []string{"pupils", "marks"}, true},
		{[]string{"counts"}, []string{"counts"}, true},
	} {
		t.Run(fmt.Sprint(c.names, c.sound), func(t *testing.T) {
			t.Parallel()
			l := newLive(t)
			l.sound = c.sound
			exec(t, l.store.url, `CREATE INDEX "by class" ON schoolbell.test_pupils (class_id,
				name) WHERE marks > 1;
				ALTER TABLE schoolbell.test_marks SET (fillfactor = 70);
				GRANT SELECT ON schoolbell.test_pupils, schoolbell.test_journal TO schoolbell_jobs;
				CREATE POLICY jobs ON schoolbell.test_pupils FOR
				SELECT TO schoolbell_jobs USING (true);
				CREATE POLICY jobs ON schoolbell.test_journal FOR
				SELECT TO schoolbell_jobs USING (true)`)
			l.run(false)
			l.append(3000)
			if !c.sound {
				require.NoError(t, appendOne(l, "school-1",
					storetest.Mark("pupil-1", 1, attendance.Present, storetest.ReasonFail)))
			}
			waitFor(t, l.store, l.log, 0)
			require.Equal(t, l.want(), l.got())
			verified, err := l.shadow(false).Verify(t.Context())
			require.NoError(t, err)
			require.Zero(t, verified.Differ, verified.Examples)
			require.Greater(t, verified.Rows, int64(3000))

			exec(t, l.store.url, `SET ROLE schoolbell_projector; DELETE FROM schoolbell.test_pupils
				WHERE student_id = 'pupil-3';
				UPDATE schoolbell.test_kinds SET mean = 0, last = NULL WHERE school = 'school-1';
				INSERT INTO schoolbell.test_journal VALUES ('school-1', 1000000, 'x', now(), '')`)
			verified, err = l.shadow(false).Verify(t.Context())
			require.NoError(t, err)
			require.Positive(t, verified.Differ)
			for _, part := range []string{"pupil-3", "mean", "test_journal"} {
				require.Contains(t, fmt.Sprint(verified.Examples), part)
			}

			shape := l.shape()
			shadow := l.shadow(false)
			shadow.Projections = c.names
			rebuilt, err := shadow.Rebuild(t.Context())
			require.NoError(t, err)
			require.Equal(t, c.renewed, rebuilt.Projections)
			require.Equal(t, shape, l.shape(),
				"indexes, constraints, policies, rights and options are the same")
			require.Zero(t, l.leftovers())
			verified, err = shadow.Verify(t.Context())
			require.NoError(t, err)
			require.Zero(t, verified.Differ, verified.Examples)

			// the live set continues, from a new claim and with nothing in memory of the old rows
			l.append(500)
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
	require.NoError(t, appendOne(l, "school-1",
		storetest.Mark("pupil-1", 1, attendance.Present, storetest.ReasonFail)))
	waitFor(t, l.store, l.log, 0)
	exec(t, l.store.url, `UPDATE schoolbell.fold_versions SET version = 2`)
	verified, err := l.shadow(true).Verify(t.Context())
	require.NoError(t, err)
	require.Positive(t, verified.Differ)
	require.Contains(t, fmt.Sprint(verified.Examples), "parked_events")
}

// While events arrive and a worker of an older version folds them, a newer one rebuilds. Readers
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
	rebuilt, err := l.shadow(true).Rebuild(t.Context())
	require.NoError(t, err)
	t.Logf("rebuilt %d events in %v with a pause of %v, %d parked", rebuilt.Events, rebuilt.Took,
		rebuilt.Pause, rebuilt.Parked)
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

// A reader who has begun before the exchange, and has seen a position but no table yet, finds the
// tables of that position: the exchange waits for it.
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
	shadow := l.shadow(false)
	waiting, rebuilt := make(chan struct{}, 1000), make(chan error, 1)
	shadow.Progress = func(stage string, _, _ int64) {
		if stage == "wait for long queries" {
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
		require.NoError(t, tx.QueryRow(t.Context(),
			`SELECT (SELECT sum(events) FROM test_kinds), (SELECT count(*) FROM test_journal)`).
			Scan(&events, &journal))
		require.Positive(t, journal)
		require.Equal(t, events, journal)
		return nil
	}))
	require.NoError(t, <-rebuilt)
}

// Wherever it is interrupted, the live tables are as they were, and the next rebuild is not
// disturbed.
func TestP8_AnInterruptedRebuildChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(3000)
	waitFor(t, l.store, l.log, 0)
	oids := func() (oids string) {
		l.scan(`SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_class
			WHERE relnamespace = 'schoolbell'::regnamespace`, &oids)
		return oids
	}
	before := oids()
	for stop := 1; ; stop++ {
		ctx, cancel := context.WithCancel(t.Context())
		shadow := l.shadow(false)
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
	exec(t, l.store.url,
		`CREATE SCHEMA schoolbell_rebuild; CREATE TABLE schoolbell_rebuild.test_pupils (x int)`)
	_, err := l.shadow(false).Rebuild(t.Context())
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
	first := l.shadow(false)
	var second error
	first.Progress = func(stage string, _, _ int64) {
		if stage == "index" {
			_, second = l.shadow(false).Rebuild(t.Context())
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
	exec(t, l.store.url, `SET ROLE schoolbell_projector; UPDATE schoolbell.test_pupils
		SET name = 'x' WHERE school IN ('school-1', 'school-2')`)
	shadow := l.shadow(false)
	shadow.School = "school-1"
	rebuilt, err := shadow.Rebuild(t.Context())
	require.NoError(t, err)
	t.Logf("rebuilt one school in %v with a pause of %v", rebuilt.Took, rebuilt.Pause)
	verified, err := shadow.Verify(t.Context())
	require.NoError(t, err)
	require.Zero(t, verified.Differ, verified.Examples)
	verified, err = l.shadow(false).Verify(t.Context())
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
	shadow := l.shadow(false)
	shadow.Until = until
	rebuilt, err := shadow.Rebuild(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, rebuilt.Schema)
	pool, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: l.store.url, Role: postgres.Projector, Schema: rebuilt.Schema})
	require.NoError(t, err)
	defer pool.Close()
	got, err := postgres.NewProjectionStore(pool, storetest.Set(false), "test").Dump(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, l.want(), l.got(), "the live tables are as they were")
}

// Views over exchanged tables are recreated with all that belongs to them, in the right order; what
// cannot be is reported before anything is folded.
func TestARebuildTakesViewsAlong(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.sound = true
	l.run(false)
	l.append(300)
	waitFor(t, l.store, l.log, 0)
	exec(t, l.store.url, `
		CREATE SCHEMA "own views"; GRANT USAGE ON SCHEMA "own views" TO schoolbell_api;
		DO $$ BEGIN CREATE ROLE "view owner" NOLOGIN; EXCEPTION WHEN duplicate_object
		OR unique_violation THEN END $$;
		GRANT CREATE, USAGE ON SCHEMA "own views" TO "view owner"; GRANT USAGE ON SCHEMA schoolbell
		TO "view owner";
		GRANT SELECT ON schoolbell.test_pupils TO "view owner";
		CREATE POLICY owner ON schoolbell.test_pupils TO "view owner" USING (true);
		CREATE VIEW schoolbell.pupil_names WITH (security_invoker = true) AS
			SELECT p AS whole, school, name AS "the name" FROM schoolbell.test_pupils p;
		GRANT SELECT ON schoolbell.pupil_names TO schoolbell_api, schoolbell_jobs;
		CREATE VIEW "own views".a_reader AS SELECT n."the name", m.status
			FROM schoolbell.pupil_names n JOIN schoolbell.test_marks m USING (school)
			WHERE m.date > '1999-01-01';
		CREATE VIEW "own views".b_owned WITH (security_barrier = true, check_option = cascaded) AS
			SELECT school, student_id, marks FROM schoolbell.test_pupils WHERE marks >= 0;
		ALTER VIEW "own views".b_owned ALTER COLUMN marks SET DEFAULT 7;
		COMMENT ON VIEW "own views".b_owned IS 'it''s ours'; COMMENT ON COLUMN "own views".b_owned.marks IS 'how many';
		ALTER VIEW "own views".b_owned OWNER TO "view owner";
		GRANT SELECT (school) ON "own views".b_owned TO schoolbell_api WITH GRANT OPTION;
		REVOKE DELETE ON "own views".b_owned FROM "view owner"`)
	views := func() (shape string) {
		l.scan(`SELECT string_agg(concat_ws(' ', c.oid::regclass, relowner::regrole, reloptions,
			relacl, pg_get_viewdef(c.oid),
			obj_description(c.oid), (SELECT string_agg(concat_ws(' ', attname, attacl,
			col_description(c.oid, attnum),
				(SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = c.oid
				AND adnum = attnum)), ',' ORDER BY attnum)
				FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0)), E'\n'
				ORDER BY c.oid::regclass::text)
			FROM pg_class c WHERE relkind = 'v' AND relnamespace IN ('schoolbell'::regnamespace,
			'"own views"'::regnamespace)`, &shape)
		return shape
	}
	tables := func() (oids []uint32) {
		l.scan(`SELECT array_agg(oid ORDER BY relname) FROM pg_class WHERE relkind = 'r'
			AND relnamespace = 'schoolbell'::regnamespace
			AND relname LIKE 'test%'`, &oids)
		return oids
	}
	before, old := views(), tables()
	require.Contains(t, before, "how many")
	_, err := l.shadow(false).Rebuild(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, views())
	for _, oid := range tables() {
		require.NotContains(t, old, oid)
	}
	require.Equal(t, l.want(), l.got())

	for _, c := range []struct{ create, drop, named string }{
		{
			`CREATE MATERIALIZED VIEW "own views".stored AS SELECT * FROM "own views".a_reader`,
			`DROP MATERIALIZED VIEW "own views".stored`, `materialized view "own views".stored`,
		},
		{
			`CREATE FUNCTION public.pupils_of() RETURNS SETOF schoolbell.test_pupils LANGUAGE sql
				AS 'SELECT * FROM schoolbell.test_pupils'`,
			`DROP FUNCTION public.pupils_of`, `function public.pupils_of()`,
		},
		{
			`CREATE TABLE public.notes (school text COLLATE "C", student_id text COLLATE "C",
				CONSTRAINT about FOREIGN KEY (school, student_id) REFERENCES
				schoolbell.test_pupils)`,
			`DROP TABLE public.notes`, `constraint about on table public.notes`,
		},
		{
			`CREATE FUNCTION public.noop() RETURNS trigger LANGUAGE plpgsql AS
				'BEGIN RETURN NULL; END';
				CREATE TRIGGER counted AFTER INSERT ON schoolbell.test_marks EXECUTE FUNCTION
				public.noop()`,
			`DROP TRIGGER counted ON schoolbell.test_marks`,
			`trigger counted on table schoolbell.test_marks`,
		},
		{
			`CREATE RULE quiet AS ON DELETE TO schoolbell.pupil_names DO INSTEAD NOTHING`,
			`DROP RULE quiet ON schoolbell.pupil_names`,
			`rule quiet on view schoolbell.pupil_names`,
		},
		{
			`CREATE PUBLICATION ours FOR TABLE schoolbell.test_days`,
			`DROP PUBLICATION ours`, `test_days in publication ours`,
		},
	} {
		exec(t, l.store.url, c.create)
		var stages []string
		shadow := l.shadow(false)
		shadow.Progress = func(stage string, _, _ int64) { stages = append(stages, stage) }
		_, err := shadow.Rebuild(t.Context())
		require.ErrorContains(t, err, c.named)
		require.Empty(t, stages, "before anything is folded")
		exec(t, l.store.url, c.drop)
	}
	require.Equal(t, before, views())
	require.Zero(t, l.leftovers())
	_, err = l.shadow(false).Rebuild(t.Context())
	require.NoError(t, err)
	l.append(300)
	waitFor(t, l.store, l.log, 0)
	require.Equal(t, l.want(), l.got())
}
