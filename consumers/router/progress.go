package router

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what the worker of a partition is doing.
type State string

// The states.
const (
	Starting State = "starting" // claiming the partition
	Running  State = "running"
	Failing  State = "failing" // a dependency does not work; retried
)

// Status is the state of one partition.
type Status struct {
	Partition int32
	State     State
	Reason    string // of Failing
	Next      int64  // the offset of the first record that is not handled
	Lag       int64  // records from there to the end of the log, as far as it was read
}

// Progress is how far the workers of this process are. Without it consumers that stand still would
// look like consumers that have nothing to do.
type Progress struct {
	mu      sync.Mutex
	workers map[int32]*workerProgress
}

// workerProgress is what one worker reports. A nil one reports to nobody.
type workerProgress struct {
	of     *Progress
	status Status
	end    int64        // of the log
	fault  func() error // why the log cannot be read; nil when it is not being read
}

// NewProgress returns the progress of no workers.
func NewProgress() *Progress { return &Progress{workers: map[int32]*workerProgress{}} }

// begin adds a worker. The function it returns removes it.
func (p *Progress) begin(partition int32) (_ *workerProgress, end func()) {
	if p == nil {
		return nil, func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &workerProgress{of: p, status: Status{Partition: partition, State: Starting}}
	p.workers[partition] = w
	return w, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		// After a rebalance the partition may have a new worker here before the old one has ended.
		if p.workers[partition] == w {
			delete(p.workers, partition)
		}
	}
}

func (w *workerProgress) update(change func(*workerProgress)) {
	if w == nil {
		return
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	change(w)
}

func (w *workerProgress) running(next int64, fault func() error) {
	w.update(func(w *workerProgress) {
		w.status.State, w.status.Reason, w.status.Next, w.fault = Running, "", next, fault
	})
}

func (w *workerProgress) failing(err error) {
	w.update(func(w *workerProgress) {
		w.status.State, w.status.Reason, w.fault = Failing, err.Error(), nil
	})
}

func (w *workerProgress) handled(next int64) {
	w.update(func(w *workerProgress) { w.status.Next = next })
}

func (w *workerProgress) read(end int64) {
	w.update(func(w *workerProgress) { w.end = end })
}

// Status returns the state of each partition of this process, in order.
func (p *Progress) Status() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Status
	for _, n := range slices.Sorted(maps.Keys(p.workers)) {
		w := p.workers[n]
		s := w.status
		s.Lag = max(0, w.end-s.Next)
		if w.fault != nil {
			if err := w.fault(); err != nil {
				s.State, s.Reason = Failing, err.Error()
			}
		}
		all = append(all, s)
	}
	return all
}

var (
	lagDesc = prometheus.NewDesc("schoolbell_router_lag_events",
		"Records of the log that the rules have not seen yet.", []string{"partition"}, nil)
	stateDesc = prometheus.NewDesc("schoolbell_router_state",
		"1 for the state that the partition is in.", []string{"partition", "state"}, nil)
)

// Describe implements [prometheus.Collector].
func (p *Progress) Describe(ch chan<- *prometheus.Desc) {
	ch <- lagDesc
	ch <- stateDesc
}

// Collect implements [prometheus.Collector].
func (p *Progress) Collect(ch chan<- prometheus.Metric) {
	for _, s := range p.Status() {
		partition := strconv.Itoa(int(s.Partition))
		ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(s.Lag), partition)
		ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, 1, partition, string(s.State))
	}
}
