package bench_test

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
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

func TestFanoutKeepsTheFiguresBesideAFailure(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	b := &bench.Fanout{
		Servers: []bench.FanoutServer{
			{Name: "absent", Command: []string{"/nowhere"}, Protocol: bench.CentrifugeProtocol},
			{Name: "silent", Command: []string{"true"}, Protocol: bench.CentrifugeProtocol},
			{
				Name: "strange", Command: []string{self}, Env: []string{"SCHOOLBELL_TEST_FANOUT=1"},
				Protocol: bench.SocketIOProtocol,
			},
			{
				Name: "schoolbell", Command: []string{self},
				Env: []string{"SCHOOLBELL_TEST_FANOUT=1"}, Protocol: bench.CentrifugeProtocol,
			},
		},
		Rooms: 2, Members: []int{2}, Cores: []int{1}, InFlight: []int{4}, For: 50 * time.Millisecond,
	}
	r, err := b.Run(t.Context())
	require.ErrorContains(t, err, "measure absent, 2 × 2: start: ")
	require.ErrorContains(t, err, "measure silent, 2 × 2: start: ")
	require.ErrorContains(t, err, "measure strange, 2 × 2: connect: unexpected response: 404")
	require.NotContains(t, err.Error(), "schoolbell, ")
	require.Len(t, r.Figures, 6)
}

func TestFanoutMeasures(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)
	b := &bench.Fanout{
		Servers: []bench.FanoutServer{
			{
				Name: "schoolbell", Command: []string{self},
				Env: []string{"SCHOOLBELL_TEST_FANOUT=1"}, Protocol: bench.CentrifugeProtocol,
			},
			{
				Name: "protobuf", Command: []string{self},
				Env: []string{"SCHOOLBELL_TEST_FANOUT=1"}, Protocol: bench.CentrifugeProtobufProtocol,
			},
		},
		Rooms: 5, Members: []int{4}, Cores: []int{1, 2}, InFlight: []int{12}, For: 200 * time.Millisecond,
	}
	r, err := b.Run(t.Context())
	require.NoError(t, err)
	const each = 13 // figures of a server
	require.Len(t, r.Figures, 2*each)
	for i, f := range r.Figures {
		if n := i % each; n%6 == 0 && n < 12 {
			continue // a connection of so few may cost nothing to be seen
		}
		require.Positive(t, f.Value, f.Name)
	}
}
