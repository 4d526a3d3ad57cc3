package logtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/eventlog"
)

func testFetch(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 1)
	for i := 0; i < 40; i += 4 {
		mustAppend(t, log, school, records(i, 4)...)
	}
	want := texts(records(0, 40))
	for from := range int64(41) {
		b, err := log.Fetch(t.Context(), 1, from, 1<<20, 0)
		require.NoError(t, err)
		require.Equal(t, want[from:][:len(b.Records)], append([]string{}, texts(b.Records)...))
		require.EqualValues(t, 40, b.HighWatermark)
		require.EqualValues(t, 0, b.LogStart)
		require.EqualValues(t, from+int64(len(b.Records)), b.Next)
		if from < 40 {
			require.NotEmpty(t, b.Records)
			require.Equal(t, from, b.Records[0].Position.Offset)
		}
	}

	// A small limit still makes progress, and does not bring everything.
	b, err := log.Fetch(t.Context(), 1, 6, 1, 0)
	require.NoError(t, err)
	require.NotEmpty(t, b.Records)
	require.EqualValues(t, 6, b.Records[0].Position.Offset)
	require.Less(t, len(b.Records), 20)

	_, err = log.Fetch(t.Context(), h.Partitions, 0, 1, 0)
	require.Error(t, err, "no such partition")
}

func testLongPoll(t *testing.T, h *Harness) {
	log := h.Open(t)
	b, err := log.Fetch(t.Context(), 0, 0, 1<<20, 30*time.Millisecond)
	require.NoError(t, err)
	require.Empty(t, b.Records)
	require.Zero(t, b.Next)
	require.Zero(t, b.HighWatermark)

	// One that waits is woken by the record, not by the end of its time.
	type result struct {
		batch eventlog.Batch
		err   error
	}
	results := make(chan result, 1)
	go func() {
		b, err := log.Fetch(t.Context(), 0, 0, 1<<20, Patience)
		results <- result{b, err}
	}()
	mustAppend(t, log, schoolIn(h, 0), record("late"))
	got := <-results
	require.NoError(t, got.err)
	require.Equal(t, []string{"late"}, texts(got.batch.Records))
	require.EqualValues(t, 1, got.batch.Next)

	// It ends with its context.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := log.Fetch(ctx, 0, 1, 1<<20, Patience)
		results <- result{err: err}
	}()
	cancel()
	require.ErrorIs(t, (<-results).err, context.Canceled)
}

func testOutOfRange(t *testing.T, h *Harness) {
	log := h.Open(t)
	mustAppend(t, log, schoolIn(h, 0), records(0, 3)...)
	for _, offset := range []int64{-1, 4, 1 << 40} {
		_, err := log.Fetch(t.Context(), 0, offset, 1<<20, 10*time.Millisecond)
		require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange, "offset %d", offset)
	}
	_, err := log.Fetch(t.Context(), 0, 3, 1<<20, 0)
	require.NoError(t, err, "the end is inside")
}

func testTruncated(t *testing.T, h *Harness) {
	log := h.Open(t)
	school := schoolIn(h, 2)
	mustAppend(t, log, school, records(0, 5)...)
	mustAppend(t, log, school, records(5, 5)...)
	h.Truncate(t, 2, 7)
	start, end, err := log.Bounds(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, [2]int64{7, 10}, [2]int64{start, end})
	for _, offset := range []int64{0, 6} {
		_, err = log.Fetch(t.Context(), 2, offset, 1<<20, 0)
		require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange, "offset %d", offset)
	}
	b, err := log.Fetch(t.Context(), 2, 7, 1<<20, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"7", "8", "9"}, texts(b.Records))
	require.EqualValues(t, 7, b.LogStart)
	require.EqualValues(t, 10, mustAppend(t, log, school, record("10")).Offset)
}

// A topic of the same name is not the same log: its id differs, and a reader of the old one gets an
// error, also when the new one has grown beyond its position.
func testRecreated(t *testing.T, h *Harness) {
	old := h.Open(t)
	school := schoolIn(h, 0)
	mustAppend(t, old, school, records(0, 5)...)
	before, err := old.Topic(t.Context())
	require.NoError(t, err)

	h.Recreate(t)
	fresh := h.Open(t)
	after, err := fresh.Topic(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.Name, after.Name)
	require.NotEqual(t, before.ID, after.ID)
	now, err := old.Topic(t.Context())
	require.NoError(t, err)
	require.Equal(t, after.ID, now.ID, "the old view notices")

	_, err = old.Fetch(t.Context(), 0, 5, 1<<20, 0)
	require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange)
	mustAppend(t, fresh, school, records(100, 10)...)
	_, err = old.Fetch(t.Context(), 0, 5, 1<<20, 0)
	require.ErrorIs(t, err, eventlog.ErrOffsetOutOfRange)
	require.Len(t, readAll(t, fresh, 0, 0), 10)
}
