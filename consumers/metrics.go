package consumers

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics is what the engine shows about itself.
type metrics struct {
	events, faults prometheus.Counter
	deliveries     *prometheus.CounterVec
	duplicates     prometheus.Counter
	batch, took    prometheus.Observer
	delay          prometheus.Observer
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "schoolbell_plan_" + name, Help: help})
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "schoolbell_plan_" + name, Help: help, Buckets: buckets})
	}
	events := counter("events_total", "Events that were planned.")
	faults := counter("faults_total", "Events from which nothing follows because a planner failed.")
	known := counter("known_deliveries_total", "Deliveries that followed from an event and were in the ledger already.")
	deliveries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "schoolbell_plan_deliveries_total", Help: "Deliveries that followed from events, those already known included.",
	}, []string{"planner", "channel"})
	batch := histogram("batch_events", "Events planned together.", prometheus.ExponentialBuckets(1, 4, 6))
	took := histogram("seconds", "Time to plan a batch and keep it.", []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5})
	delay := histogram("delay_seconds", "Time from when an event was appended to the log until it was planned.",
		[]float64{.005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600})
	var errs []error
	for _, c := range []prometheus.Collector{events, faults, known, deliveries, batch, took, delay} {
		errs = append(errs, reg.Register(c))
	}
	return &metrics{
		events: events, faults: faults, deliveries: deliveries, duplicates: known, batch: batch, took: took, delay: delay,
	}, errors.Join(errs...)
}

// planned counts a batch that is in the ledger.
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
