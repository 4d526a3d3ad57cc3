package telemetry

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	readyDesc = prometheus.NewDesc("schoolbell_ready",
		"1 while the process should get traffic, as /readyz says; else 0.", nil, nil)
	checkDesc = prometheus.NewDesc("schoolbell_check_ok",
		"1 while a check of /readyz is ok; else 0.", []string{"check"}, nil)
)

// Describe implements [prometheus.Collector].
func (h *Health) Describe(into chan<- *prometheus.Desc) { into <- readyDesc; into <- checkDesc }

// Collect implements [prometheus.Collector]. Each time it makes a report, so that metrics say the
// same as /readyz.
func (h *Health) Collect(into chan<- prometheus.Metric) {
	report := h.Report(context.Background())
	into <- gauge(readyDesc, report.Status != statusNotReady)
	for name, state := range report.Checks {
		into <- gauge(checkDesc, state == checkOK, name)
	}
}

func gauge(d *prometheus.Desc, yes bool, labels ...string) prometheus.Metric {
	value := 0.0
	if yes {
		value = 1
	}
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

// ObserveRoles adds a series for each role of the process: by its absence one sees that nobody has
// the role.
func ObserveRoles(reg prometheus.Registerer, roles []string) error {
	has := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "schoolbell_role", Help: "1 for each role of the process.",
	}, []string{"role"})
	for _, role := range roles {
		has.WithLabelValues(role).Set(1)
	}
	return reg.Register(has)
}
