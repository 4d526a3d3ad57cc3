package eventlog_test

import (
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
			want := false
			for i := len(log) - 1; i >= 0 && log[i].offset >= offset-int64(size); i-- {
				want = want || log[i].key == key
			}
			if got := w.Seen(offset, "school", "source", key); got != want {
				t.Fatalf("offset %d, key %s: duplicate %v, want %v", offset, key, got, want)
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
	require.False(t, w.Seen(0, "a", "bc", "d"))
	require.False(t, w.Seen(1, "ab", "c", "d"))
	require.False(t, w.Seen(2, "a", "b", "cd"))
	require.True(t, w.Seen(3, "a", "bc", "d"))
	require.Panics(t, func() { w.Seen(3, "a", "bc", "d") }, "a step back")
}

func BenchmarkWindow(b *testing.B) {
	w := eventlog.NewWindow(eventlog.DefaultWindow)
	id := make([]byte, 0, 32)
	b.ReportAllocs()
	for i := range b.N {
		id = strconv.AppendInt(append(id[:0], "0191c2f4-7d2e-7c1a-"...), int64(i), 10)
		w.Seen(int64(i), "greenfield", "https://sis.example/greenfield", string(id))
	}
}
