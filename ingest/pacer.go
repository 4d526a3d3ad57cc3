package ingest

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/schoolbell/schoolbell/eventlog"
)

const (
	// pollEvery is how often the readers are polled while something is unread, and
	// askWaiting how often while somebody waits for them.
	pollEvery  = 100 * time.Millisecond
	askWaiting = 5 * time.Millisecond
	// askLimit bounds one question. While there is no answer, readers count as standing still.
	askLimit = 2 * time.Second
	// maxRetryAfter bounds the advice when to come again: readers may become faster.
	maxRetryAfter = 10 * time.Second
)

// BusyError says that a school has more than its share of what a partition's readers have before
// them, and that its events were not taken.
type BusyError struct {
	RetryAfter time.Duration // when there should be room
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("this school has as many events waiting to be read as its share allows; "+
		"there should be room in %v", e.RetryAfter)
}

// PacerConfig is what a pacer is made of.
type PacerConfig struct {
	// MaxLag is how much work readers of a partition may have before them because of schools that
	// exceed their share.
	MaxLag     time.Duration
	Partitions int32 // of the log
	Readers    int   // how many there are, each of the whole log
	// Positions returns for each reader the offset of its next record by partition. A partition that
	// a reader has never claimed is missing.
	Positions func(context.Context) ([]map[int32]int64, error)
	Metrics   prometheus.Registerer
}

// Pacer makes the schools of a partition share its readers: the log has one order, so what is ahead
// of an event in it delays that event, whoever it belongs to. A pacer lets a school append only as
// fast as is read once it has more unread than its share; see backlog for what that is. While no
// reader moves, there is no speed to keep, and everything is let in.
//
// A pacer knows whose the events are that its own process appends, and of all others how many lie
// between its own. So of several processes each lets a school have the less, the more the others
// have let in.
type Pacer struct {
	cfg   PacerConfig
	paced *prometheus.CounterVec
	wake  chan struct{} // holds a token when there may be something to poll the readers for

	mu         sync.Mutex
	partitions []*backlog
}

// NewPacer returns a pacer that polls nobody yet.
func NewPacer(cfg PacerConfig) *Pacer {
	p := &Pacer{cfg: cfg, wake: make(chan struct{}, 1)}
	for range cfg.Partitions {
		p.partitions = append(p.partitions, newBacklog(cfg.MaxLag, cfg.Readers))
	}
	auto := promauto.With(cfg.Metrics)
	p.paced = auto.NewCounterVec(prometheus.CounterOpts{
		Name: "schoolbell_ingest_paced_total",
		Help: "Requests of schools with more than their share of a partition's unread events, by " +
			"what became of them: held until there was room, or refused (429).",
	}, []string{"outcome"})
	for _, outcome := range []string{"held", "refused"} { // a counter that is 0 must be there
		p.paced.WithLabelValues(outcome)
	}
	for n, b := range p.partitions {
		labels := prometheus.Labels{"partition": strconv.Itoa(n)}
		for _, gauge := range []struct {
			name, help string
			value      func() float64
		}{
			{
				"unread_records", "Records of a partition that tables and planning have not read.",
				func() float64 { return float64(b.total()) },
			},
			{
				"max_unread_records", "Records that may be unread before schools with more than " +
					"their share wait: what is read within --ingest-max-lag.",
				func() float64 { return float64(b.budget()) },
			},
			{
				"pacing_suspended", "1 while no school is paced, as neither tables nor planning " +
					"advance or PostgreSQL cannot be reached.",
				func() float64 { return map[bool]float64{true: 1}[b.suspended] },
			},
		} {
			auto.NewGaugeFunc(prometheus.GaugeOpts{
				Name: "schoolbell_ingest_" + gauge.name, Help: gauge.help, ConstLabels: labels,
			}, func() float64 {
				p.mu.Lock()
				defer p.mu.Unlock()
				return gauge.value()
			})
		}
	}
	return p
}

// Run polls the readers for how far they are, while anything is unread, until ctx ends.
func (p *Pacer) Run(ctx context.Context) error {
	ticker := time.NewTicker(askWaiting)
	defer ticker.Stop()
	for {
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil
		}
		polled := time.Now()
		for {
			idle, waiting := p.state()
			if idle {
				break
			}
			if waiting || time.Since(polled) >= pollEvery {
				polled = time.Now()
				p.poll(ctx)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

func (p *Pacer) state() (idle, waiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle = true
	for _, b := range p.partitions {
		idle = idle && b.isIdle()
		waiting = waiting || len(b.waiting) > 0
	}
	return idle, waiting
}

func (p *Pacer) poll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	readers, err := p.cfg.Positions(ctx)
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, b := range p.partitions {
		if b.isIdle() {
			continue
		}
		if err != nil {
			b.observe(now, nil)
			continue
		}
		next := make([]int64, len(readers))
		for i, positions := range readers {
			next[i] = -1
			if at, ok := positions[int32(n)]; ok {
				next[i] = at
			}
		}
		b.observe(now, next)
	}
}

// reservation is room for records that are about to be appended. Exactly one of its methods must follow.
type reservation struct {
	pacer   *Pacer
	backlog *backlog
	school  string
	n       int
}

// enter waits for room for n records of a school, at most for hold, or as long as ctx if that is 0.
// Its error is a [*BusyError] or that of ctx.
func (p *Pacer) enter(
	ctx context.Context, school string, n int, hold time.Duration,
) (*reservation, error) {
	b := p.partitions[eventlog.PartitionFor(school, p.cfg.Partitions)]
	to := &reservation{pacer: p, backlog: b, school: school, n: n}
	p.mu.Lock()
	if b.enter(school, n) {
		p.mu.Unlock()
		return to, nil
	}
	w := b.wait(school, n)
	p.mu.Unlock()
	p.mayPoll()
	var limit <-chan time.Time // never
	if hold > 0 {
		timer := time.NewTimer(hold)
		defer timer.Stop()
		limit = timer.C
	}
	select {
	case <-w.ready:
	case <-ctx.Done():
		if p.giveUp(b, w) {
			return nil, ctx.Err()
		}
	case <-limit:
		if p.giveUp(b, w) {
			p.paced.WithLabelValues("refused").Inc()
			return nil, &BusyError{RetryAfter: p.retryAfter(b)}
		}
	}
	p.paced.WithLabelValues("held").Inc()
	return to, nil
}

// giveUp takes a request out of the queue, unless it was just let in.
func (p *Pacer) giveUp(b *backlog, w *waiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-w.ready:
		return false
	default:
		b.giveUp(w)
		return true
	}
}

// retryAfter is how long the readers need for what is before them.
func (p *Pacer) retryAfter(b *backlog) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	ahead := float64(b.total()) / float64(b.budget()) * p.cfg.MaxLag.Seconds()
	seconds := math.Ceil(min(ahead, maxRetryAfter.Seconds()))
	return time.Duration(max(1, seconds)) * time.Second
}

func (p *Pacer) mayPoll() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// appended says that the records are in the log.
func (c *reservation) appended(first int64) {
	c.pacer.mu.Lock()
	c.backlog.appended(time.Now(), c.school, c.n, first)
	c.pacer.mu.Unlock()
	c.pacer.mayPoll()
}

// failed says that the records are not in the log, as far as is known.
func (c *reservation) failed() {
	c.pacer.mu.Lock()
	defer c.pacer.mu.Unlock()
	c.backlog.failed(c.school, c.n)
}
