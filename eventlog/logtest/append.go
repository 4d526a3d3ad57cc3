package logtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

func testAppend(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 2)
	require.Equal(t, domain.Position{Partition: 2, Offset: 0},
		mustAppend(t, log, school, records(0, 3)...))
	require.Equal(t, domain.Position{Partition: 2, Offset: 3},
		mustAppend(t, log, school, records(3, 1)...))
	require.Equal(t, domain.Position{Partition: 1, Offset: 0},
		mustAppend(t, log, schoolIn(h, 1), records(0, 1)...))
	require.Equal(t, domain.Position{Partition: 2, Offset: 4},
		mustAppend(t, log, school, records(4, 2)...))

	got := readAll(t, log, 2, 0)
	require.Equal(t, []string{"0", "1", "2", "3", "4", "5"}, texts(got))
	for i, r := range got {
		require.EqualValues(t, i, r.Position.Offset)
		require.Equal(t, school, string(r.Key))
		require.WithinDuration(t, time.Now(), r.Time, 10*time.Minute)
	}
	start, end, err := log.Bounds(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, [2]int64{0, 6}, [2]int64{start, end})

	_, err = log.Append(t.Context(), school, nil)
	require.Error(t, err, "nothing to append")
	_, _, err = log.Bounds(t.Context(), h.Partitions)
	require.Error(t, err, "no such partition")

	topic, err := log.Topic(t.Context())
	require.NoError(t, err)
	require.Equal(t, h.Partitions, topic.Partitions)
	require.NotEmpty(t, topic.Name)
	require.NotEmpty(t, topic.ID)
}

