package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/schoolbell/schoolbell/consumers"
)

// worker executes the jobs of deliveries.
type worker struct {
	river.WorkerDefaults[task]
	ledger *Ledger
}

// Work implements [river.Worker].
func (w *worker) Work(ctx context.Context, job *river.Job[task]) error {
	l := w.ledger
	l.queue.served(job.JobRow)
	provider := l.cfg.Providers[job.Args.Channel]
	if provider == nil {
		return river.JobSnooze(time.Minute) // it was removed; the delivery waits for another one
	}
	// The slot comes before the start: a delivery that waits for its provider is still planned, so
	// it can be cancelled, and a crash while it waits costs nothing.
	if err := l.waitForSlot(ctx, job.Args.Channel); err != nil {
		return l.returnJob(ctx, err)
	}
	s, err := l.starts.submit(ctx, job.Args.ID)
	if err != nil {
		return l.returnJob(ctx, err)
	}
	if s == notOpen {
		return river.JobSnooze(closedPause)
	}
	if s == nil {
		return nil // done, or cancelled
	}
	l.metrics.started(s, job.JobRow)
	began := time.Now()
	f := l.attempt(ctx, s, provider)
	f.took = time.Since(began)
	f.worker = l.river.ID()
	return l.settle(ctx, job.JobRow, f)
}

// returnJob ends a job whose delivery was not started: because the program stops, which costs
// nothing, or because the database does not respond.
func (l *Ledger) returnJob(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return river.JobSnooze(0)
	}
	l.metrics.databaseErrors.Inc()
	return fmt.Errorf("start: %w", err)
}

// attempt does one delivery as far as possible now, and returns the result. This is where the
// promise holds that nothing is sent twice.
func (l *Ledger) attempt(ctx context.Context, s *started, provider consumers.Provider) *finish {
	can := provider.Abilities()
	f := &finish{started: s, provider: provider.Name()}
	// Only one that no earlier attempt may have sent can be cancelled for its age.
	if !s.NotAfter.IsZero() && time.Now().After(s.NotAfter) && s.before == consumers.Planned {
		return f.end(consumers.Cancelled, "", errors.New("it is too late"))
	}
	if s.before != consumers.Planned && !can.Idempotent {
		return l.lookUp(ctx, f, provider)
	}
	if overtaken := l.check(ctx, f); overtaken != nil {
		return overtaken
	}
	if s.closed && (s.before == consumers.Planned || can.Idempotent) {
		return f.end(consumers.Cancelled, "", errClosed)
	}
	if s.DependsOn != "" && s.Document == nil && !s.Retracts {
		return f.end(consumers.Failed, consumers.Permanent, errors.New("the document that it links could not be made"))
	}
	sending, cancel := context.WithTimeout(ctx, l.cfg.SendTimeout)
	defer cancel()
	began := time.Now()
	receipt, err := l.send(sending, s, provider)
	l.metrics.sent(provider.Name(), time.Since(began), err)
	if err == nil {
		return f.accepted(receipt)
	}
	failure, ok := errors.AsType[*consumers.SendError](err)
	if !ok {
		failure = &consumers.SendError{Class: consumers.Unsure, Err: err}
	}
	switch {
	case failure.Class == consumers.Permanent:
		return f.end(consumers.Failed, failure.Class, err)
	// From here on it may have been sent, unless the class says otherwise.
	case failure.Class == consumers.Temporary, can.Idempotent:
		f.throttled = failure.RetryAfter
		return f.retryLater(ctx, l, failure.Class, failure.RetryAfter, err)
	case can.Status: // the next attempt looks it up
		f.end(consumers.Unknown, failure.Class, err)
		f.retry, f.delay = true, max(failure.RetryAfter, l.retryPause(1))
		return f
	default:
		return f.end(consumers.Unknown, failure.Class, err)
	}
}

// lookUp queries the provider for what became of a delivery that an earlier attempt may have sent. It
// never sends: a provider that is slow to accept a delivery lists it late, so "not found" means
// "not sent" only some time after the last request. Then the delivery is planned again, and the
// next attempt sends it. Looking up is no attempt to deliver, so it counts as none.
func (l *Ledger) lookUp(ctx context.Context, f *finish, provider consumers.Provider) *finish {
	can := provider.Abilities()
	lookup, ok := provider.(consumers.StatusProvider)
	if !can.Status || !ok {
		return f.end(consumers.Unknown, consumers.Unsure,
			errors.New("an attempt was cut off after the provider may have been called"))
	}
	receipt, found, err := lookup.Status(ctx, &f.Delivery)
	if err == nil && found {
		return f.accepted(receipt)
	}
	left := can.Settle - f.sinceRequest
	f.lookedUp, f.uncounted, f.retry = true, true, true
	f.delay = l.lookUpPause(f.sinceRequest, left)
	switch {
	case err != nil:
		return f.end(consumers.Unknown, consumers.Unsure, fmt.Errorf("look up the status: %w", err))
	case left > 0:
		return f.end(consumers.Unknown, consumers.Unsure,
			fmt.Errorf("the provider does not list it; it counts as not sent if that is so %s "+
				"after the request", can.Settle))
	case f.attempts > l.cfg.Attempts: // this start is one of them until it is recorded
		f.retry = false
		return f.end(consumers.Dead, consumers.Unsure,
			fmt.Errorf("gave up after %d attempts: the provider has not accepted it", f.attempts-1))
	}
	f.delay = 0
	return f.end(consumers.Planned, consumers.Temporary,
		fmt.Errorf("the provider does not list it %s after the request: it was not sent",
			f.sinceRequest.Round(time.Second)))
}

