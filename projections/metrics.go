package projections

import (
	"errors"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the engine's own. The partition is a label of gauges only: on histograms it would
// multiply the series.
type metrics struct {
	eventVisible, appendVisible    prometheus.Observer
	batch, folding, lookup, commit prometheus.Observer
	records, duplicates, conflicts prometheus.Counter
	parked, panics, unusable       prometheus.Counter
	fenced, restarts               prometheus.Counter
	notifyFailures                 prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, e *Engine) (*metrics, error) {
	labels := prometheus.Labels{"set": e.cfg.Name}
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_projection_" + name,
			Help: help, ConstLabels: labels,
		})
		all = append(all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "schoolbell_projection_" + name, Help: help, ConstLabels: labels,
			Buckets: buckets,
		})
		all = append(all, h)
		return h
	}
	freshness := []float64{
		.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60,
		300, 3600,
	}
	work := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	m := &metrics{
		eventVisible: histogram("event_visible_seconds",
			"Time from when an event happened until it was in the tables.", freshness),
		appendVisible: histogram("append_visible_seconds",
			"Time from when an event was appended to the log until it was in the tables.",
			freshness),
		batch: histogram("batch_records", "Records of the log in one commit.",
			prometheus.ExponentialBuckets(1, 4, 8)),
		folding: histogram("fold_seconds", "Time to fold a batch, lookups included.", work),
		lookup:  histogram("lookup_seconds", "Time to look rows up in the store.", work),
		commit:  histogram("commit_seconds", "Time to commit a batch to the store.", work),
		records: counter("records_total",
			"Records of the log that were handled: folded, parked or dropped as duplicates."),
		duplicates: counter("duplicates_total",
			"Records dropped because the same event precedes them within the duplicate window."),
		conflicts: counter("conflicts_total",
			"Duplicates that are no repetitions: another event has used the same source and id. "+
				"They are dead letters."),
		unusable: counter("unusable_records_total",
			"Records passed over because nobody can use them: not events of Schoolbell's, or not "+
				"in their place. They are dead letters."),
		parked: counter("parked_events_total",
			"Events parked because they, or an earlier event of their subject, could not be "+
				"folded."),
		panics: counter("fold_panics_total",
			"Times that a fold panicked, retries of the same event included: an error in the "+
				"program."),
		fenced: counter("fenced_total",
			"Times that a partition was lost to another process."),
		restarts: counter("restarts_total",
			"Times that work on a partition restarted from its last commit."),
		notifyFailures: counter("notify_failures_total",
			"Times that caches or waiting readers could not be notified of a commit."),
	}
	all = append(all, newPartitionCollector(e, labels))
	var errs []error
	for _, c := range all {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// committed counts a batch that is in the store.
func (m *metrics) committed(j *job) {
	now := time.Now()
	for _, t := range j.visible {
		m.eventVisible.Observe(max(0, now.Sub(t.event).Seconds()))
		m.appendVisible.Observe(max(0, now.Sub(t.record).Seconds()))
	}
	m.batch.Observe(float64(j.records))
	m.folding.Observe(j.folding.Seconds())
	m.records.Add(float64(j.records))
}

// partitionCollector collects the state of each partition of this process at the moment of a
// scrape.
type partitionCollector struct {
	engine                                              *Engine
	position, lag, lagSeconds, subjects, schools, state *prometheus.Desc
}

func newPartitionCollector(e *Engine, labels prometheus.Labels) *partitionCollector {
	desc := func(name, help string, more ...string) *prometheus.Desc {
		return prometheus.NewDesc("schoolbell_projection_"+name, help,
			append([]string{"partition"}, more...), labels)
	}
	return &partitionCollector{
		engine:     e,
		position:   desc("position", "Offset of the last event in the tables."),
		lag:        desc("lag_events", "Records of the log that are not in the tables yet."),
		lagSeconds: desc("lag_seconds", "Age of the oldest record that is not in the tables yet."),
		subjects:   desc("parked_subjects", "Subjects that are parked."),
		schools: desc("parked_schools",
			"Schools that are parked whole, as too many of their subjects are."),
		state: desc("state", "1 for the state that the partition is in.", "state"),
	}
}

// Describe implements [prometheus.Collector].
func (c *partitionCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		c.position, c.lag, c.lagSeconds, c.subjects, c.schools,
		c.state,
	} {
		ch <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *partitionCollector) Collect(ch chan<- prometheus.Metric) {
	for _, s := range c.engine.Status() {
		gauge := func(d *prometheus.Desc, v float64, labels ...string) {
			labels = append([]string{strconv.Itoa(int(s.Partition))}, labels...)
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
		gauge(c.position, float64(s.Position.Offset))
		gauge(c.lag, float64(s.Lag))
		gauge(c.lagSeconds, s.LagTime.Seconds())
		gauge(c.subjects, float64(s.Parked))
		gauge(c.schools, float64(s.ParkedSchools))
		gauge(c.state, 1, string(s.State))
	}
}
