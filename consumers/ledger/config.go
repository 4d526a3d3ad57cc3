package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

// Config configures a ledger. A zero value means the default in parentheses.
type Config struct {
	Pool  *pgxpool.Pool // of the role schoolbell_jobs; required
	Group string        // of the consumers, whose positions are stored by this name (consumers)
	// Encode makes records of outcomes; required to run.
	Encode func(*domain.Envelope) (eventlog.Record, error)
	// LogID is what the log is called in positions.
	LogID domain.LogID
	// Log receives outcomes; required to run.
	Log eventlog.Appender
	// Source and Decode read the log, which the ledger is compared with before it plans or sends;
	// required for both.
	Source eventlog.Source
	Decode func(eventlog.Record) (*domain.Envelope, error)
	// Refused returns why a partition of the log is refused (none is).
	Refused func(partition int32) error
	// Providers do the deliveries; those of a channel without one wait.
	Providers map[consumers.Channel]consumers.Provider
	// Check decides whether deliveries are still true, right before they are sent; without it they
	// are sent as they were planned.
	Check func(ctx context.Context, all []*consumers.Delivery) ([]consumers.Verdict, error)
	// Overdue returns the open invoices of a school that were due before a day, by id; without it
	// no reminders are made.
	Overdue func(ctx context.Context, school string, day domain.Date) ([]consumers.Invoice, error)
	// Settings say which schools want reminders; required with Overdue.
	Settings *Settings

	Workers     map[string]int // concurrent jobs, by queue (sms 100, pdf 2, notification 200)
	Attempts    int            // until a delivery is dead (10)
	SendTimeout time.Duration  // for one attempt; at most 15 s (10 s)
	RetryMin    time.Duration  // before the second attempt; doubles with each, with jitter (1 s)
	RetryMax    time.Duration  // (15 min)
	// UnknownTimeout is how long a delivery whose outcome is unknown waits for a report before it
	// counts as failed (sms and email 72 h, others 24 h).
	UnknownTimeout map[consumers.Channel]time.Duration
	StopTimeout    time.Duration // for running jobs when the program stops (10 s)
	RemindEvery    time.Duration // how often to look for due reminders (1 min)
	// PriceAfter is how long after a delivery its price is looked up, if the provider has not said
	// it. Each further lookup comes after eight times as long (1 min).
	PriceAfter time.Duration

	Now     func() time.Time      // the clock of reminders (time.Now)
	Logger  *slog.Logger          // (none)
	Metrics prometheus.Registerer // (none)
	// DeadLetters counts events that cannot be planned; nil counts nothing.
	DeadLetters *deadletter.Metrics
}

// maxSendTimeout leaves River the time to distinguish a stuck job from a slow one within a minute.
const maxSendTimeout = 15 * time.Second

// Validate reports everything that is wrong.
func (c *Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("ledger: "+format, args...))
	}
	if c.Pool == nil {
		fault("pool is required")
	}
	if c.Overdue != nil && c.Settings == nil {
		fault("settings are required for reminders")
	}
	for _, f := range []struct {
		value int64
		what  string
	}{
		{int64(c.Attempts), "attempts"},
		{int64(c.SendTimeout), "send timeout"},
		{int64(c.RetryMin), "shortest retry pause"},
		{int64(c.RetryMax), "longest retry pause"},
		{int64(c.StopTimeout), "stop timeout"},
		{int64(c.RemindEvery), "interval of reminders"},
		{int64(c.PriceAfter), "time until a price is looked up"},
	} {
		if f.value < 0 {
			fault("%s must not be negative", f.what)
		}
	}
	for channel, d := range c.UnknownTimeout {
		if !slices.Contains(consumers.Channels(), channel) || d < 0 {
			fault("unknown timeout of %s for channel %q: want a time, for one of %v",
				d, channel, consumers.Channels())
		}
	}
	for queue, n := range c.Workers {
		if !slices.Contains(Queues(), queue) || n < 1 {
			fault("%d workers for queue %q: want at least one, for one of %v", n, queue, Queues())
		}
	}
	if c.SendTimeout > maxSendTimeout {
		fault("send timeout of %s: want at most %s, so that a stuck job is found within a minute",
			c.SendTimeout, maxSendTimeout)
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
	c.PriceAfter = cmp.Or(c.PriceAfter, time.Minute)
	timeouts := map[consumers.Channel]time.Duration{
		consumers.SMS: 72 * time.Hour, consumers.Email: 72 * time.Hour,
	}
	for _, channel := range consumers.Channels() {
		timeouts[channel] = cmp.Or(c.UnknownTimeout[channel], timeouts[channel], 24*time.Hour)
	}
	c.UnknownTimeout = timeouts
	workers := map[string]int{QueueSMS: 100, QueuePDF: 2, QueueNotification: 200}
	maps.Copy(workers, c.Workers)
	c.Workers = workers
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
}