// lookUpPause is as long as what has passed since the request, so that a late acceptance is found
// soon and a provider that is down is not queried all the time; but a delivery is looked up when what
// is left until it counts as not sent has passed.
func (l *Ledger) lookUpPause(since, left time.Duration) time.Duration {
	pause := min(max(since, l.cfg.RetryMin), l.cfg.RetryMax)
	if left > 0 {
		pause = min(pause, left)
	}
	return pause + rand.N(l.cfg.RetryMin+1)
}

// send calls the provider, in a batch with others if it accepts batches. A provider that panics may
// have sent: the error is not a SendError, so it counts as unsure.
func (l *Ledger) send(
	ctx context.Context, s *started, provider consumers.Provider,
) (r consumers.Receipt, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("provider %s panicked: %v", provider.Name(), cause)
		}
	}()
	if batches := l.sends[s.Channel]; batches != nil {
		result, err := batches.submit(ctx, &s.Delivery)
		if err != nil {
			return r, err
		}
		return result.Receipt, result.Err
	}
	return provider.Send(ctx, &s.Delivery)
}

// finish is the result of an attempt.
type finish struct {
	*started
	state    consumers.State
	provider string
	receipt  consumers.Receipt
	class    consumers.ErrorClass
	err      error
	took     time.Duration
	worker   string

	retry     bool              // the job is retried …
	delay     time.Duration     // … after this
	throttled time.Duration     // the pause that the provider wants from everyone
	uncounted bool              // it does not count as an attempt
	instead   []consumers.Route // whom to reach in place of a recipient who is none any more
	lookedUp  bool              // the provider was queried about the delivery, and not told to do it
}

// end ends the job: nothing more happens to the delivery by itself.
func (f *finish) end(state consumers.State, class consumers.ErrorClass, err error) *finish {
	f.state, f.class, f.err = state, class, err
	return f
}

// accepted ends the job: the provider has accepted the delivery.
func (f *finish) accepted(r consumers.Receipt) *finish {
	f.receipt, f.state = r, r.State
	if f.state == "" {
		f.state = consumers.Sent
	}
	if f.state == consumers.Failed {
		f.err, f.class = errors.New(r.Error), consumers.Permanent
	}
	return f
}

// retryLater sends the delivery again after a pause, unless there were enough attempts.
func (f *finish) retryLater(
	ctx context.Context, l *Ledger, class consumers.ErrorClass, after time.Duration, err error,
) *finish {
	f.end(consumers.Planned, class, err)
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		f.retry, f.uncounted = true, true // the program stops; that is not the provider's fault
	case f.attempts < l.cfg.Attempts:
		f.retry, f.delay = true, max(after, l.retryPause(f.attempts))
	default:
		f.state, f.err = consumers.Dead, fmt.Errorf("gave up after %d attempts: %w", f.attempts, err)
	}
	return f
}

// retryPause is the pause after so many attempts. It doubles with each, and half of it is random,
// so that deliveries that failed together are not retried together. It is a function of the number
// of attempts, as the next one may be in another process.
func (l *Ledger) retryPause(attempts int) time.Duration {
	d := l.cfg.RetryMax
	if shift := attempts - 1; shift < 30 {
		d = min(d, l.cfg.RetryMin<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// settle records the result of an attempt and returns what River is to do with the job.
func (l *Ledger) settle(ctx context.Context, job *rivertype.JobRow, f *finish) error {
	// A result must be recorded even if the program stops in the meantime.
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobOverhead/2)
	defer cancel()
	if f.throttled > 0 {
		l.throttle(writing, f.provider, f.throttled)
	}
	counts, err := l.finishes.submit(writing, f)
	if err != nil {
		// In the ledger the delivery is being sent. The next attempt sees that and is careful.
		l.metrics.databaseErrors.Inc()
		return fmt.Errorf("record the result: %w", err)
	}
	l.metrics.finished(f, counts)
	switch {
	case !counts: // another start has fenced this one
		if err := l.insertFallbackJob(writing, f); err != nil {
			return fmt.Errorf("insert a fallback job: %w", err)
		}
		return nil
	case !f.retry:
		return nil
	case f.uncounted:
		return river.JobSnooze(f.delay)
	}
	// River takes the time from NextRetry, which gets the job and not the result.
	l.retryAt.Store(job.ID, time.Now().Add(f.delay))
	return f.err
}

// NextRetry implements [river.ClientRetryPolicy].
func (l *Ledger) NextRetry(job *rivertype.JobRow) time.Time {
	if at, ok := l.retryAt.LoadAndDelete(job.ID); ok {
		return at.(time.Time)
	}
	// The database did not respond, or the worker died.
	return time.Now().Add(l.retryPause(min(len(job.Errors)+1, 5)))
}
