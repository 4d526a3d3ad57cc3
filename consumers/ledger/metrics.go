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

// metrics is what the ledger shows about itself.
type metrics struct {
	executed                *prometheus.CounterVec
	waiting                 *prometheus.HistogramVec
	provider                *prometheus.HistogramVec
	errors                  *prometheus.CounterVec
	cost                    *prometheus.CounterVec
	reports                 *prometheus.CounterVec
	relayed, databaseErrors prometheus.Counter
	late, reminders         prometheus.Counter
	depth, problems         *prometheus.GaugeVec
	outbox                  prometheus.Gauge

	mu    sync.Mutex
	payer map[string]bool // the schools that have costs of their own
}

// maxPayers bounds how many schools have costs of their own in a process's metrics; the rest are counted together. The
// ledger knows what each delivery cost.
const (
	maxPayers   = 500
	otherPayers = "others"
)

func newMetrics(reg prometheus.Registerer, l *Ledger) (*metrics, error) {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "schoolbell_jobs_" + name, Help: help}
	}
	gauge := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "schoolbell_jobs_" + name, Help: help}
	}
	m := &metrics{
		payer:    map[string]bool{},
		executed: prometheus.NewCounterVec(counter("attempts_total", "Attempts by what came of them."), []string{"queue", "state", "reason"}),
		waiting: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "schoolbell_jobs_waiting_seconds", Help: "Time from when a delivery was due until its first attempt began.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 300, 3600},
		}, []string{"queue", "priority"}),
		provider: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "schoolbell_jobs_provider_seconds", Help: "Time that providers take to answer.",
			Buckets: []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"provider"}),
		errors:         prometheus.NewCounterVec(counter("provider_errors_total", "Errors of providers."), []string{"provider", "class", "code"}),
		cost:           prometheus.NewCounterVec(counter("cost_total", "What deliveries cost, in the provider's currency; schools beyond the first 500 are counted as others."), []string{"school", "provider"}),
		reports:        prometheus.NewCounterVec(counter("reports_total", "Reports of providers that said something new."), []string{"provider", "state"}),
		relayed:        prometheus.NewCounter(counter("outcomes_total", "Outcomes put into the log.")),
		databaseErrors: prometheus.NewCounter(counter("troubles_total", "Attempts that could not begin or be written down because the database did not answer.")),
		late:           prometheus.NewCounter(counter("late_total", "Answers that came after the delivery had been started again.")),
		reminders:      prometheus.NewCounter(counter("reminders_total", "Reminders of overdue fees that were made.")),
		depth:          prometheus.NewGaugeVec(gauge("depth", "Jobs that are not done."), []string{"queue", "priority", "state"}),
		problems:       prometheus.NewGaugeVec(gauge("deliveries_in_trouble", "Deliveries that need a look."), []string{"state"}),
		outbox:         prometheus.NewGauge(gauge("outbox", "Outcomes that are not in the log yet.")),
	}
	var errs []error
	for _, c := range []prometheus.Collector{
		m.executed, m.waiting, m.provider, m.errors, m.cost, m.reports, m.relayed, m.databaseErrors, m.late, m.reminders, m.depth, m.problems, m.outbox,
	} {
		errs = append(errs, reg.Register(c))
	}
	return m, errors.Join(errs...)
}

// started observes how long a delivery has waited for its turn.
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

// sent observes a provider's answer.
func (m *metrics) sent(provider string, took time.Duration, err error) {
	m.provider.WithLabelValues(provider).Observe(took.Seconds())
	if err == nil {
		return
	}
	class, code := consumers.Unsure, ""
	if known, ok := errors.AsType[*consumers.SendError](err); ok {
		class, code = known.Class, known.Code
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
	case f.uncounted:
		state = "given back"
	case f.retry:
		state = "retry"
	}
	m.executed.WithLabelValues(QueueOf(f.Channel), state, string(f.class)).Inc()
	m.paid(f.School, f.provider, f.receipt.Cost)
}

// paid counts what a delivery has cost, in millionths.
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

func (l *Ledger) count(ctx context.Context) error {
	depths, err := l.Depths(ctx)
	if err != nil {
		return err
	}
	l.metrics.depth.Reset()
	for _, d := range depths {
		l.metrics.depth.WithLabelValues(d.Queue, strconv.Itoa(d.Priority), d.State).Set(float64(d.Jobs))
	}
	for state, n := range map[consumers.State]*int64{consumers.Dead: new(int64), consumers.Unknown: new(int64)} {
		if err := l.pool.QueryRow(ctx, `SELECT count(*) FROM schoolbell.ledger_trouble WHERE state = $1`, state).Scan(n); err != nil {
			return err
		}
		l.metrics.problems.WithLabelValues(string(state)).Set(float64(*n))
	}
	var waiting int64
	err = l.pool.QueryRow(ctx, `SELECT count(*) FROM schoolbell.ledger_outbox`).Scan(&waiting)
	l.metrics.outbox.Set(float64(waiting))
	return err
}
