package consumers

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the engine.
type metrics struct {
	events, faults, duplicates prometheus.Counter
	deliveries                 *prometheus.CounterVec
	batch, took, delay         prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "schoolbell_plan_" + name, Help: help}
	}
	histogram := func(name, help string, buckets ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "schoolbell_plan_" + name, Help: help, Buckets: buckets,
		})
	}
	m := &metrics{
		events: prometheus.NewCounter(counter("events_total", "Events that were planned.")),
		faults: prometheus.NewCounter(counter("faults_total",
			"Events that became dead letters because a planner failed.")),
		duplicates: prometheus.NewCounter(counter("known_deliveries_total",
			"Planned deliveries that were in the ledger already.")),
		deliveries: prometheus.NewCounterVec(counter("deliveries_total",
			"Planned deliveries, including those that were in the ledger already."),
			[]string{"planner", "channel"}),
		batch: histogram("batch_events", "Events planned together.",
			prometheus.ExponentialBuckets(1, 4, 6)...),
		took: histogram("seconds", "Time to plan a batch and commit it.",
			.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5),
		delay: histogram("delay_seconds",
			"Time from when an event was appended to the log until it was planned.",
			.005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600),
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.events, m.faults, m.duplicates, m.deliveries, m.batch, m.took, m.delay,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// planned counts a batch of which so many deliveries were new to the ledger.
func (m *metrics) planned(plans []Planning, fresh int, took time.Duration) {
	now := time.Now()
	total := 0
	for i := range plans {
		m.delay.Observe(max(0, now.Sub(plans[i].Event.AppendedAt).Seconds()))
		total += len(plans[i].Deliveries)
		for j := range plans[i].Deliveries {
			d := &plans[i].Deliveries[j]
			m.deliveries.WithLabelValues(d.Planner, string(d.Channel)).Inc()
		}
	}
	m.events.Add(float64(len(plans)))
	m.duplicates.Add(float64(max(0, total-fresh)))
	m.batch.Observe(float64(len(plans)))
	m.took.Observe(took.Seconds())
}
