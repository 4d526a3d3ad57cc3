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
		Rooms:   5, Members: []int{4}, Cores: []int{1, 2}, InFlight: []int{12}, For: 100 * time.Millisecond,
	}
	r, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Figures, 13)
	for i, f := range r.Figures {
		if i%6 == 0 && i < 12 {
			continue // a connection of so few may cost nothing to be seen
		}
		require.Positive(t, f.Value, f.Name)
	}
}
