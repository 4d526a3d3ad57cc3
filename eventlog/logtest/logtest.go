// Package logtest proves that an implementation of [eventlog.Log] and [eventlog.Group] keeps its
// promises. The same suite runs against the log in memory, Kafka's stand-in kfake and a real Kafka.
package logtest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Harness is one log under test and what can be done to it. Fields that may be nil are features:
// without one, the tests that need it are skipped.
type Harness struct {
	// Open returns a view of the log as another process has it. It is closed when the test ends.
	Open func(t *testing.T) eventlog.Log
	// Partitions is how many it has; at least 4.
	Partitions int32
	// MaxRecordBytes is the largest record it takes.
	MaxRecordBytes int

	// Batches returns how many batches the views have written; may be nil.
	Batches func() int
	// Truncate removes the records of a partition before an offset; may be nil.
	Truncate func(t *testing.T, partition int32, before int64)
	// Recreate deletes the topic and creates it again; may be nil.
	Recreate func(t *testing.T)
	// Committed returns the offset that a group has committed for a partition; may be nil.
	Committed func(t *testing.T, group string, partition int32) (next int64, ok bool)
	// Stop makes the log unreachable and Start brings it back with its records; may be nil.
	Stop, Start func(t *testing.T)
	// Pause makes the log silent and Resume ends that; may be nil.
	Pause, Resume func(t *testing.T)
}

// Patience bounds how long the suite waits for what must happen.
const Patience = 60 * time.Second

// Run runs the suite. Each test gets a harness of its own; those that take the log away do so one
// after the other.
func Run(t *testing.T, newHarness func(t *testing.T) *Harness) {
	tests := []struct {
		name   string
		test   func(*testing.T, *Harness)
		needs  func(*Harness) bool
		outage bool
	}{
		{name: "AppendReturnsContiguousPositions", test: testAppend},
		{name: "P2_SchoolsKeepTheirOrder", test: testOrder},
		{name: "AppendRefusesWhatIsTooLarge", test: testTooLarge},
		{name: "AppendEndsWithItsContext", test: testCancelledAppend},
		{name: "BytesComeBackAsTheyWere", test: testBytes},
		{name: "FetchReadsFromAnyOffset", test: testFetch},
		{name: "FetchWaitsForRecords", test: testLongPoll},
		{name: "FetchRefusesOffsetsOutsideTheLog", test: testOutOfRange},
		{
			name:  "TruncatedLog",
			test:  testTruncated,
			needs: func(h *Harness) bool { return h.Truncate != nil },
		},
		{
			name:  "RecreatedTopic",
			test:  testRecreated,
			needs: func(h *Harness) bool { return h.Recreate != nil },
		},
		{name: "ConcurrentAppendersShareBatches", test: testConcurrentAppends},
		{name: "P3_CursorsAgree", test: testReader},
		{name: "GroupSharesPartitions", test: testGroup},
		{name: "GroupReportsTheErrorOfAWorker", test: testWorkerFails},
		{
			name:  "GroupCommitsOffsets",
			test:  testCommitted,
			needs: func(h *Harness) bool { return h.Committed != nil },
		},
		{
			name:   "P1_Outage",
			test:   testOutage,
			needs:  func(h *Harness) bool { return h.Stop != nil },
			outage: true,
		},
		{
			name:   "P1_Restarts",
			test:   testRestarts,
			needs:  func(h *Harness) bool { return h.Stop != nil },
			outage: true,
		},
		{
			name: "CursorsOutlastAnOutage", test: testReaderOutage,
			needs: func(h *Harness) bool { return h.Stop != nil }, outage: true,
		},
		{
			name:   "SilentBroker",
			test:   testSilence,
			needs:  func(h *Harness) bool { return h.Pause != nil },
			outage: true,
		},
	}
	for _, outage := range []bool{false, true} {
		t.Run(map[bool]string{false: "Steady", true: "Outages"}[outage], func(t *testing.T) {
			for _, tt := range tests {
				if tt.outage != outage {
					continue
				}
				t.Run(tt.name, func(t *testing.T) {
					if !outage {
						t.Parallel()
					}
					h := newHarness(t)
					if tt.needs != nil && !tt.needs(h) {
						t.Skip("not a feature of this log")
					}
					tt.test(t, h)
				})
			}
		})
	}
}

// record makes a record that is distinguished by its text.
func record(text string) eventlog.Record {
	return eventlog.Record{
		Headers: []eventlog.Header{
			{Key: "ce_id", Value: []byte(text)},
			{Key: "ce_source", Value: []byte("logtest")},
		},
		Value: []byte(text),
	}
}

func records(from, n int) []eventlog.Record {
	rs := make([]eventlog.Record, n)
	for i := range rs {
		rs[i] = record(strconv.Itoa(from + i))
	}
	return rs
}

// schoolIn returns the name of a school that is in a partition.
func schoolIn(h *Harness, partition int32) string {
	for i := 0; ; i++ {
		school := fmt.Sprintf("school-%d", i)
		if eventlog.PartitionFor(school, h.Partitions) == partition {
			return school
		}
	}
}

func mustAppend(
	t *testing.T, log eventlog.Appender, school string, rs ...eventlog.Record,
) domain.Position {
	t.Helper()
	at, err := log.Append(t.Context(), school, rs)
	require.NoError(t, err)
	return at
}

// readAll returns the records of a partition from an offset to the end.
func readAll(t *testing.T, log eventlog.Log, partition int32, from int64) []eventlog.Record {
	t.Helper()
	_, end, err := log.Bounds(t.Context(), partition)
	require.NoError(t, err)
	var all []eventlog.Record
	for from < end {
		b, err := log.Fetch(t.Context(), partition, from, 1<<20, 500*time.Millisecond)
		require.NoError(t, err)
		for _, r := range b.Records {
			require.GreaterOrEqual(t, r.Position.Offset, from)
			require.Equal(t, partition, r.Position.Partition)
			from = r.Position.Offset + 1
			all = append(all, r)
		}
		require.GreaterOrEqual(t, b.Next, from)
		from = b.Next
	}
	return all
}

func texts(rs []eventlog.Record) []string {
	var s []string
	for _, r := range rs {
		s = append(s, string(r.Value))
	}
	return s
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for this: %s", Patience, what)
		}
		pause(t.Context(), 5*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func largeRecord(n int) eventlog.Record {
	return eventlog.Record{Value: bytes.Repeat([]byte("x"), n)}
}
