package bench_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestJobs(t *testing.T) {
	t.Parallel()
	pool, err := postgres.NewPool(t.Context(),
		postgres.Config{URL: devtest.Postgres(t), Role: postgres.Jobs, MaxConns: 12})
	require.NoError(t, err)
	defer pool.Close()
	// A peer that returns its arguments as measurements: its port (a round's p50), deliveries,
	// schools and rate.
	peer := &bench.JobsPeer{Name: "Echo", Port: 4, Setup: "Echo on nothing", Command: []string{
		"sh", "-c", `echo '{"planned": ['$1'], "done": ['$2'], "both": ['$3'], "pickup_ms": ['$0']}'`,
	}}
	b := bench.Jobs{
		Pool: pool.Conns(), Log: memlog.New(4), Encode: cloudevents.Encode, Decode: cloudevents.Decode, Peer: peer,
		Deliveries: 1000, Rounds: 2, Schools: 5, Rate: 200, Pickup: time.Second,
	}
	r, err := b.Run(t.Context())
	require.NoError(t, err)
	figures := map[string]float64{}
	for _, f := range r.Figures {
		t.Logf("%s: %.3g %s", f.Name, f.Value, f.Unit)
		require.Positive(t, f.Value, f.Name)
		figures[f.Name] = f.Value
	}
	require.Len(t, figures, 17)
	require.InDelta(t, 1000, figures["Echo: planned"], 1e-9)
	require.InDelta(t, 5, figures["Echo: done"], 1e-9)
	require.InDelta(t, 200, figures["Echo: planned and done"], 1e-9)
	require.InDelta(t, 4, figures["Echo: pick-up p50"], 1e-9)
	require.InDelta(t, figures["done"]/5, figures["done, to Echo"], 1e-6)
	require.InDelta(t, figures["pick-up p99"]/4, figures["pick-up p99, to Echo"], 1e-6)
	require.Contains(t, r.Setup, "Echo on nothing")
}
