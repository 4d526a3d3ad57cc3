package program

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
	"github.com/schoolbell/schoolbell/internal/postgres"
	"github.com/schoolbell/schoolbell/internal/telemetry"
)

const (
	// workersInterval is how often the checkpoints are looked at. Idle workers write to theirs every few
	// seconds.
	workersInterval = 10 * time.Second
	// workersPatience is how long a partition may go without a sign of its worker. A take-over after a
	// crash, and a restart of all processes, take less.
	workersPatience = 45 * time.Second
)

// workerWatch looks whether each partition has a worker in some process. No process sees that in
// itself: each knows only the partitions that it was given.
type workerWatch struct {
	pool       *postgres.Pool
	partitions int32
	started    time.Time
	gauge      *prometheus.GaugeVec

	mu    sync.Mutex
	fault error
}

// watchWorkers starts the watch on the first pool that a role opens.
func (p *program) watchWorkers(pool *postgres.Pool) {
	if p.workers != nil {
		return
	}
	p.workers = &workerWatch{
		pool: pool, partitions: p.topic.Partitions, started: time.Now(),
		gauge: promauto.With(p.registry).NewGaugeVec(prometheus.GaugeOpts{
			Name: "schoolbell_unattended_partitions",
			Help: "Partitions that no process works on, by consumer of the log.",
		}, []string{"consumer"}),
	}
	p.task(p.workers.run)
	p.health.Add(telemetry.Check{
		Name: "workers", Optional: true,
		Probe: func(context.Context) error { return p.workers.report() },
	})
}

func (w *workerWatch) run(ctx context.Context) error {
	tick := time.NewTicker(workersInterval)
	defer tick.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *workerWatch) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, workersInterval)
	defer cancel()
	conn, err := w.pool.Acquire(ctx)
	if err != nil {
		return // the check of the pool says so
	}
	defer conn.Release()
	var faults []error
	for _, consumer := range []string{SetName, ConsumersGroup} {
		missing, err := checkpoint.Unattended(ctx, conn, consumer, w.partitions, workersPatience)
		if err != nil {
			return
		}
		if time.Since(w.started) < workersPatience {
			missing = nil // all processes may have been stopped until now
		}
		w.gauge.WithLabelValues(consumer).Set(float64(len(missing)))
		if len(missing) > 0 {
			faults = append(faults, fmt.Errorf("%s: no process has worked on partitions %v for %v",
				consumer, missing, workersPatience))
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = errors.Join(faults...)
}

func (w *workerWatch) report() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}
