package router

import (
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of the router.
type metrics struct {
	handled     *prometheus.CounterVec
	seconds     prometheus.Histogram
	deadLetters prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		handled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_router_messages_total",
			Help: "Messages by result: done, or again for those that are delivered again.",
		}, []string{"result"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "schoolbell_router_handle_seconds",
			Help:    "Time to handle a message, including the wait for the projections.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30},
		}),
		deadLetters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_router_aside_total",
			Help: "Messages that became dead letters because they cannot be handled.",
		}),
	}
	return m, errors.Join(reg.Register(m.handled), reg.Register(m.seconds), reg.Register(m.deadLetters))
}

// observe is the middleware that measures.
func (m *metrics) observe(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		began := time.Now()
		out, err := next(msg)
		m.seconds.Observe(time.Since(began).Seconds())
		result := "done"
		if err != nil {
			result = "again"
		}
		m.handled.WithLabelValues(result).Inc()
		return out, err
	}
}
