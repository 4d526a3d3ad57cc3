package realtime_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/realtime"
)

func TestTheOldestSilentConnectionGoesForANewOne(t *testing.T) {
	t.Parallel()
	l := &realtime.PreAuth{PerAddress: 2, Max: 4}
	var dropped []string
	enter := func(name, from string) func() {
		return l.Enter(&http.Request{RemoteAddr: from},
			func() { dropped = append(dropped, name) })
	}
	enter("a", "192.0.2.1:1000")
	leave := enter("b", "[::ffff:192.0.2.1]:2000")
	enter("c", "[2001:db8::1]:1")
	enter("d", "[2001:db8::2]:1")
	require.Empty(t, dropped)
	enter("e", "192.0.2.1:3000")
	require.Equal(t, []string{"a"}, dropped, "the oldest of its address, written in either way")
	enter("f", "[2001:db8::3]:1")
	require.Equal(t, []string{"a", "c"}, dropped, "the oldest of its network")
	enter("g", "198.51.100.1:1")
	require.Equal(t, []string{"a", "c", "b"}, dropped, "the oldest of all")
	leave() // it has gone already
	leave()
	enter("h", "198.51.100.1:2")
	require.Equal(t, []string{"a", "c", "b", "d"}, dropped)
}

// However connections come and go, no limit is exceeded, none is dropped twice or after it has
// left, and nobody is refused.
func TestPreAuthLimits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &realtime.PreAuth{PerAddress: 3, Max: 7}
		type connection struct {
			from  string
			leave func()
		}
		var waiting []*connection
		addresses := []string{"192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "unix"}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(waiting) > 0 && rapid.Bool().Draw(t, "leave") {
				i := rapid.IntRange(0, len(waiting)-1).Draw(t, "which")
				waiting[i].leave()
				waiting[i].leave()
				waiting = slices.Delete(waiting, i, i+1)
				continue
			}
			c := &connection{from: rapid.SampledFrom(addresses).Draw(t, "from")}
			c.leave = l.Enter(&http.Request{RemoteAddr: c.from}, func() {
				i := slices.Index(waiting, c)
				require.GreaterOrEqual(t, i, 0, "it has gone")
				waiting = slices.Delete(waiting, i, i+1)
			})
			waiting = append(waiting, c)
			count := map[string]int{}
			for _, w := range waiting {
				count[w.from]++
				require.LessOrEqual(t, count[w.from], 3)
			}
			require.LessOrEqual(t, len(waiting), 7)
		}
	})
}
