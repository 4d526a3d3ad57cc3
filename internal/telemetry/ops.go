package telemetry

import (
	"context"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check tests one dependency of the process.
type Check struct {
	Name string
	// Optional dependencies are reported, but their failure does not take the process out of
	// service.
	Optional bool
	// Probe returns what is wrong. It is given a second.
	Probe func(ctx context.Context) error
}

// Health reports whether the process should get traffic. The zero value is not ready.
type Health struct {
	serving atomic.Bool

	mu     sync.Mutex
	checks []Check
}

const (
	statusReady    = "ready"
	statusDegraded = "degraded" // in service, but something optional is missing
	statusNotReady = "not ready"
	checkOK        = "ok"

	checkTimeout = time.Second
)

// Add adds checks. They may be added while reports are made.
func (h *Health) Add(checks ...Check) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.checks = append(h.checks, checks...)
}

// Serve marks the process as started.
func (h *Health) Serve() { h.serving.Store(true) }

// Drain marks the process as stopping, so that load balancers stop sending requests before it stops
// taking them.
func (h *Health) Drain() { h.serving.Store(false) }

// Report is the body of /readyz.
type Report struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks"` // "ok" or what is wrong
}

// Report runs all checks concurrently.
func (h *Health) Report(ctx context.Context) Report {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	h.mu.Lock()
	checks := h.checks
	h.mu.Unlock()

	faults := make([]error, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() { faults[i] = c.Probe(ctx) })
	}
	wg.Wait()

	report := Report{Status: statusReady, Checks: map[string]string{}}
	for i, c := range checks {
		if faults[i] == nil {
			report.Checks[c.Name] = checkOK
			continue
		}
		report.Checks[c.Name] = faults[i].Error()
		switch {
		case !c.Optional:
			report.Status = statusNotReady
		case report.Status == statusReady:
			report.Status = statusDegraded
		}
	}
	if !h.serving.Load() {
		report.Status = statusNotReady
		report.Checks["process"] = "starting or stopping"
	}
	return report
}

// Handler serves the operations port: /livez, /readyz, /metrics and, with profiles, /debug/pprof.
// Keep it off the public network: profiles and metrics reveal internals, and a profile costs CPU.
// The command line is not among the profiles, as it may have secrets. /livez checks nothing, since
// restarting this process does not bring back a database.
func Handler(h *Health, reg *prometheus.Registry, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		report := h.Report(r.Context())
		status := http.StatusOK
		if report.Status == statusNotReady {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, report)
	})
	mux.Handle("GET /metrics",
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, MaxRequestsInFlight: 4}))
	if !profiles {
		return mux
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.Handle("GET /debug/pprof/cmdline", http.NotFoundHandler())
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, body, json.Deterministic(true)) // fails only when the client is gone
}
