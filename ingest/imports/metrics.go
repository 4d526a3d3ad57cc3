package imports

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics are those of the imports of a process. Plans that are made again before they are applied
// are not counted, nor are steps that fail.
type metrics struct {
	plans, applied, cancelled, refused prometheus.Counter
	planning, applying                 prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) metrics {
	auto := promauto.With(reg)
	counter := func(name, help string) prometheus.Counter {
		return auto.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	took := auto.NewHistogramVec(prometheus.HistogramOpts{
		Name: "schoolbell_import_duration_seconds",
		Help: "How long imports took by step: plan, with the wait for its turn; apply, from " +
			"its first request to the last event, with the pauses between requests.",
		Buckets: []float64{.1, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640},
	}, []string{"step"})
	return metrics{
		plans:     counter("schoolbell_import_plans_total", "Plans of imports that were made."),
		applied:   counter("schoolbell_imports_applied_total", "Imports that were applied to the end."),
		cancelled: counter("schoolbell_imports_cancelled_total", "Imports that somebody has cancelled."),
		refused:   counter("schoolbell_import_refused_rows_total", "Rows of packages that plans refuse."),
		planning:  took.WithLabelValues("plan"),
		applying:  took.WithLabelValues("apply"),
	}
}

func (m *metrics) planned(p *Plan) {
	m.plans.Inc()
	m.refused.Add(float64(p.Refused.Count()))
}
