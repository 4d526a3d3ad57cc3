package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
)

// The queues of deliveries.
const (
	QueueSMS          = "sms"
	QueuePDF          = "pdf"
	QueueNotification = "notification"
)

// Queues lists all queues.
func Queues() []string { return []string{QueueSMS, QueuePDF, QueueNotification} }

// QueueOf returns the queue of a channel.
func QueueOf(c consumers.Channel) string {
	switch c {
	case consumers.SMS:
		return QueueSMS
	case consumers.PDF:
		return QueuePDF
	default:
		return QueueNotification
	}
}

// Ledger stores deliveries and executes them. It implements [consumers.Ledger] and
// [consumers.Reports].
type Ledger struct {
	cfg     Config
	pool    *pgxpool.Pool
	river   *river.Client[pgx.Tx]
	queue   *fairQueue
	metrics *metrics

	starts   *batcher[string, *started]
	checks   *batcher[*started, *checked] // nil when nothing is checked
	finishes *batcher[*finish, bool]
	sends    map[consumers.Channel]*batcher[*consumers.Delivery, consumers.SendResult]
	slots    map[consumers.Channel]*batcher[struct{}, time.Time]
	outbox   chan struct{} // holds a token when the outbox may not be empty
	plans    chan struct{} // holds a token when something may have to be announced

	partitions atomic.Int32          // of the log, 0 until it has been read
	openFault  atomic.Pointer[error] // of the last comparison with the log
	retryAt    sync.Map              // by a job's id: when it is to be retried
}

var (
	_ consumers.Ledger  = (*Ledger)(nil)
	_ consumers.Reports = (*Ledger)(nil)
)

// New returns a ledger. Without providers it only stores and shows deliveries.
func New(cfg Config) (*Ledger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	l := &Ledger{
		cfg: cfg, pool: cfg.Pool, queue: newFairQueue(),
		outbox: make(chan struct{}, 1), plans: make(chan struct{}, 1),
		sends: map[consumers.Channel]*batcher[*consumers.Delivery, consumers.SendResult]{},
		slots: map[consumers.Channel]*batcher[struct{}, time.Time]{},
	}
	var err error
	if l.metrics, err = newMetrics(cfg.Metrics); err != nil {
		return nil, err
	}
	l.starts = newBatcher(1000, l.startBatch)
	if cfg.Check != nil {
		l.checks = newBatcher(1000, l.checkBatch)
	}
	l.finishes = newBatcher(1000, l.finishBatch)
	for channel, p := range cfg.Providers {
		if many, ok := p.(consumers.BatchProvider); ok {
			l.sends[channel] = newBatcher(100, func(
				ctx context.Context, batch []*consumers.Delivery,
			) ([]consumers.SendResult, error) {
				return many.SendBatch(ctx, batch), nil
			})
		}
		if rate := p.Abilities().Rate; rate > 0 {
			l.slots[channel] = newBatcher(100, func(
				ctx context.Context, batch []struct{},
			) ([]time.Time, error) {
				return l.takeSlots(ctx, p.Name(), rate, len(batch))
			})
		}
	}
	return l, l.newClient()
}

func (l *Ledger) newClient() (err error) {
	workers := river.NewWorkers()
	if err := river.AddWorkerSafely(workers, &worker{ledger: l}); err != nil {
		return fmt.Errorf("prepare River: %w", err)
	}
	queues := map[string]river.QueueConfig{}
	for queue, n := range l.cfg.Workers {
		channels := slices.DeleteFunc(consumers.Channels(), func(c consumers.Channel) bool {
			return QueueOf(c) != queue || l.cfg.Providers[c] == nil
		})
		if len(channels) > 0 {
			queues[queue] = river.QueueConfig{MaxWorkers: l.limitWorkers(channels, n)}
		}
	}
	l.river, err = river.NewClient(riverpgxv5.New(l.pool), &river.Config{
		Schema: "schoolbell_river", Queues: queues, Workers: workers,
		// A notification wakes the workers; polling is for the one that got lost.
		FetchCooldown: time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
		// A job is stuck when no worker can be running it any more. River looks every 30 s, so it
		// is found within a minute.
		JobTimeout:           l.cfg.SendTimeout + jobOverhead,
		RescueStuckJobsAfter: l.cfg.SendTimeout + jobOverhead + time.Second,
		MaxAttempts:          maxStarts, RetryPolicy: l,
		SoftStopTimeout:             l.cfg.StopTimeout,
		CompletedJobRetentionPeriod: jobRetention,
		CancelledJobRetentionPeriod: jobRetention,
		DiscardedJobRetentionPeriod: -1,
		ReindexerIndexNames: []string{
			"river_job_pkey", "river_job_prioritized_fetching_index",
			"river_job_state_and_finalized_at_index", "river_job_unique_idx",
		},
		Hooks:  []rivertype.Hook{river.HookInsertBeginFunc(makeAvailable)},
		Logger: slog.New(warnings{l.cfg.Logger.Handler()}),
	})
	if err != nil {
		return fmt.Errorf("prepare River: %w", err)
	}
	return nil
}

