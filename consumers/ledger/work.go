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

// worker does the jobs of deliveries.
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
		return river.JobSnooze(time.Minute) // it has been taken away; the delivery waits for another
	}
	if err := l.waitForSlot(ctx, job.Args.Channel); err != nil {
		return l.returnJob(ctx, err)
	}
	s, err := l.starts.submit(ctx, job.Args.ID)
	if err != nil {
		return l.returnJob(ctx, err)
	}
	if s == nil {
		return nil // done, or not wanted any more
	}
	l.metrics.started(s, job.JobRow)
	began := time.Now()
	f := l.attempt(ctx, s, provider)
	f.took = time.Since(began)
	f.worker = l.river.ID()
	return l.settle(ctx, job.JobRow, s, f)
}

// returnJob is for a job that has not begun: a program that stops gives it back at no cost, and so does one whose database
// does not answer.
func (l *Ledger) returnJob(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return river.JobSnooze(0)
	}
	l.metrics.databaseErrors.Inc()
	return fmt.Errorf("begin: %w", err)
}

// attempt does one delivery as far as it can be done now, and says what came of it.
func (l *Ledger) attempt(ctx context.Context, s *started, provider consumers.Provider) *finish {
	can := provider.Abilities()
	f := &finish{started: s, provider: provider.Name()}
	if !s.NotAfter.IsZero() && time.Now().After(s.NotAfter) && s.before == consumers.Planned {
		return f.end(consumers.Cancelled, "", errors.New("its time is over"))
	}
	if s.DependsOn != "" && s.Document == nil {
		return f.end(consumers.Failed, consumers.Permanent, errors.New("the document that it tells of could not be made"))
	}
	if s.before != consumers.Planned && !can.Idempotent {
		// An earlier attempt may have got through.
		asking, ok := provider.(consumers.StatusProvider)
		if !can.Status || !ok {
			return f.end(consumers.Unknown, consumers.Unsure, errors.New("an attempt was cut off after the provider may have been asked"))
		}
		receipt, found, err := asking.Status(ctx, &s.Delivery)
		switch {
		case err != nil:
			return f.retryLater(ctx, l, consumers.Unknown, consumers.Unsure, 0, fmt.Errorf("ask for the status: %w", err))
		case found:
			return f.receive(receipt)
		}
	}
	sending, cancel := context.WithTimeout(ctx, l.cfg.SendTimeout)
	defer cancel()
	began := time.Now()
	receipt, err := l.send(sending, s, provider)
	l.metrics.sent(provider.Name(), time.Since(began), err)
	if err == nil {
		return f.receive(receipt)
	}
	var known *consumers.SendError
	if !errors.As(err, &known) {
		known = &consumers.SendError{Class: consumers.Unsure, Err: err}
	}
	switch {
	case known.Class == consumers.Permanent:
		return f.end(consumers.Failed, known.Class, err)
	case known.Class == consumers.Temporary, can.Idempotent:
		f.throttled = known.RetryAfter
		return f.retryLater(ctx, l, consumers.Planned, known.Class, known.RetryAfter, err)
	case can.Status:
		return f.retryLater(ctx, l, consumers.Unknown, known.Class, known.RetryAfter, err)
	default:
		return f.end(consumers.Unknown, known.Class, err)
	}
}

// send asks the provider, together with others if it takes several at once. A provider that panics may have sent.
func (l *Ledger) send(ctx context.Context, s *started, provider consumers.Provider) (r consumers.Receipt, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("provider %s panicked: %v", provider.Name(), cause)
		}
	}()
	if together := l.sends[s.Channel]; together != nil {
		answer, err := together.submit(ctx, &s.Delivery)
		if err != nil {
			return r, err
		}
		return answer.Receipt, answer.Err
	}
	return provider.Send(ctx, &s.Delivery)
}

// finish is what came of an attempt.
type finish struct {
	*started
	state    consumers.State
	provider string
	receipt  consumers.Receipt
	class    consumers.ErrorClass
	err      error
	took     time.Duration
	worker   string

	retry     bool          // the job goes on …
	delay     time.Duration // … after this
	throttled time.Duration // the provider does not want to be asked for so long
	uncounted bool          // it does not count as an attempt
}

// end says that nothing more is done about the delivery by itself.
func (f *finish) end(state consumers.State, class consumers.ErrorClass, err error) *finish {
	f.state, f.class, f.err = state, class, err
	return f
}

// receive says that the provider has taken it.
func (f *finish) receive(r consumers.Receipt) *finish {
	f.receipt, f.state = r, r.State
	if f.state == "" {
		f.state = consumers.Sent
	}
	if f.state == consumers.Failed {
		f.err, f.class = errors.New(r.Error), consumers.Permanent
	}
	return f
}

// retryLater says that the job is to go on later, unless there were enough attempts.
func (f *finish) retryLater(ctx context.Context, l *Ledger, state consumers.State, class consumers.ErrorClass, after time.Duration, err error) *finish {
	f.end(state, class, err)
	switch {
	case ctx.Err() != nil && !errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		f.retry, f.uncounted = true, true // the program stops; the provider is not to blame
	case f.attempts < l.cfg.Attempts:
		f.retry, f.delay = true, max(after, l.backoff(f.attempts))
	case state == consumers.Planned:
		f.state, f.err = consumers.Dead, fmt.Errorf("gave up after %d attempts: %w", f.attempts, err)
	}
	return f
}

// backoff is the pause after so many attempts: it doubles, and half of it is chance, so that those that failed together do
// not come back together.
func (l *Ledger) backoff(attempts int) time.Duration {
	d := l.cfg.RetryMax
	if shift := attempts - 1; shift < 30 {
		d = min(d, l.cfg.RetryMin<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// settle writes down what came of an attempt and tells River.
func (l *Ledger) settle(ctx context.Context, job *rivertype.JobRow, s *started, f *finish) error {
	// An answer must be written down also when the program stops meanwhile.
	writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), jobOverhead/2)
	defer cancel()
	if f.throttled > 0 {
		l.throttle(writing, f.provider, f.throttled)
	}
	counts, err := l.finishes.submit(writing, f)
	if err != nil {
		// The ledger says that it is being sent. The next attempt finds that and is careful.
		l.metrics.databaseErrors.Inc()
		return fmt.Errorf("write down what came of it: %w", err)
	}
	l.metrics.finished(f, counts)
	switch {
	case !counts:
		if err := l.insertFallbackJob(writing, f); err != nil {
			return fmt.Errorf("insure a delivery: %w", err)
		}
		return nil
	case !f.retry:
		return nil
	case f.uncounted:
		return river.JobSnooze(0)
	}
	l.retryAt.Store(job.ID, time.Now().Add(f.delay))
	return f.err
}

// NextRetry implements River's retry policy.
func (l *Ledger) NextRetry(job *rivertype.JobRow) time.Time {
	if at, ok := l.retryAt.LoadAndDelete(job.ID); ok {
		return at.(time.Time)
	}
	return time.Now().Add(l.backoff(min(len(job.Errors)+1, 5))) // the database was in trouble, or the worker died
}
