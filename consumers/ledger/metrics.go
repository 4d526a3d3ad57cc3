package ledger

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river/rivertype"

	"github.com/schoolbell/schoolbell/consumers"
)

// metrics are those of the ledger.
type metrics struct {
	executed, errors, cost, reports, wishes  *prometheus.CounterVec
	waiting, provider                        *prometheus.HistogramVec
	relayed, databaseErrors, late, reminders prometheus.Counter
	depth, problems                          *prometheus.GaugeVec
	outbox                                   prometheus.Gauge

	mu    sync.Mutex
	payer map[string]bool // the schools that have costs of their own
}

// maxPayers bounds how many schools have costs of their own in a process's metrics; those of the
// others are added up. The ledger has the cost of each delivery.
const (
	maxPayers   = 500
	otherPayers = "others"
)

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{payer: map[string]bool{}}
	var errs []error
	register := func(c prometheus.Collector) { errs = append(errs, reg.Register(c)) }
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: "schoolbell_jobs_" + name, Help: help})
		register(c)
		return c
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(
			prometheus.CounterOpts{Name: "schoolbell_jobs_" + name, Help: help}, labels)
		register(c)
		return c
	}
	gauges := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(
			prometheus.GaugeOpts{Name: "schoolbell_jobs_" + name, Help: help}, labels)
		register(g)
		return g
	}
	histograms := func(
		name, help string, buckets []float64, labels ...string,
	) *prometheus.HistogramVec {
		h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "schoolbell_jobs_" + name, Help: help, Buckets: buckets,
		}, labels)
		register(h)
		return h
	}
	m.executed = counters("attempts_total", "Attempts by result.", "queue", "state", "reason")
	m.waiting = histograms("waiting_seconds",
		"Time from when a delivery was due until its first attempt began.",
		[]float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600},
		"queue", "priority")
	m.provider = histograms("provider_seconds", "Response time of providers.",
		[]float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10}, "provider")
	m.errors = counters("provider_errors_total", "Errors of providers.",
		"provider", "class", "code")
	m.cost = counters("cost_total", "Cost of deliveries, in the provider's currency; schools "+
		"beyond the first 500 are counted as others.", "school", "provider")
	m.reports = counters("reports_total", "Reports of providers that changed a delivery.",
		"provider", "state")
	m.wishes = counters("opt_outs_total", "Recipients who have texted STOP, or START again.",
		"provider", "wish")
	m.relayed = counter("outcomes_total", "Outcomes appended to the log.")
	m.databaseErrors = counter("troubles_total",
		"Attempts that could not be started or recorded because the database did not respond.")
	m.late = counter("late_total", "Results that came after the delivery had been started again.")
	m.reminders = counter("reminders_total", "Reminders of overdue fees.")
	m.depth = gauges("depth", "Jobs that are not done.", "queue", "priority", "state")
	m.problems = gauges("deliveries_in_trouble", "Deliveries that need attention.", "state")
	m.outbox = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "schoolbell_jobs_outbox", Help: "Outcomes that are not in the log yet.",
	})
	register(m.outbox)
	return m, errors.Join(errs...)
}

// started observes how long a delivery has waited until its first start.
func (m *metrics) started(s *started, job *rivertype.JobRow) {
	if s.fence > 1 {
		return
	}
	due := s.plannedAt
	if s.NotBefore.After(due) {
		due = s.NotBefore
	}
	m.waiting.WithLabelValues(job.Queue, strconv.Itoa(job.Priority)).Observe(max(0, time.Since(due).Seconds()))
}

// sent observes a provider's response.
func (m *metrics) sent(provider string, took time.Duration, err error) {
	m.provider.WithLabelValues(provider).Observe(took.Seconds())
	if err == nil {
		return
	}
	class, code := consumers.Unsure, ""
	if e, ok := errors.AsType[*consumers.SendError](err); ok {
		class, code = e.Class, e.Code
	}
	m.errors.WithLabelValues(provider, string(class), code).Inc()
}

// finished counts an attempt.
func (m *metrics) finished(f *finish, counts bool) {
	if !counts {
		m.late.Inc()
		return
	}
	state := string(f.state)
	switch {
	case f.uncounted && !f.lookedUp:
		state = "given back"
	case f.retry:
		state = "retry"
	}
	m.executed.WithLabelValues(QueueOf(f.Channel), state, string(f.class)).Inc()
	m.paid(f.School, f.provider, f.receipt.Cost)
}

// paid counts the cost of a delivery, in millionths. A label for every school of a district would be
// too many series for one process.
func (m *metrics) paid(school, provider string, cost int64) {
	if cost <= 0 {
		return
	}
	m.mu.Lock()
	if m.payer[school] || len(m.payer) < maxPayers {
		m.payer[school] = true
	} else {
		school = otherPayers
	}
	m.mu.Unlock()
	m.cost.WithLabelValues(school, provider).Add(float64(cost) / 1e6)
}

// count updates the gauges from the database.
func (l *Ledger) count(ctx context.Context) error {
	depths, err := l.Depths(ctx)
	if err != nil {
		return err
	}
	l.metrics.depth.Reset()
	for _, d := range depths {
		l.metrics.depth.WithLabelValues(d.Queue, strconv.Itoa(d.Priority), d.State).Set(float64(d.Jobs))
	}
	for _, state := range []consumers.State{consumers.Dead, consumers.Unknown} {
		var n int64
		if err := l.pool.QueryRow(ctx,
			`SELECT count(*) FROM schoolbell.ledger_trouble WHERE state = $1`, state).
			Scan(&n); err != nil {
			return err
		}
		l.metrics.problems.WithLabelValues(string(state)).Set(float64(n))
	}
	var waiting int64
	err = l.pool.QueryRow(ctx, `SELECT count(*) FROM schoolbell.ledger_outbox`).Scan(&waiting)
	l.metrics.outbox.Set(float64(waiting))
	return err
}
