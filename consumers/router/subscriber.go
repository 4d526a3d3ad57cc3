package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Positions keeps how far groups have come.
type Positions interface {
	// Claim takes a partition over and returns the offset to go on at. The epoch grows with every claim.
	Claim(ctx context.Context, group string, topic eventlog.Topic, partition int32) (next, epoch int64, err error)
	// Save notes how far a partition has been handled. It is [ErrFenced] when somebody else has claimed it since.
	Save(ctx context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64) error
}

// ErrFenced says that somebody else has taken the partition over.
var ErrFenced = errors.New("partition has been claimed by another process")

// SubscriberConfig is what a subscriber is made of. A zero value means the default in parentheses.
type SubscriberConfig struct {
	Open      Open      // required
	Positions Positions // required
	Group     string    // required; those who name it share the messages of each topic among them
	InFlight  int       // messages of a partition that are handed out at the same time (1)
	// Wants leaves out records that nobody is interested in (nil: all are wanted).
	Wants  func(*eventlog.Record) bool
	Logger *slog.Logger // (none)
}

// Subscriber hands out what is in the log. It implements [message.Subscriber].
type Subscriber struct {
	cfg SubscriberConfig

	mu      sync.Mutex
	closed  bool
	cancels []context.CancelFunc
	work    sync.WaitGroup
}

// NewSubscriber returns a subscriber.
func NewSubscriber(cfg SubscriberConfig) (*Subscriber, error) {
	if cfg.Open == nil || cfg.Positions == nil || cfg.Group == "" {
		return nil, errors.New("subscriber: a log, positions and a group are required")
	}
	cfg.InFlight = cmp.Or(cfg.InFlight, 1)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Subscriber{cfg: cfg}, nil
}

// Subscribe implements [message.Subscriber]: it joins the group and hands out the messages of the partitions that it gets.
// The channel is closed when ctx ends or the subscriber is closed.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	log, err := s.cfg.Open(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("subscribe to %s: %w", topic, errClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cancels = append(s.cancels, cancel)
	out := make(chan *message.Message)
	s.work.Go(func() {
		defer close(out)
		defer cancel()
		// A group of the log keeps to one topic.
		err := log.Consume(ctx, s.cfg.Group+"."+topic, func(ctx context.Context, a eventlog.Assignment) error {
			o := &partitionWorker{
				Subscriber: s, log: log, assignment: a, out: out,
				logger: s.cfg.Logger.With("group", s.cfg.Group, "partition", a.Partition),
			}
			o.run(ctx)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.ErrorContext(ctx, "subscription has ended", "topic", topic, "error", err)
		}
	})
	return out, nil
}

// Close implements [message.Subscriber]. It waits until nothing is handed out any more.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, cancel := range s.cancels {
		cancel()
	}
	s.cancels = nil
	s.mu.Unlock()
	s.work.Wait()
	return nil
}

const (
	fetchBytes  = 1 << 20
	fetchWait   = 500 * time.Millisecond
	retryMin    = 50 * time.Millisecond
	retryMax    = 5 * time.Second
	fencedPause = 10 * time.Second
	saveEvery   = 100 * time.Millisecond
	saveTimeout = 5 * time.Second
	// heartbeatEvery is how often an owner with nothing to do saves all the same. So it learns that somebody has claimed the
	// partition, or wants it read once more.
	heartbeatEvery = 2 * time.Second
	// redeliverPause is the pause before a refused message is handed out again. Whoever refuses it may have paused before.
	redeliverPause = 50 * time.Millisecond
)

// partitionWorker hands out the messages of one partition for as long as it is assigned.
type partitionWorker struct {
	*Subscriber
	log        Log
	assignment eventlog.Assignment
	out        chan<- *message.Message
	topic      eventlog.Topic
	logger     *slog.Logger
}

// inFlight is a message that has been handed out, or without one a stretch of the log that nobody wants.
type inFlight struct {
	message *message.Message
	cancel  context.CancelFunc
	record  *eventlog.Record
	next    int64
}