const (
	// jobOverhead is what a job may take in addition to sending.
	jobOverhead = 8 * time.Second
	// maxStarts bounds how often River starts a job, crashes included. The ledger decides how often
	// a provider is called.
	maxStarts = 1000
	// jobRetention is how long River keeps jobs that are done. The ledger keeps deliveries.
	jobRetention = 24 * time.Hour
)

// warnings passes on warnings and errors only: River reports every start and stop of its many
// parts.
type warnings struct{ slog.Handler }

// Enabled implements [slog.Handler].
func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// WithAttrs implements [slog.Handler].
func (w warnings) WithAttrs(a []slog.Attr) slog.Handler { return warnings{w.Handler.WithAttrs(a)} }

// WithGroup implements [slog.Handler].
func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

// limitWorkers bounds the workers of a queue to the number of jobs that its slowest provider
// accepts in a quarter of a second: a worker that waits for a provider holds a job that no other
// can overtake.
func (l *Ledger) limitWorkers(channels []consumers.Channel, n int) int {
	for _, c := range channels {
		if rate := l.cfg.Providers[c].Abilities().Rate; rate > 0 {
			n = min(n, max(1, int(rate/4)))
		}
	}
	return n
}

// Run executes deliveries, makes reminders and relays outcomes until ctx ends. Then running jobs
// get a while to finish; those that do not are returned, which costs them no attempt.
func (l *Ledger) Run(ctx context.Context) error {
	if l.cfg.Encode == nil || l.cfg.Log == nil || l.cfg.Source == nil || l.cfg.Decode == nil {
		return errors.New("ledger: a log, its source, an encoder and a decoder are required to run")
	}
	l.openFault.Store(new(ErrNotOpen))
	// What running jobs need outlives ctx, and ends after them.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { l.starts.run(work, 1); return nil })
	g.Go(func() error { l.finishes.run(work, 1); return nil })
	if l.checks != nil {
		g.Go(func() error { l.checks.run(work, 2); return nil })
	}
	for _, b := range l.sends {
		g.Go(func() error { b.run(work, 4); return nil })
	}
	for _, b := range l.slots {
		g.Go(func() error { b.run(work, 1); return nil })
	}
	g.Go(func() error { l.keepOpen(ctx); return nil })
	g.Go(func() error {
		l.repeat(work, l.plans, "cannot announce plans in the log, will retry", l.announceAll)
		return nil
	})
	g.Go(func() error { l.relay(work); return nil })
	g.Go(func() error { l.watch(work); return nil })
	g.Go(func() error { l.pollPrices(work); return nil })
	if l.cfg.Overdue != nil {
		g.Go(func() error { l.remindRegularly(ctx); return nil })
	}
	g.Go(func() error {
		defer stop() // what jobs need ends when they have ended
		return l.runJobs(ctx, work)
	})
	return g.Wait()
}

func (l *Ledger) runJobs(ctx, work context.Context) error {
	if len(l.cfg.Providers) == 0 {
		<-ctx.Done()
		return nil
	}
	starting, done := context.WithCancel(work)
	defer done()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 5*time.Second
	for {
		err := l.river.Start(starting)
		if err == nil {
			break
		}
		l.cfg.Logger.WarnContext(ctx, "cannot start the workers, will retry", "error", err)
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case <-ctx.Done():
	case <-work.Done():
	}
	stopping, cancel := context.WithTimeout(
		context.WithoutCancel(ctx), l.cfg.StopTimeout+jobOverhead)
	defer cancel()
	if err := l.river.Stop(stopping); err != nil {
		return fmt.Errorf("stop the workers: %w", err)
	}
	return nil
}
