package realtime

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	connections *prometheus.GaugeVec
	rooms       *prometheus.GaugeVec
	joins       *prometheus.CounterVec
	denied      *prometheus.CounterVec
	revoked     prometheus.Counter
	closed      *prometheus.CounterVec
	deliveries  *prometheus.CounterVec
	bytes       *prometheus.CounterVec
	delay       *prometheus.HistogramVec
	lag         prometheus.Histogram
	logReads    prometheus.Counter
	duplicates  prometheus.Counter
	coalesced   prometheus.Counter
	recovered   *prometheus.CounterVec
	missed      prometheus.Counter

	mu   sync.Mutex
	sent map[string]*sent // by protocol
}

func newMetrics(reg prometheus.Registerer) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "schoolbell", Subsystem: "realtime", Name: name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	m := &metrics{
		sent:        map[string]*sent{},
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("connections", "Open connections.")), []string{"protocol"}),
		rooms:       prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("rooms", "Rooms that somebody is in.")), []string{"kind"}),
		joins:       counters("joins_total", "Rooms entered.", "kind"),
		denied:      counters("denied_total", "Rooms asked for and refused.", "kind"),
		revoked:     counter("revoked_total", "Rooms taken away because the right to them had gone."),
		closed:      counters("closed_total", "Connections ended.", "reason"),
		deliveries:  counters("deliveries_total", "Events and notices sent.", "protocol"),
		bytes:       counters("sent_bytes_total", "Bytes sent.", "protocol"),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "schoolbell", Subsystem: "realtime", Name: "delivery_seconds", Help: "From the log to the socket: the oldest event of each write.",
			Buckets: []float64{.001, .0025, .005, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"protocol"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "schoolbell", Subsystem: "realtime", Name: "cursor_lag_records", Help: "How far back a session was that had to read on.",
			Buckets: prometheus.ExponentialBuckets(1, 10, 7),
		}),
		logReads:   counter("log_reads_total", "Reads of the log for sessions behind the ring."),
		duplicates: counter("duplicates_total", "Repeated events that were dropped."),
		coalesced:  counter("coalesced_total", "Notices to dashboards that a newer one replaced."),
		recovered:  counters("recovered_total", "Attempts to resume from a position.", "outcome"),
		missed:     counter("recovered_events_total", "Events handed over to clients that had missed them."),
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.rooms, m.joins, m.denied, m.revoked, m.closed, m.deliveries, m.bytes, m.delay,
			m.lag, m.logReads, m.duplicates, m.coalesced, m.recovered, m.missed)
	}
	return m
}

// resumed counts an attempt to resume from a position, and the events that it brought at once.
func (m *metrics) resumed(outcome string, events int) {
	m.recovered.WithLabelValues(outcome).Inc()
	m.missed.Add(float64(events))
}

// sent is what is counted for each write, of one protocol. All sessions of a protocol share one.
type sent struct {
	deliveries prometheus.Counter
	bytes      prometheus.Counter
	delay      prometheus.Observer
}

func (m *metrics) forProtocol(protocol string) *sent {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.sent[protocol]
	if c == nil {
		c = &sent{m.deliveries.WithLabelValues(protocol), m.bytes.WithLabelValues(protocol), m.delay.WithLabelValues(protocol)}
		m.sent[protocol] = c
	}
	return c
}

// Sent counts what a transport has written: the deliveries of one write and their bytes.
func (s *Session) Sent(ds []Delivery, bytes int) {
	s.sent.deliveries.Add(float64(len(ds)))
	s.sent.bytes.Add(float64(bytes))
	if s.resumedTo >= 0 {
		s.countMissed(ds)
	}
	for i := range ds {
		if e := ds[i].Event; e != nil {
			s.sent.delay.Observe(s.hub.cfg.Now().Sub(e.logged).Seconds())
			return
		}
	}
}

// countMissed counts what a session that was resumed had missed, until it hears what is new.
func (s *Session) countMissed(ds []Delivery) {
	for i := range ds {
		if ds[i].Event == nil {
			continue
		}
		if ds[i].Position.Offset > s.resumedTo {
			s.resumedTo = -1
			return
		}
		s.hub.metrics.missed.Inc()
	}
}
