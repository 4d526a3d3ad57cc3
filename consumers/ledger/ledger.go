package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// The queues.
const (
	QueueSMS          = "sms"
	QueuePDF          = "pdf"
	QueueNotification = "notification"
	QueueReminders    = "reminders" // not of deliveries: whether reminders of fees are to be made
)

// Queues lists them all.
func Queues() []string { return []string{QueueSMS, QueuePDF, QueueNotification, QueueReminders} }

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

// Config is what a ledger is made of. A zero value means the default in parentheses.
type Config struct {
	Pool      *pgxpool.Pool                                   // of the role schoolbell_jobs; required
	Group     string                                          // of the consumers, under whose name positions are kept (consumers)
	Encode    func(*domain.Envelope) (eventlog.Record, error) // makes records of outcomes; required to run
	Log       eventlog.Appender                               // takes outcomes; required to run
	Providers map[consumers.Channel]consumers.Provider        // a channel without one keeps its deliveries waiting
	Debts     consumers.Debts                                 // what is owed; without it nobody is reminded of it
	Settings  *Settings                                       // who wants reminders; required with debts

	Workers        map[string]int                      // jobs at the same time, by queue (sms 100, pdf 2, notification 200, reminders 1)
	Attempts       int                                 // until a delivery is dead (10)
	SendTimeout    time.Duration                       // for one attempt (10 s)
	RetryMin       time.Duration                       // before the second attempt; then twice as long, and so on, with jitter (1 s)
	RetryMax       time.Duration                       // at most (15 min)
	UnknownTimeout map[consumers.Channel]time.Duration // until one that is unknown and that nobody reports about has failed (sms and email 72 h, others 24 h)
	StopTimeout    time.Duration                       // for running jobs when the program stops; then they are given back (10 s)
	RemindEvery    time.Duration                       // between two looks whether reminders are to be made (1 min)
	KeepFinished   time.Duration                       // how long River keeps jobs that are done; the ledger keeps deliveries for ever (24 h)

	Now     func() time.Time      // for reminders (time.Now)
	Logger  *slog.Logger          // (none)
	Metrics prometheus.Registerer // (none)
}

// Validate reports all that is wrong.
func (c *Config) Validate() error {
	var faults []error
	if c.Pool == nil {
		faults = append(faults, errors.New("ledger: pool is required"))
	}
	if c.Debts != nil && c.Settings == nil {
		faults = append(faults, errors.New("ledger: settings are required with debts"))
	}
	for _, f := range []struct {
		value int64
		what  string
	}{
		{int64(c.Attempts), "attempts"},
		{int64(c.SendTimeout), "time to send"},
		{int64(c.RetryMin), "shortest pause"},
		{int64(c.RetryMax), "longest pause"},
		{int64(c.StopTimeout), "time to stop"},
		{int64(c.RemindEvery), "time between looks for reminders"},
		{int64(c.KeepFinished), "time to keep jobs"},
	} {
		if f.value < 0 {
			faults = append(faults, fmt.Errorf("ledger: %s must not be negative", f.what))
		}
	}
	for channel, d := range c.UnknownTimeout {
		if !slices.Contains(consumers.Channels(), channel) || d < 0 {
			faults = append(faults, fmt.Errorf("ledger: doubt of %s about channel %q: want a time, for one of %v", d, channel, consumers.Channels()))
		}
	}
	for queue, n := range c.Workers {
		if !slices.Contains(Queues(), queue) || n < 1 {
			faults = append(faults, fmt.Errorf("ledger: %d workers for queue %q: want at least one, for one of %v", n, queue, Queues()))
		}
	}
	if c.SendTimeout > 15*time.Second {
		faults = append(faults, fmt.Errorf("ledger: time to send: %s is more than 15 s, so that a stuck job could not be told from a slow one within a minute", c.SendTimeout))
	}
	return errors.Join(faults...)
}

func (c *Config) setDefaults() {
	c.Group = cmp.Or(c.Group, "consumers")
	c.Attempts = cmp.Or(c.Attempts, 10)
	c.SendTimeout = cmp.Or(c.SendTimeout, 10*time.Second)
	c.RetryMin = cmp.Or(c.RetryMin, time.Second)
	c.RetryMax = cmp.Or(c.RetryMax, 15*time.Minute)
	c.StopTimeout = cmp.Or(c.StopTimeout, 10*time.Second)
	c.RemindEvery = cmp.Or(c.RemindEvery, time.Minute)
	c.KeepFinished = cmp.Or(c.KeepFinished, 24*time.Hour)
	doubt := map[consumers.Channel]time.Duration{consumers.SMS: 72 * time.Hour, consumers.Email: 72 * time.Hour}
	for _, channel := range consumers.Channels() {
		doubt[channel] = cmp.Or(c.UnknownTimeout[channel], doubt[channel], 24*time.Hour)
	}
	c.UnknownTimeout = doubt
	workers := map[string]int{QueueSMS: 100, QueuePDF: 2, QueueNotification: 200, QueueReminders: 1}
	maps.Copy(workers, c.Workers)
	c.Workers = workers
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}

// Ledger keeps deliveries and executes them. It implements [consumers.Ledger] and [consumers.Reports].
type Ledger struct {
	cfg     Config
	pool    *pgxpool.Pool
	river   *river.Client[pgx.Tx]
	queue   *fairQueue
	metrics *metrics

	starts   *batcher[string, *started]
	finishes *batcher[*finish, bool]
	sends    map[consumers.Channel]*batcher[*consumers.Delivery, consumers.SendResult]
	slots    map[consumers.Channel]*batcher[struct{}, time.Time]
	outbox   chan struct{} // there is something in it
	retryAt  sync.Map      // by a job's id: when it is to be tried again
}

