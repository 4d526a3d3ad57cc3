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
		return prometheus.Opts{
			Namespace: "schoolbell", Subsystem: "realtime", Name: name,
			Help: help,
		}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts(opts(name, help)))
	}
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts(opts(name, help)), labels)
	}
	m := &metrics{
		sent: map[string]*sent{},
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("connections",
			"Open connections.")), []string{"protocol"}),
		rooms: prometheus.NewGaugeVec(prometheus.GaugeOpts(opts("rooms",
			"Rooms with at least one connection.")), []string{"kind"}),
		joins: counters("joins_total", "Rooms joined.", "kind"),
		denied: counters("denied_total",
			"Joins refused because the right to the room is missing.", "kind"),
		revoked: counter("revoked_total",
			"Memberships ended because the right to the room was withdrawn."),
		closed:     counters("closed_total", "Connections closed.", "reason"),
		deliveries: counters("deliveries_total", "Events and notifications sent.", "protocol"),
		bytes:      counters("sent_bytes_total", "Bytes sent to clients.", "protocol"),
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "schoolbell", Subsystem: "realtime", Name: "delivery_seconds",
			Help: "Time from the log to the socket, of the oldest event in each write.",
			Buckets: []float64{
				.001, .0025, .005, .01, .015, .025, .05, .1, .25, .5, 1, 2.5, 5, 10,
				30,
			},
		}, []string{"protocol"}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "schoolbell", Subsystem: "realtime", Name: "cursor_lag_records",
			Help:    "Records that a session was behind when it had to catch up.",
			Buckets: prometheus.ExponentialBuckets(1, 10, 7),
		}),
		logReads: counter("log_reads_total",
			"Reads of the log for sessions that were behind the rings in memory."),
		duplicates: counter("duplicates_total", "Repeated events that were dropped."),
		coalesced: counter("coalesced_total",
			"Notifications of dashboards that were replaced by a newer one."),
		recovered: counters("recovered_total", "Attempts to resume from a position.", "outcome"),
		missed: counter("recovered_events_total",
			"Missed events sent to clients that resumed."),
	}
	if reg != nil {
		reg.MustRegister(m.connections, m.rooms, m.joins, m.denied, m.revoked, m.closed,
			m.deliveries, m.bytes, m.delay,
			m.lag, m.logReads, m.duplicates, m.coalesced, m.recovered, m.missed)
	}
	return m
}

// resumed counts an attempt to resume from a position, and the missed events that it returned.
func (m *metrics) resumed(outcome string, events int) {
	m.recovered.WithLabelValues(outcome).Inc()
	m.missed.Add(float64(events))
}

// sent holds the metrics of writes of one protocol. They are looked up once per session, not per
// write.
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
		c = &sent{
			m.deliveries.WithLabelValues(protocol), m.bytes.WithLabelValues(protocol),
			m.delay.WithLabelValues(protocol),
		}
		m.sent[protocol] = c
	}
	return c
}

// Sent counts a transport's write: its deliveries and its bytes.
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

// countMissed counts what a resumed session had missed, up to the first event that is new.
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
