package main

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/bench"
	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
)

func TestDeliveriesOfTheWholeAreMeasured(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("so many connections are read on Linux only")
	}
	a := startApp(t, func(c *config.Config) { c.Realtime.PerUser = 40 })
	b := &bench.Delivery{
		Target:      bench.Target{URL: a.HTTP, Token: a.token},
		Connections: 40,
		Rooms:       4,
		Rate:        20,
		For:         500 * time.Millisecond,
	}
	r, err := b.Run(t.Context())
	require.NoError(t, err)
	require.Len(t, r.Figures, 6)
	require.Positive(t, r.Figures[3].Value, r.Figures[3].Name) // sent → read, p50

	b.Connections = 41
	_, err = b.Run(t.Context())
	require.ErrorContains(t, err, "join: ")
}