var (
	_ consumers.Ledger  = (*Ledger)(nil)
	_ consumers.Reports = (*Ledger)(nil)
)

// New returns a ledger. Without providers it only keeps and shows deliveries.
func New(cfg Config) (*Ledger, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	l := &Ledger{cfg: cfg, pool: cfg.Pool, queue: newFairQueue(), outbox: make(chan struct{}, 1)}
	var err error
	if l.metrics, err = newMetrics(cfg.Metrics, l); err != nil {
		return nil, err
	}
	l.starts = newBatcher(1000, l.startBatch)
	l.finishes = newBatcher(1000, l.finishBatch)
	l.sends = map[consumers.Channel]*batcher[*consumers.Delivery, consumers.SendResult]{}
	l.slots = map[consumers.Channel]*batcher[struct{}, time.Time]{}
	for channel, p := range cfg.Providers {
		if together, ok := p.(consumers.BatchProvider); ok {
			l.sends[channel] = newBatcher(100, func(ctx context.Context, batch []*consumers.Delivery) ([]consumers.SendResult, error) {
				return together.SendBatch(ctx, batch), nil
			})
		}
		if rate := p.Abilities().Rate; rate > 0 {
			l.slots[channel] = newBatcher(100, func(ctx context.Context, batch []struct{}) ([]time.Time, error) {
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
		channels := slices.DeleteFunc(consumers.Channels(), func(c consumers.Channel) bool { return QueueOf(c) != queue || l.cfg.Providers[c] == nil })
		if len(channels) > 0 {
			queues[queue] = river.QueueConfig{MaxWorkers: l.limitWorkers(channels, n)}
		}
	}
	var periodic []*river.PeriodicJob
	if l.cfg.Debts != nil {
		if err := river.AddWorkerSafely(workers, &reminder{ledger: l}); err != nil {
			return fmt.Errorf("prepare River: %w", err)
		}
		queues[QueueReminders] = river.QueueConfig{MaxWorkers: l.cfg.Workers[QueueReminders]}
		periodic = append(periodic, l.remindPeriodically())
	}
	l.river, err = river.NewClient(riverpgxv5.New(l.pool), &river.Config{
		Schema: "schoolbell_river", Queues: queues, Workers: workers, PeriodicJobs: periodic,
		FetchCooldown: time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
		// A job is stuck when its worker cannot be at it any more. River looks every 30 s, so it is found within a minute.
		JobTimeout: l.cfg.SendTimeout + jobOverhead, RescueStuckJobsAfter: l.cfg.SendTimeout + jobOverhead + time.Second,
		MaxAttempts: maxStarts, RetryPolicy: l,
		SoftStopTimeout:             l.cfg.StopTimeout,
		CompletedJobRetentionPeriod: l.cfg.KeepFinished, CancelledJobRetentionPeriod: l.cfg.KeepFinished,
		DiscardedJobRetentionPeriod: -1,
		ReindexerIndexNames: []string{
			"river_job_pkey", "river_job_prioritized_fetching_index", "river_job_state_and_finalized_at_index", "river_job_unique_idx",
		},
		Hooks:  []rivertype.Hook{river.HookInsertBeginFunc(makeAvailable)},
		Logger: quietly(l.cfg.Logger),
	})
	if err != nil {
		return fmt.Errorf("prepare River: %w", err)
	}
	return nil
}

const (
	// jobOverhead is what a job may take besides sending.
	jobOverhead = 8 * time.Second
	// maxStarts bounds how often River starts a job, crashes included. How often a provider is asked is for the ledger.
	maxStarts = 1000
)

// limitWorkers keeps the workers of a queue from taking more jobs than its slowest provider takes in a quarter of a second:
// who waits for a provider with a job in hand cannot be overtaken.
func (l *Ledger) limitWorkers(channels []consumers.Channel, n int) int {
	for _, c := range channels {
		if rate := l.cfg.Providers[c].Abilities().Rate; rate > 0 {
			n = min(n, max(1, int(rate/4)))
		}
	}
	return n
}

// Run executes deliveries and relays outcomes until ctx ends. Then running jobs get a while to finish; those that do not
// are given back, which costs them no attempt.
func (l *Ledger) Run(ctx context.Context) error {
	if l.cfg.Encode == nil || l.cfg.Log == nil {
		return errors.New("ledger: a log and an encoder are required to run")
	}
	// What jobs need outlives ctx: it ends after them.
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	g, work := errgroup.WithContext(work)
	g.Go(func() error { l.starts.run(work, 1); return nil })
	g.Go(func() error { l.finishes.run(work, 1); return nil })
	for _, b := range l.sends {
		g.Go(func() error { b.run(work, 4); return nil })
	}
	for _, b := range l.slots {
		g.Go(func() error { b.run(work, 1); return nil })
	}
	g.Go(func() error { return l.relay(work) })
	g.Go(func() error { return l.watch(work) })
	g.Go(func() error {
		defer stop()
		return l.runJobs(ctx, work)
	})
	return g.Wait()
}

func (l *Ledger) runJobs(ctx, work context.Context) error {
	if len(l.cfg.Providers) == 0 && l.cfg.Debts == nil {
		<-ctx.Done()
		return nil
	}
	starting, done := context.WithCancel(work)
	defer done()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := l.river.Start(starting)
		if err == nil {
			break
		}
		l.cfg.Logger.WarnContext(ctx, "cannot start the workers, trying on", "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case <-ctx.Done():
	case <-work.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.cfg.StopTimeout+jobOverhead)
	defer cancel()
	if err := l.river.Stop(stopping); err != nil {
		return fmt.Errorf("stop the workers: %w", err)
	}
	return nil
}
