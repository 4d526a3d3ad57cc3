package bench_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/internal/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/eventlog/memlog"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestJobs(t *testing.T) {
	t.Parallel()
	pool, err := postgres.NewPool(t.Context(), postgres.Config{URL: devtest.Postgres(t), Role: postgres.Jobs, MaxConns: 12})
	require.NoError(t, err)
	defer pool.Close()
	b := bench.Jobs{Pool: pool.Conns(), Log: memlog.New(4), Encode: cloudevents.Encode, Deliveries: 2000, Schools: 5, Rate: 200, Pickup: time.Second}
	r, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Figures, 6)
	for _, f := range r.Figures {
		t.Logf("%s: %.1f %s", f.Name, f.Value, f.Unit)
	}
}
