package ingest

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

type metrics struct {
	records *prometheus.CounterVec
	lag     *prometheus.GaugeVec
	failing *prometheus.GaugeVec
}

// Metrics are those of all inboxes of a process.
type Metrics struct{ metrics }

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	auto := promauto.With(reg)
	return &Metrics{metrics{
		records: auto.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_inbox_records_total",
			Help: "Records read from an inbox, by what became of them: accepted, refused, " +
				"tombstone, or undecodable.",
		}, []string{"topic", "result"}),
		lag: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "schoolbell_inbox_lag_records",
			Help: "Records of an inbox partition that are committed and not yet in the log.",
		}, []string{"topic", "partition"}),
		failing: auto.NewGaugeVec(prometheus.GaugeOpts{
			Name: "schoolbell_inbox_failing",
			Help: "1 while a partition of an inbox cannot be read or its events cannot be appended.",
		}, []string{"topic", "partition"}),
	}}
}
