package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/eventlog"
)

const (
	retryMin    = 50 * time.Millisecond
	retryMax    = 3 * time.Second // so that a server that has healed is used within five seconds
	saveEvery   = 50 * time.Millisecond
	saveTimeout = 5 * time.Second
	// fencedPause is long enough for the group to notice which process the partition belongs to.
	fencedPause = 10 * time.Second
	// heartbeatEvery is how often an idle worker saves its position nevertheless. That is how it
	// learns that another process has claimed the partition, or that an operator has reset it.
	heartbeatEvery = 2 * time.Second
	// redeliverPause is the pause before a refused message is handed out again. A handler that
	// refuses messages may pause by itself.
	redeliverPause = 50 * time.Millisecond
)

// partitionWorker hands out the messages of one partition for as long as it is assigned.
type partitionWorker struct {
	*Subscriber
	log        eventlog.Log
	reader     *eventlog.Reader // of log
	assignment eventlog.Assignment
	out        chan<- *message.Message
	topic      eventlog.Topic
	logger     *slog.Logger
	progress   *workerProgress
}

// inFlight is a message that has been handed out, or without one a stretch of the log without any
// wanted record.
type inFlight struct {
	message *message.Message
	cancel  context.CancelFunc
	entry   *eventlog.Entry // the last one before next; nil when the stretch has none
	gap     int64           // records right before it that are not handed out
	next    int64
}

func (w *partitionWorker) run(ctx context.Context) {
	progress, end := w.cfg.Progress.begin(w.assignment.Partition)
	w.progress = progress
	defer end()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = retryMin, retryMax
	for ctx.Err() == nil {
		err := w.lease(ctx)
		if ctx.Err() != nil {
			return
		}
		w.progress.failing(err)
		wait := pause.NextBackOff()
		if errors.Is(err, ErrFenced) {
			wait = fencedPause
		}
		w.logger.WarnContext(ctx, "restarting from the last position", "error", err, "in", wait)
		sleep(ctx, wait)
	}
}

// lease claims the partition and hands out its messages from the stored position on, until an error
// or the end of ctx.
func (w *partitionWorker) lease(ctx context.Context) error {
	n := w.assignment.Partition
	var err error
	if w.topic, err = w.log.Topic(ctx); err != nil {
		return err
	}
	next, epoch, err := w.cfg.Positions.Claim(ctx, w.cfg.Group, w.topic, n)
	if err != nil {
		return fmt.Errorf("claim partition %d: %w", n, err)
	}
	// One more is in the hands of trackAcks.
	flight := make(chan *inFlight, w.cfg.InFlight-1)
	stages, ctx := errgroup.WithContext(ctx)
	stages.Go(func() error { return w.dispatch(ctx, next, flight) })
	stages.Go(func() error { return w.trackAcks(ctx, epoch, next, flight) })
	return stages.Wait()
}

// dispatch reads the log and hands out its messages.
func (w *partitionWorker) dispatch(
	ctx context.Context, next int64, flight chan<- *inFlight,
) error {
	cursor := w.reader.Open(w.assignment.Partition, next)
	defer cursor.Close()
	w.progress.running(next, cursor.Fault)
	after := next // the last message that was handed out
	for {
		stretch, err := cursor.Next(ctx)
		if err != nil {
			return err
		}
		w.progress.read(stretch.HighWatermark)
		dispatched := next
		for i := range stretch.Entries {
			e := &stretch.Entries[i]
			if e.Duplicate || w.cfg.Wants != nil && !w.cfg.Wants(&e.Record) {
				continue
			}
			m := w.newInFlight(ctx, e, e.Offset()-after)
			after = m.next
			// It enters the flight first, so that no more than allowed are out.
			if err := put(ctx, flight, m); err != nil {
				return err
			}
			if err := put(ctx, w.out, m.message); err != nil {
				return err
			}
			dispatched = m.next
		}
		if next = stretch.Next; next > dispatched {
			passed := &inFlight{next: next}
			if n := len(stretch.Entries); n > 0 {
				passed.entry = &stretch.Entries[n-1]
			}
			if err := put(ctx, flight, passed); err != nil {
				return err
			}
		}
	}
}

func (w *partitionWorker) newInFlight(
	ctx context.Context, e *eventlog.Entry, gap int64,
) *inFlight {
	ctx, cancel := context.WithCancel(ctx)
	return &inFlight{
		message: toMessage(ctx, e, gap), cancel: cancel, entry: e, gap: gap, next: e.Last() + 1,
	}
}

func put[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trackAcks waits for the messages to be acknowledged, in order, and moves the position. A message
// that is refused is handed out again, and the position waits for it.
func (w *partitionWorker) trackAcks(
	ctx context.Context, epoch, next int64, flight <-chan *inFlight,
) (err error) {
	saved, savedAt := next, time.Now()
	var last *eventlog.Entry // that was handled; its digest is made once for each save
	save := func(ctx context.Context) error {
		if next == saved {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		err := w.cfg.Positions.Save(
			ctx, w.cfg.Group, w.topic, w.assignment.Partition, epoch, next, last.Mark())
		if err != nil {
			return fmt.Errorf("save position %d: %w", next, err)
		}
		saved, savedAt = next, time.Now()
		w.assignment.Committed(next)
		return nil
	}
	defer func() { err = errors.Join(err, save(context.WithoutCancel(ctx))) }()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case m := <-flight:
			if err := w.await(ctx, m, tick.C, save); err != nil {
				return err
			}
			next = m.next
			if m.entry != nil {
				last = m.entry
			}
			w.progress.handled(next)
		case <-tick.C:
			if time.Since(savedAt) >= heartbeatEvery {
				saved = -1
			}
			if err := save(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// await returns when a message has been acknowledged.
func (w *partitionWorker) await(
	ctx context.Context, m *inFlight, tick <-chan time.Time, save func(context.Context) error,
) error {
	for m.message != nil {
		select {
		case <-m.message.Acked():
			m.cancel()
			return nil
		case <-m.message.Nacked():
			m.cancel()
			sleep(ctx, redeliverPause)
			again := w.newInFlight(ctx, m.entry, m.gap)
			m.message, m.cancel = again.message, again.cancel
			if err := put(ctx, w.out, m.message); err != nil {
				return err
			}
		case <-tick:
			if err := save(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