func (o *partitionWorker) run(ctx context.Context) {
	for delay := retryMin; ctx.Err() == nil; delay = min(2*delay, retryMax) {
		err := o.lease(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := delay
		if errors.Is(err, ErrFenced) {
			wait = fencedPause // by then the group has noticed to whom the partition belongs
		}
		o.logger.WarnContext(ctx, "starting again from the last position", "error", err, "in", wait)
		sleep(ctx, wait)
	}
}

// lease hands out messages from the kept position on, until something goes wrong or ctx ends.
func (o *partitionWorker) lease(ctx context.Context) error {
	n := o.assignment.Partition
	var err error
	if o.topic, err = o.log.Topic(ctx); err != nil {
		return err
	}
	next, epoch, err := o.cfg.Positions.Claim(ctx, o.cfg.Group, o.topic, n)
	if err != nil {
		return fmt.Errorf("claim partition %d: %w", n, err)
	}
	flight := make(chan *inFlight, o.cfg.InFlight-1) // one more is in the hands of follow
	stages, ctx := errgroup.WithContext(ctx)
	stages.Go(func() error { return o.dispatch(ctx, next, flight) })
	stages.Go(func() error { return o.trackAcks(ctx, epoch, next, flight) })
	return stages.Wait()
}

// dispatch reads the log and hands out what is in it.
func (o *partitionWorker) dispatch(ctx context.Context, next int64, flight chan<- *inFlight) error {
	for delay := retryMin; ; {
		batch, err := o.log.Fetch(ctx, o.assignment.Partition, next, fetchBytes, fetchWait)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, eventlog.ErrOffsetOutOfRange):
			return err
		case err != nil:
			sleep(ctx, delay)
			delay = min(2*delay, retryMax)
			continue
		}
		delay = retryMin
		handedTo := next
		for i := range batch.Records {
			rec := &batch.Records[i]
			if o.cfg.Wants != nil && !o.cfg.Wants(rec) {
				continue
			}
			h := o.newInFlight(ctx, rec)
			// It takes its place in the flight first, so that no more than allowed are out.
			if err := put(ctx, flight, h); err != nil {
				return err
			}
			if err := put(ctx, o.out, h.message); err != nil {
				return err
			}
			handedTo = h.next
		}
		if next = batch.Next; next > handedTo {
			if err := put(ctx, flight, &inFlight{next: next}); err != nil {
				return err
			}
		}
	}
}

func (o *partitionWorker) newInFlight(ctx context.Context, rec *eventlog.Record) *inFlight {
	ctx, cancel := context.WithCancel(ctx)
	return &inFlight{message: toMessage(ctx, rec), cancel: cancel, record: rec, next: rec.Position.Offset + 1}
}

func put[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// trackAcks waits for the messages to be acknowledged, in order, and moves the position on. One that is refused is handed out
// again, and the position waits for it.
func (o *partitionWorker) trackAcks(ctx context.Context, epoch, next int64, flight <-chan *inFlight) (err error) {
	saved, savedAt := next, time.Now()
	save := func(ctx context.Context) error {
		if next == saved {
			return nil
		}
		ctx, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		if err := o.cfg.Positions.Save(ctx, o.cfg.Group, o.topic, o.assignment.Partition, epoch, next); err != nil {
			return fmt.Errorf("save position %d: %w", next, err)
		}
		saved, savedAt = next, time.Now()
		o.assignment.Committed(next)
		return nil
	}
	defer func() { err = errors.Join(err, save(context.WithoutCancel(ctx))) }()
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case h := <-flight:
			if err := o.await(ctx, h, tick.C, save); err != nil {
				return err
			}
			next = h.next
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
func (o *partitionWorker) await(ctx context.Context, h *inFlight, tick <-chan time.Time, save func(context.Context) error) error {
	for h.message != nil {
		select {
		case <-h.message.Acked():
			h.cancel()
			return nil
		case <-h.message.Nacked():
			h.cancel()
			sleep(ctx, redeliverPause)
			again := o.newInFlight(ctx, h.record)
			h.message, h.cancel = again.message, again.cancel
			if err := put(ctx, o.out, h.message); err != nil {
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
