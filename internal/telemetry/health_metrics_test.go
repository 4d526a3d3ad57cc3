package telemetry

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestMetricsSayWhatReadyzSays(t *testing.T) {
	t.Parallel()
	var database error
	var h Health
	h.Add(Check{Name: "database", Probe: func(context.Context) error { return database }},
		Check{Name: "cache", Optional: true, Probe: func(context.Context) error { return errors.New("silent") }})
	reg := prometheus.NewRegistry()
	require.NoError(t, reg.Register(&h))
	require.NoError(t, ObserveRoles(reg, []string{"api", "ingest"}))
	requireMetrics := func(text string) {
		t.Helper()
		require.NoError(t, testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP schoolbell_check_ok 1 while a check of /readyz is ok; else 0.
# TYPE schoolbell_check_ok gauge
`+text+`
# HELP schoolbell_role 1 for each role of the process.
# TYPE schoolbell_role gauge
schoolbell_role{role="api"} 1
schoolbell_role{role="ingest"} 1
`)))
	}
	const ready = `
# HELP schoolbell_ready 1 while the process should get traffic, as /readyz says; else 0.
# TYPE schoolbell_ready gauge
schoolbell_ready `
	requireMetrics(`schoolbell_check_ok{check="cache"} 0
schoolbell_check_ok{check="database"} 1
schoolbell_check_ok{check="process"} 0` + ready + "0")
	h.Serve()
	requireMetrics(`schoolbell_check_ok{check="cache"} 0
schoolbell_check_ok{check="database"} 1` + ready + "1")
	database = errors.New("gone")
	requireMetrics(`schoolbell_check_ok{check="cache"} 0
schoolbell_check_ok{check="database"} 0` + ready + "0")
}
