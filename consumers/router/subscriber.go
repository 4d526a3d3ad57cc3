package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Positions stores how far groups of consumers have come.
type Positions interface {
	// Claim takes a partition over and returns the offset to continue at. The epoch grows with
	// every claim. It fails with an [*eventlog.Refusal] when the log is not the one that was read.
	Claim(
		ctx context.Context, group string, topic eventlog.Topic, partition int32,
	) (next, epoch int64, err error)
	// Save stores the offset of the first record of a partition that is not handled yet, and which
	// record was read last. The error is [ErrFenced] when another process has claimed the partition
	// since.
	Save(
		ctx context.Context, group string, topic eventlog.Topic, partition int32, epoch, next int64,
		last eventlog.Mark,
	) error
}

// ErrFenced means that another process has claimed the partition.
var ErrFenced = errors.New("partition has been claimed by another process")

var errClosed = errors.New("closed")

// DefaultInFlight is how many messages of a partition are handed out before the first of them is
// acknowledged, unless a configuration says otherwise.
const DefaultInFlight = 1000

// SubscriberConfig configures a subscriber. A zero value means the default in parentheses.
type SubscriberConfig struct {
	Open      Open      // required
	Positions Positions // required
	Group     string    // required; subscribers of one group share the messages of each topic
	InFlight  int       // unacknowledged messages of a partition ([DefaultInFlight])
	// Reader of the log that Open returns, which this process shares (one for each subscription).
	Reader *eventlog.Reader
	// Wants reports whether a record is to be handed out (all are). Duplicates never are.
	Wants  func(*eventlog.Record) bool
	Logger *slog.Logger // (none)
	// Progress is where the workers report how far they are (nowhere).
	Progress *Progress
}

// Subscriber hands out the records of the log. It implements [message.Subscriber].
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
	if cfg.InFlight < 0 {
		return nil, errors.New("subscriber: messages in flight must not be negative")
	}
	cfg.InFlight = cmp.Or(cfg.InFlight, DefaultInFlight)
	cfg.Logger = cmp.Or(cfg.Logger, slog.New(slog.DiscardHandler))
	return &Subscriber{cfg: cfg}, nil
}

// Subscribe implements [message.Subscriber]: it joins the group and hands out the messages of the
// partitions that it is assigned. The channel is closed when ctx ends or the subscriber is closed.
func (s *Subscriber) Subscribe(
	ctx context.Context, topic string,
) (<-chan *message.Message, error) {
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
	reader := s.cfg.Reader
	if reader == nil {
		reader = eventlog.NewReader(eventlog.ReaderConfig{Source: log, Logger: s.cfg.Logger})
	}
	s.work.Go(func() {
		defer close(out)
		defer cancel()
		assigned := func(ctx context.Context, a eventlog.Assignment) error {
			w := &partitionWorker{
				Subscriber: s, log: log, reader: reader, assignment: a, out: out,
				logger: s.cfg.Logger.With("group", s.cfg.Group, "partition", a.Partition),
			}
			w.run(ctx)
			return nil
		}
		// A group of the log covers one topic.
		err := log.Consume(ctx, eventlog.GroupID(s.cfg.Group, topic), assigned)
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.ErrorContext(ctx, "subscription has ended", "topic", topic, "error", err)
		}
	})
	return out, nil
}

// Close implements [message.Subscriber]. It waits until no messages are handed out any more.
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
