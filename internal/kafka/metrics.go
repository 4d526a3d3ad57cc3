package kafka

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/schoolbell/schoolbell/eventlog"
)

type metrics struct {
	produceSeconds prometheus.Histogram
	batchRecords   prometheus.Histogram
	appendErrors   *prometheus.CounterVec
	fetchSeconds   prometheus.Histogram
	fetchedBytes   prometheus.Counter
	fetchedRecords prometheus.Counter
	fetchErrors    prometheus.Counter
	rebalances     prometheus.Counter
	assigned       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer, queueBytes func() float64) *metrics {
	f := promauto.With(reg)
	f.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "schoolbell_log_append_queue_bytes",
		Help: "Bytes of records waiting to be written to the log.",
	}, queueBytes)
	seconds := prometheus.ExponentialBuckets(0.0005, 2, 15)
	m := &metrics{
		produceSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "schoolbell_log_produce_seconds", Buckets: seconds,
			Help: "Time from sending a batch to the log to its acknowledgement.",
		}),
		batchRecords: f.NewHistogram(prometheus.HistogramOpts{
			Name: "schoolbell_log_produce_batch_records", Buckets: prometheus.ExponentialBuckets(1, 4, 8),
			Help: "Records in a batch written to the log.",
		}),
		appendErrors: f.NewCounterVec(prometheus.CounterOpts{
			Name: "schoolbell_log_append_errors_total",
			Help: "Appends to the log that ended in an error, by reason.",
		}, []string{"reason"}),
		fetchSeconds: f.NewHistogram(prometheus.HistogramOpts{
			Name: "schoolbell_log_fetch_seconds", Buckets: seconds,
			Help: "Time of a fetch from the log, including the wait for records and their decoding.",
		}),
		fetchedBytes: f.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_log_fetched_bytes_total",
			Help: "Bytes of records fetched from the log, after decompression.",
		}),
		fetchedRecords: f.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_log_fetched_records_total",
			Help: "Records fetched from the log.",
		}),
		fetchErrors: f.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_log_fetch_errors_total",
			Help: "Fetches from the log that ended in an error.",
		}),
		rebalances: f.NewCounter(prometheus.CounterOpts{
			Name: "schoolbell_log_group_generations_total",
			Help: "Group rebalances that this process took part in.",
		}),
		assigned: f.NewGauge(prometheus.GaugeOpts{
			Name: "schoolbell_log_group_partitions",
			Help: "Partitions assigned to this process, over all groups.",
		}),
	}
	// so that the first error of a kind is an increase
	for _, reason := range []string{"too_large", "overloaded", "too_few_replicas", "unavailable", "other"} {
		m.appendErrors.WithLabelValues(reason)
	}
	return m
}

func (m *metrics) appended(err error) {
	reason := "other"
	switch {
	case err == nil:
		return
	case errors.Is(err, eventlog.ErrTooLarge):
		reason = "too_large"
	case errors.Is(err, eventlog.ErrOverloaded):
		reason = "overloaded"
	case errors.Is(err, kafkago.NotEnoughReplicas), errors.Is(err, kafkago.NotEnoughReplicasAfterAppend):
		reason = "too_few_replicas"
	case errors.Is(err, eventlog.ErrUnavailable):
		reason = "unavailable"
	}
	m.appendErrors.WithLabelValues(reason).Inc()
}

func (m *metrics) fetched(start time.Time, got decoded, err error) {
	if err != nil {
		m.fetchErrors.Inc()
		return
	}
	m.fetchSeconds.Observe(time.Since(start).Seconds())
	m.fetchedBytes.Add(float64(got.unpacked))
	m.fetchedRecords.Add(float64(len(got.records)))
}
