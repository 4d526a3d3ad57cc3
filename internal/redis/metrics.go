package redis

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics count what becomes of results and notices.
type metrics struct {
	reads    *prometheus.CounterVec
	stores   *prometheus.CounterVec
	failures prometheus.Counter
	notices  *prometheus.CounterVec
	open     prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) *metrics {
	f := promauto.With(reg)
	return &metrics{
		reads: f.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_cache_reads_total",
			Help: "Lookups of results in the cache: hit, miss, or bypass when Redis was " +
				"unavailable.",
		}, []string{"query", "outcome"}),
		stores: f.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_cache_stores_total",
			Help: "Results offered to the cache: kept, refused because they were outdated, or " +
				"failed.",
		}, []string{"query", "outcome"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_cache_failures_total",
			Help: "Calls to Redis that failed, or were not made because the breaker was open.",
		}),
		notices: f.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_cache_notices_total",
			Help: "Notices of the projector to the cache: sent, ignored because a " +
				"newer worker has the partition, or failed.",
		}, []string{"outcome"}),
		open: f.NewGauge(prometheus.GaugeOpts{
			Name: "schoolbell_cache_breaker_open",
			Help: "1 while calls to Redis are suspended because it was failing.",
		}),
	}
}
