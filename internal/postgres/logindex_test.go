package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

// index reads the whole index of the schools of a log.
func (l *live) index() map[string][]int64 {
	all := map[string][]int64{}
	for i := range 5 {
		school := fmt.Sprint("school-", i)
		found, err := l.store.Find(l.Context(), school,
			eventlog.PartitionFor(school, testPartitions), 0, 1<<20)
		require.NoError(l, err)
		all[school] = found.Offsets
	}
	return all
}

// Histories with repeated, unfoldable and unusable events, of which several schools share partitions,
// come to the index that a plain reading of the log makes. What damages it is found, and a rebuild
// repairs it.
func TestP8_TheIndexOfTheLogEqualsTheLog(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	l.append(12_000)
	waitFor(t, l.store, l.log, 0)
	want := l.reference.Index()
	require.Equal(t, want, l.index())
	require.Positive(t, l.reference.Duplicates())
	parked := 0
	for n := range int32(testPartitions) {
		parked += len(l.reference.Parked(n))
	}
	require.Positive(t, parked)

	exec(t, l.store.url, `SET ROLE schoolbell_projector;
		DELETE FROM schoolbell.log_blocks WHERE school = 'school-1' AND block = 0;
		UPDATE schoolbell.log_blocks SET events = set_bit(events, 0, 0) WHERE school = 'school-2'
			AND block = 0;
		INSERT INTO schoolbell.log_blocks VALUES ('school-3', 1000, 4096000, B'1')`)
	verified, err := l.shadow(false).Verify(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, verified.Differ, verified.Examples)
	for _, d := range verified.Examples {
		require.Equal(t, "log_blocks", d.Table)
	}
	_, err = l.shadow(false).Rebuild(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, l.index())
	l.append(500)
	waitFor(t, l.store, l.log, 0)
	require.Equal(t, l.reference.Index(), l.index())
}

// Tables that an earlier version has made have no index, and readers are told so until it is there;
// it is made like tables of newer folds.
func TestTablesWithoutAnIndexAreGivenOne(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	stop, _ := l.run(false)
	l.append(2000)
	waitFor(t, l.store, l.log, 0)
	require.NoError(t, stop())
	exec(t, l.store.url, `SET ROLE schoolbell_projector; DELETE FROM schoolbell.log_blocks;
		DELETE FROM schoolbell.fold_versions WHERE projection = 'log_index'`)

	found, err := l.store.Find(t.Context(), "school-1",
		eventlog.PartitionFor("school-1", testPartitions), 0, 10)
	require.NoError(t, err)
	require.Equal(t, eventlog.Found{}, found, "it reaches nowhere")
	_, err = l.store.Claim(t.Context(), 0, "memory-1")
	var version *projections.VersionError
	require.ErrorAs(t, err, &version)
	require.Equal(t, "the tables have no index of the log as this program makes it: make it with "+
		"`schoolbell rebuild`", version.Error())
	names, err := l.store.Outdated(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"pupils", "marks", "counts"}, names)

	shadow := l.shadow(false)
	shadow.Projections = names
	_, err = shadow.Rebuild(t.Context())
	require.NoError(t, err)
	names, err = l.store.Outdated(t.Context())
	require.NoError(t, err)
	require.Empty(t, names)
	l.run(false)
	l.append(500)
	waitFor(t, l.store, l.log, 0)
	require.Equal(t, l.reference.Index(), l.index())
}

// A school sees its own part of the index only, and finds it by its key.
func TestP10_TheIndexIsReadBySchool(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	exec(t, l.store.url, `SET ROLE schoolbell_projector;
		INSERT INTO schoolbell.log_blocks SELECT 'school-' || s, b, b * 4096, B'1'
		FROM generate_series(0, 4) s, generate_series(0, 4999) b;
		RESET ROLE; ANALYZE schoolbell.log_blocks`)
	pool, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: l.store.url, Role: postgres.API, MaxConns: 1})
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, pool.Read(t.Context(), "school-1", func(tx pgx.Tx) error {
		var schools, blocks int
		require.NoError(t, tx.QueryRow(t.Context(),
			`SELECT count(DISTINCT school), count(*) FROM log_blocks`).Scan(&schools, &blocks))
		require.Equal(t, []int{1, 5000}, []int{schools, blocks})
		rows, err := tx.Query(t.Context(), "EXPLAIN "+postgres.FindBlocks, "test",
			projections.LogIndex, projections.LogIndexVersion, "school-1", 100, 256)
		require.NoError(t, err)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Contains(t, strings.Join(plan, "\n"), "Index Scan using log_blocks_pkey")
		return nil
	}))
}

// countingLog counts the records that are fetched.
type countingLog struct {
	projections.Log
	records atomic.Int64
}

func (c *countingLog) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	b, err := c.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
	c.records.Add(int64(len(b.Records)))
	return b, err
}

// A rebuild of one school does not read its neighbours' events, and a verification does, as it must
// not rest on the index.
func TestP11_RebuildOfASchoolReadsItsOwnBlocks(t *testing.T) {
	t.Parallel()
	l := newLive(t)
	l.run(false)
	n := eventlog.PartitionFor("school-1", testPartitions)
	neighbour := "neighbour-0"
	for i := 1; eventlog.PartitionFor(neighbour, testPartitions) != n; i++ {
		neighbour = fmt.Sprint("neighbour-", i)
	}
	const own, others = 40, 9000
	for i := range own + others {
		school := neighbour
		if i%((own+others)/own) == 0 {
			school = "school-1"
		}
		l.events++
		rec := storetest.Record(storetest.Event(school, l.events, l.soundEvent()))
		at, err := l.log.Append(t.Context(), school, []eventlog.Record{rec})
		require.NoError(t, err)
		rec.Position, rec.Key = at, []byte(school)
		l.reference.Add(rec)
	}
	waitFor(t, l.store, l.log, 0)
	shadow, counting := l.shadow(false), &countingLog{Log: l.log}
	shadow.School, shadow.Engine.Log = "school-1", counting
	exec(t, l.store.url, `SET ROLE schoolbell_projector; UPDATE schoolbell.test_pupils
		SET name = 'x' WHERE school = 'school-1'`)
	_, err := shadow.Rebuild(t.Context())
	require.NoError(t, err)
	rebuilt := counting.records.Swap(0)
	require.Equal(t, l.want(), l.got())
	verified, err := shadow.Verify(t.Context())
	require.NoError(t, err)
	require.Zero(t, verified.Differ, verified.Examples)
	t.Logf("of %d records in its partition, %d are the school's: read %d to rebuild and %d to verify",
		own+others, len(l.reference.Index()["school-1"]), rebuilt, counting.records.Load())
	// twice: the skipped events are looked for first
	require.Less(t, rebuilt, int64(2*own*10))
	require.Greater(t, counting.records.Load(), int64(own+others))
}
