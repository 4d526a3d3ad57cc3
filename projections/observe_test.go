package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/storetest"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		reg := prometheus.NewRegistry()
		cfg.Metrics = reg
		e, stop := w.run(cfg)
		rec := storetest.Record(storetest.Event("oak", 100, storetest.Enrol("ana", "7A")))
		at := w.sendRecord("oak", rec)
		w.sendRecord("oak", rec)
		w.send("oak", storetest.Mark("bo", 1, attendance.Present, storetest.ReasonFail))
		synctest.Wait()

		problems, err := testutil.GatherAndLint(reg)
		require.NoError(t, err)
		require.Empty(t, problems)
		values := gather(t, reg)
		require.EqualValues(t, 3, values["records_total"])
		require.EqualValues(t, 1, values["duplicates_total"])
		require.EqualValues(t, 1, values["parked_events_total"])
		require.EqualValues(t, 2, values["event_visible_seconds"],
			"one for each event that is no duplicate")
		require.Equal(t, projections.Status{
			Partition: at.Partition, State: projections.Running,
			Position: e.Status()[at.Partition].Position, Parked: 1,
		}, e.Status()[at.Partition])
		stop()
		require.Empty(t, e.Status(), "nothing is owned any more")
	})
}

// gather returns the values of counters and the counts of histograms.
func gather(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	families, err := reg.Gather()
	require.NoError(t, err)
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()[len("schoolbell_projection_"):]
			values[name] += m.GetCounter().GetValue() + m.GetGauge().GetValue() +
				float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

func TestCommitsAreLinkedToTheTracesOfTheirEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spans := tracetest.NewSpanRecorder()
		cfg := w.config()
		cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("test")
		_, stop := w.run(cfg)
		defer stop()
		for i, flags := range []string{"01", "00"} { // only the first is sampled
			e := storetest.Event("oak", i, storetest.Enrol("ana", "7A"))
			e.TraceParent = fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319%d-b7ad6b7169203331-%s",
				i, flags)
			w.sendRecord("oak", storetest.Record(e))
		}
		synctest.Wait()
		var links []string
		for _, span := range spans.Ended() {
			for _, l := range span.Links() {
				links = append(links, l.SpanContext.TraceID().String())
			}
		}
		require.Equal(t, []string{"0af7651916cd43dd8448eb211c803190"}, links)
	})
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
	if maxBytes > 1 { // one byte is what a claim compares
		c.records.Add(int64(len(b.Records)))
	}
	return b, err
}

// A process that gets its partitions back does not read them again for duplicates.
func TestWindowsOutliveOwnership(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := &countingLog{Log: w.log}
		cfg := w.config()
		cfg.Log = log
		_, stop := w.run(cfg)
		defer stop()
		synctest.Wait() // what is in the log at a claim is also read for skips
		for i := range 100 {
			w.send("oak", storetest.Mark("ana", i%20, attendance.Present, ""))
		}
		synctest.Wait()
		require.EqualValues(t, 100, log.records.Load())
		for range 3 { // another member comes and goes
			_, stopOther := w.run(w.config())
			synctest.Wait()
			w.send("oak", storetest.Mark("ana", 1, attendance.Late, ""))
			synctest.Wait()
			stopOther()
			synctest.Wait()
		}
		w.requireReference()
		require.EqualValues(t, 103, log.records.Load(), "each record once, whoever folded it")
	})
}

// slowStore takes its time for every commit, and notes how many events were in it.
type slowStore struct {
	projections.Store
	batches []int64
}

func (s *slowStore) Commit(
	ctx context.Context, claim projections.Claim, c *projections.Commit,
) error {
	<-time.After(10 * time.Millisecond)
	s.batches = append(s.batches, c.To-c.From)
	return s.Store.Commit(ctx, claim, c)
}

func TestBatchesGrowWithTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		store := &slowStore{Store: w.store}
		cfg := w.config()
		cfg.Store, cfg.MaxBatch = store, 40
		_, stop := w.run(cfg)
		defer stop()
		synctest.Wait()
		w.send("oak", storetest.Enrol("ana", "7A"))
		synctest.Wait() // the first is on its way at once; the others come while it is
		for range 100 {
			w.send("oak", storetest.Mark("ana", 1, attendance.Present, ""))
		}
		pass(time.Second)
		require.Equal(t, []int64{1, 40, 40, 20}, store.batches)
		w.requireReference()
	})
}

// brokenLog cannot be read while it is broken.
type brokenLog struct {
	projections.Log
	broken atomic.Bool
}

func (b *brokenLog) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	if b.broken.Load() {
		return eventlog.Batch{}, errors.New("no broker leads the partition")
	}
	return b.Log.Fetch(ctx, partition, offset, maxBytes, maxWait)
}

func TestAPartitionThatCannotBeReadSaysSo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log := &brokenLog{Log: w.log}
		cfg := w.config()
		var said bytes.Buffer
		cfg.Log, cfg.Logger = log, slog.New(slog.NewTextHandler(&said, nil))
		e, stop := w.run(cfg)
		synctest.Wait()
		states := func() (states []projections.State) {
			for _, s := range e.Status() {
				states = append(states, s.State)
			}
			return states
		}
		require.Equal(t, []projections.State{
			projections.Running, projections.Running,
			projections.Running,
		}, states())

		log.broken.Store(true)
		pass(time.Minute)
		require.Equal(t, []projections.State{
			projections.Failing, projections.Failing,
			projections.Failing,
		}, states())
		require.Contains(t, e.Status()[0].Reason, "no broker leads the partition")

		log.broken.Store(false)
		pass(time.Minute)
		require.Equal(t, []projections.State{
			projections.Running, projections.Running,
			projections.Running,
		}, states())
		stop()
		require.Contains(t, said.String(), "cannot read the log")
	})
}

// awayStore cannot be reached.
type awayStore struct{ projections.Store }

func (awayStore) Claim(context.Context, int32, string) (projections.Claim, error) {
	return projections.Claim{}, errors.New("no route to the database")
}

func TestAnOutageOfTheStoreIsShownAndLogged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		cfg := w.config()
		var said bytes.Buffer
		cfg.Store, cfg.Logger = awayStore{w.store}, slog.New(slog.NewTextHandler(&said, nil))
		e, stop := w.run(cfg)
		pass(10 * time.Minute)
		for _, s := range e.Status() {
			require.Equal(t, projections.Failing, s.State)
		}
		stop()
		// Pauses grow to three seconds: in ten minutes there are 200 attempts a partition, not
		// thousands.
		require.InDelta(t, 3*200, strings.Count(said.String(), "no route to the database"), 60)
	})
}
