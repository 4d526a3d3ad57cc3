package bench_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// The server runs in a copy of this test's process.
func TestMain(m *testing.M) {
	if os.Getenv("SCHOOLBELL_TEST_FANOUT") != "" {
		if err := bench.ServeFanout(context.Background(), os.Stdout); err != nil {
			panic(err)
		}
		return
	}
	devtest.Main(m)
}

func TestFanoutMeasures(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	b := &bench.Fanout{
		Servers: []bench.FanoutServer{{Name: "schoolbell", Command: []string{self}, Env: []string{"SCHOOLBELL_TEST_FANOUT=1"}, Speaks: bench.CentrifugeProtocol}},
		Rooms:   5, Members: 4, InFlight: []int{3}, For: 100 * time.Millisecond,
	}
	r, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Figures, 6)
	for _, f := range r.Figures[1:] {
		require.Positive(t, f.Value, f.Name)
	}
}
