package redis

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics count what became of answers.
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
			Help: "Answers looked for in the cache: hit, miss, or bypass when Redis could not be asked.",
		}, []string{"query", "outcome"}),
		stores: f.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_cache_stores_total",
			Help: "Answers brought to the cache: kept, refused because something newer is known, or failed.",
		}, []string{"query", "outcome"}),
		failures: f.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_cache_failures_total",
			Help: "Calls to Redis that failed or were not made because the breaker was open.",
		}),
		notices: f.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_cache_notices_total",
			Help: "Notices of the projector to the cache: told, ignored because of a newer owner, or failed.",
		}, []string{"outcome"}),
		open: f.NewGauge(prometheus.GaugeOpts{
			Name: "schoolbell_cache_breaker_open",
			Help: "Whether calls to Redis are held back because it has not been answering.",
		}),
	}
}
