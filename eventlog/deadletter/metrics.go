package deadletter

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts the dead letters that a process finds, of all kinds. A nil one counts nothing.
type Metrics struct{ letters *prometheus.CounterVec }

// NewMetrics registers the counters. All of them are there from the start.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: "schoolbell_deadletters_total",
		Help: "Dead letters by kind, and whether they were stored or only counted, as there were " +
			"too many of their school or partition that day.",
	}, []string{"kind", "stored"})}
	for _, kind := range []Kind{Inbox, Log, Plan, Conflict} {
		for _, stored := range []bool{true, false} {
			m.letters.WithLabelValues(string(kind), strconv.FormatBool(stored))
		}
	}
	return m
}

// Count counts one letter, once the transaction is committed that it was written in.
func (m *Metrics) Count(kind Kind, stored bool) {
	if m != nil {
		m.letters.WithLabelValues(string(kind), strconv.FormatBool(stored)).Inc()
	}
}