// Schools that share partitions, each with one writer: what one writes stays in its order, and
// nothing is lost.
func testOrder(t *testing.T, h *Harness) {
	log := h.Open(t)
	const schools, appends = 12, 25
	var writers sync.WaitGroup
	for s := range schools {
		writers.Go(func() {
			school := fmt.Sprintf("order-%d", s)
			for n := range appends {
				if _, err := log.Append(t.Context(), school, records(n*2, 2)); err != nil {
					t.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	writers.Wait()
	seen := map[string][]string{}
	for p := range h.Partitions {
		for _, r := range readAll(t, log, p, 0) {
			require.Equal(t, p, eventlog.PartitionFor(string(r.Key), h.Partitions))
			seen[string(r.Key)] = append(seen[string(r.Key)], string(r.Value))
		}
	}
	require.Len(t, seen, schools)
	want := texts(records(0, appends*2))
	for school, got := range seen {
		require.Empty(t, cmp.Diff(want, got), school)
	}
}

func testTooLarge(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 0)
	mustAppend(t, log, school, largeRecord(h.MaxRecordBytes-1024))

	// Neighbours on the way at the same time are not hurt.
	var neighbours sync.WaitGroup
	for range 8 {
		neighbours.Go(func() {
			if _, err := log.Append(t.Context(), school, records(0, 1)); err != nil {
				t.Errorf("neighbour: %v", err)
			}
		})
	}
	_, err := log.Append(t.Context(), school,
		[]eventlog.Record{record("before"), largeRecord(h.MaxRecordBytes + 1), record("after")})
	require.ErrorIs(t, err, eventlog.ErrTooLarge)
	neighbours.Wait()
	got := texts(readAll(t, log, 0, 1))
	require.Len(t, got, 8)
	require.NotContains(t, got, "before", "an append is taken as a whole or not at all")
}

func testCancelledAppend(t *testing.T, h *Harness) {
	log := h.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := log.Append(ctx, schoolIn(h, 0), records(0, 1))
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	mustAppend(t, log, schoolIn(h, 0), records(1, 1)...)
}

// Whatever bytes are in headers, values and names come back unchanged.
func testBytes(t *testing.T, h *Harness) {
	log := h.Open(t)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	school := string([]byte{'s', 0, 0xff, 'x'})
	want := []eventlog.Record{
		{
			Value: all,
			Headers: []eventlog.Header{
				{Key: "ce_bin", Value: all},
				{Key: "ce_bin", Value: []byte("again")},
				{Key: "empty", Value: []byte{}},
			},
		},
		{Value: []byte{}},
		{
			Value: []byte("{}"),
			Headers: []eventlog.Header{
				{Key: "naïve ☃", Value: []byte("☃")},
				{Key: "", Value: []byte("no name")},
			},
		},
		{Value: bytes.Repeat(all, 500)},
	}
	at := mustAppend(t, log, school, want...)
	got := readAll(t, log, at.Partition, at.Offset)
	require.Len(t, got, len(want))
	for i := range want {
		require.Equal(t, school, string(got[i].Key))
		require.True(t, bytes.Equal(want[i].Value, got[i].Value), "value %d", i)
		require.Len(t, got[i].Headers, len(want[i].Headers))
		for j, header := range want[i].Headers {
			require.Equal(t, header.Key, got[i].Headers[j].Key)
			require.True(t, bytes.Equal(header.Value, got[i].Headers[j].Value),
				"header %d of record %d", j, i)
		}
	}
}

// Many appenders at once lose nothing, get their own positions, and share batches.
func testConcurrentAppends(t *testing.T, h *Harness) {
	log := h.Open(t)
	const writers, appends = 64, 10
	school := schoolIn(h, 3)
	var (
		mu        sync.Mutex
		positions = map[int64]string{}
		group     sync.WaitGroup
	)
	before := 0
	if h.Batches != nil {
		before = h.Batches()
	}
	for w := range writers {
		group.Go(func() {
			for n := range appends {
				size := 1 + rand.IntN(3)
				var rs []eventlog.Record
				for i := range size {
					rs = append(rs, record(fmt.Sprintf("%d/%d/%d", w, n, i)))
				}
				at, err := log.Append(t.Context(), school, rs)
				if err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				for i := range size {
					positions[at.Offset+int64(i)] = string(rs[i].Value)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	got := readAll(t, log, 3, 0)
	require.Len(t, got, len(positions), "no record twice, none missing")
	for _, r := range got {
		require.Equal(t, positions[r.Position.Offset], string(r.Value))
	}
	if h.Batches != nil {
		require.Less(t, h.Batches()-before, writers*appends/2, "batches for %d appends",
			writers*appends)
	}
}

// While the log is away an append fails in bounded time; when it is back the first one already
// succeeds, and nothing that was acknowledged is gone.
func testOutage(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 1)
	mustAppend(t, log, school, record("before"))
	reader := h.Open(t)
	require.Equal(t, []string{"before"}, texts(readAll(t, reader, 1, 0)))

	h.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	_, err := log.Append(ctx, school, []eventlog.Record{record("during")})
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	require.NoError(t, ctx.Err(), "the log has a time limit of its own")
	_, err = reader.Fetch(ctx, 1, 1, 1<<20, 10*time.Millisecond)
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	_, _, err = reader.Bounds(ctx, 1)
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	_, err = reader.Topic(ctx)
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = log.Append(short, school, []eventlog.Record{record("in a hurry")})
	require.ErrorIs(t, err, eventlog.ErrUnavailable)

	h.Start(t)
	mustAppend(t, log, school, record("after"))
	require.Equal(t, []string{"before", "after"}, texts(readAll(t, reader, 1, 0)))
}

// The log restarts again and again under load. All that was acknowledged is there, at the position
// that was returned, and first occurrences are in order; what was not acknowledged may be there, or
// be there twice.
func testRestarts(t *testing.T, h *Harness) {
	log := h.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type acknowledgement struct {
		at   domain.Position
		text string
	}
	const writers = 8
	acknowledged := make([][]acknowledgement, writers)
	var counts [writers]atomic.Int64
	var group sync.WaitGroup
	for w := range writers {
		school := schoolIn(h, int32(w)%h.Partitions) + fmt.Sprint("-", w)
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				text := fmt.Sprintf("%d/%06d", w, n)
				at, err := log.Append(ctx, school, []eventlog.Record{record(text)})
				switch {
				case err == nil:
					acknowledged[w] = append(acknowledged[w], acknowledgement{at, text})
					counts[w].Add(1)
				case !errors.Is(err, eventlog.ErrUnavailable):
					t.Errorf("append: %v", err)
					return
				}
				pause(ctx, time.Millisecond) // or a log in memory grows beyond reason
			}
		})
	}
	progress := func() {
		t.Helper()
		for w := range counts {
			from := counts[w].Load()
			eventually(t, "the writer gets on",
				func() bool { return t.Failed() || counts[w].Load() > from+5 })
		}
	}
	for range 3 {
		progress()
		h.Stop(t)
		h.Start(t)
	}
	progress()
	cancel()
	group.Wait()

	reader := h.Open(t)
	at := map[domain.Position]string{}
	first := map[string]int64{}
	for p := range h.Partitions {
		for _, r := range readAll(t, reader, p, 0) {
			at[r.Position] = string(r.Value)
			if _, ok := first[string(r.Value)]; !ok {
				first[string(r.Value)] = r.Position.Offset
			}
		}
	}
	for w := range writers {
		last := int64(-1)
		for _, a := range acknowledged[w] {
			require.Equal(t, a.text, at[a.at], "acknowledged at %s", a.at)
			require.Greater(t, first[a.text], last, "order of %s", a.text)
			last = first[a.text]
		}
	}
}

// A log that accepts connections but does not respond is unavailable too.
func testSilence(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 0)
	mustAppend(t, log, school, record("before"))
	h.Pause(t)
	_, err := log.Append(t.Context(), school, []eventlog.Record{record("during")})
	require.ErrorIs(t, err, eventlog.ErrUnavailable)
	h.Resume(t)
	mustAppend(t, log, school, record("after"))
	got := texts(readAll(t, log, 0, 0))
	require.Equal(t, "before", got[0])
	require.Contains(t, got, "after")
}
