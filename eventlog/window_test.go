package eventlog_test

import (
	"runtime"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/eventlog"
)

// The window must agree with its definition: the same key at an offset in [offset-size, offset).
func TestP3_WindowIsAFunctionOfTheLog(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			offset int64
			key    string
		}
		size := rapid.IntRange(1, 600).Draw(t, "size")
		keys := rapid.IntRange(1, 900).Draw(t, "keys")
		w := eventlog.NewWindow(size)
		var log []entry
		offset := int64(rapid.IntRange(0, 5000).Draw(t, "start"))
		for range rapid.IntRange(1, 2000).Draw(t, "records") {
			key := strconv.Itoa(rapid.IntRange(0, keys).Draw(t, "key"))
			want, before := false, int64(0)
			for i := len(log) - 1; i >= 0 && log[i].offset >= offset-int64(size) && !want; i-- {
				want, before = log[i].key == key, log[i].offset
			}
			got, earlier, known := w.Seen(offset, "school", "source", key, 0)
			if got == eventlog.Repetition && !known {
				w.Put(offset, "school", "source", key, 0)
			}
			if got == eventlog.Repetition != want || want && earlier != before {
				t.Fatalf("offset %d, key %s: verdict %v at %d, want %v at %d", offset, key, got,
					earlier, want, before)
			}
			if w.Next() != offset+1 {
				t.Fatalf("next is %d after offset %d", w.Next(), offset)
			}
			log = append(log, entry{offset, key})
			offset++
			if rapid.IntRange(0, 99).Draw(t, "gap") == 0 {
				offset += int64(rapid.IntRange(0, 2*size).Draw(t, "skip"))
			}
		}
	})
}

func TestWindowKeepsKeysApart(t *testing.T) {
	t.Parallel()
	w := eventlog.NewWindow(10)
	seen := func(offset int64, school, source, id string) eventlog.Verdict {
		v, _, _ := w.Seen(offset, school, source, id, 0)
		return v
	}
	require.Equal(t, eventlog.First, seen(0, "a", "bc", "d"))
	require.Equal(t, eventlog.First, seen(1, "ab", "c", "d"))
	require.Equal(t, eventlog.First, seen(2, "a", "b", "cd"))
	require.Equal(t, eventlog.Repetition, seen(3, "a", "bc", "d"))
	w.Put(3, "a", "bc", "d", 0)
	require.Panics(t, func() { seen(3, "a", "bc", "d") }, "a step back")
}

// What the record says counts as its content, and not when or through what it was sent.
func TestContentIsWhatARecordSays(t *testing.T) {
	t.Parallel()
	record := func(value string, headers ...string) *eventlog.Record {
		r := &eventlog.Record{Value: []byte(value)}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers,
				eventlog.Header{Key: headers[i], Value: []byte(headers[i+1])})
		}
		return r
	}
	is := record("{}", "ce_type", "a", "ce_subject", "s", "ce_time", "1").Content()
	require.Equal(t, is, record("{}", "ce_subject", "s", "ce_type", "a", "ce_traceparent", "x",
		"ce_authsub", "kafka:in", "ce_time", "2").Content())
	for _, other := range []*eventlog.Record{
		record("{ }", "ce_type", "a", "ce_subject", "s"), record("{}", "ce_type", "b", "ce_subject", "s"),
		record("{}", "ce_type", "a"), record("{}", "ce_type", "s", "ce_subject", "a"),
		record("{}", "ce_type", "a", "ce_subject", "s", "ce_specversion", "1.0"),
	} {
		require.NotEqual(t, is, other.Content(), "%v", other.Headers)
	}
}

func BenchmarkWindow(b *testing.B) {
	w := eventlog.NewWindow(eventlog.DefaultWindow)
	id := make([]byte, 0, 32)
	b.ReportAllocs()
	for i := range b.N {
		id = strconv.AppendInt(append(id[:0], "0191c2f4-7d2e-7c1a-"...), int64(i), 10)
		w.Seen(int64(i), "greenfield", "https://sis.example/greenfield", string(id), eventlog.Digest(i))
	}
}

// What a full window takes of memory.
func BenchmarkWindowMemory(b *testing.B) {
	var before, after runtime.MemStats
	for range b.N {
		runtime.GC()
		runtime.ReadMemStats(&before)
		w := eventlog.NewWindow(eventlog.DefaultWindow)
		for i := range int64(2 * eventlog.DefaultWindow) {
			w.Seen(i, "greenfield", "https://sis.example", strconv.FormatInt(i, 10), 0)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(w)
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/eventlog.DefaultWindow, "bytes/record")
}
