package audit

import "github.com/prometheus/client_golang/prometheus"

type metrics struct{ stored, lost prometheus.Counter }

func newMetrics(r prometheus.Registerer, waiting func() int) (metrics, error) {
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "schoolbell_audit_records_total",
		Help: "Records of who read what: stored, or lost because too many waited for PostgreSQL.",
	}, []string{"result"})
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "schoolbell_audit_waiting",
		Help: "Records of who read what that are not in PostgreSQL yet.",
	}, func() float64 { return float64(waiting()) })
	for _, c := range []prometheus.Collector{reads, gauge} {
		if err := r.Register(c); err != nil {
			return metrics{}, err
		}
	}
	return metrics{reads.WithLabelValues("stored"), reads.WithLabelValues("lost")}, nil
}
