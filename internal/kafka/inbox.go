package kafka

import (
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"time"

	"github.com/segmentio/kafka-go/protocol/createtopics"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Inbox is a topic that other systems write to, with any client. It is read as a group, and only
// what was committed: records of aborted transactions are left out, those of open ones, and all
// behind them, are not there yet.
type Inbox struct{ log *Log }

var (
	_ eventlog.Group     = (*Inbox)(nil)
	_ eventlog.Fetcher   = (*Inbox)(nil)
	_ eventlog.Inspector = (*Inbox)(nil)
)

// OpenInbox connects to a topic, and creates it if it does not exist. How long it retains records,
// in how many partitions and by whose clock, is up to those who write to it.
func OpenInbox(ctx context.Context, config Config, logger *slog.Logger) (*Inbox, error) {
	l, err := open(ctx, config, logger, nil, readCommitted, func(l *Log, ctx context.Context) error {
		return l.takeTopic(ctx, []createtopics.RequestConfig{{Name: "cleanup.policy", Value: "delete"}})
	})
	if err != nil {
		return nil, err
	}
	return &Inbox{l}, nil
}

// OpenAny connects to a topic that is written and is no log: one with other settings than the
// configured ones is taken as it is.
func OpenAny(ctx context.Context, config Config, logger *slog.Logger) (*Log, error) {
	return open(ctx, config, logger, nil, readUncommitted, func(l *Log, ctx context.Context) error {
		return l.takeTopic(ctx, l.logSettings())
	})
}

// takeTopic finds the topic, or creates it with these settings.
func (l *Log) takeTopic(ctx context.Context, settings []createtopics.RequestConfig) error {
	m, err := l.findTopic(ctx, settings)
	if err != nil {
		return err
	}
	l.use(m)
	return nil
}

// Consume implements [eventlog.Group].
func (i *Inbox) Consume(
	ctx context.Context, group string, own func(context.Context, eventlog.Assignment) error,
) error {
	return i.log.Consume(ctx, group, own)
}

// Fetch implements [eventlog.Fetcher] for committed records. The batch's high watermark is the
// offset up to which everything is decided.
func (i *Inbox) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	return i.log.Fetch(ctx, partition, offset, maxBytes, maxWait)
}

// Topic implements [eventlog.Inspector].
func (i *Inbox) Topic(ctx context.Context) (eventlog.Topic, error) { return i.log.Topic(ctx) }

// Bounds implements [eventlog.Inspector].
func (i *Inbox) Bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	return i.log.Bounds(ctx, partition)
}

// Close ends all connections.
func (i *Inbox) Close() error { return i.log.Close() }

// abortedTransaction is one that ended in vain: its producer, and its first offset in the partition.
type abortedTransaction struct{ producer, first int64 }

// transactions tells the batches of one response that were aborted from the others. The broker only
// lists the aborted transactions; where one ends is in the batches, as a record of its own kind.
type transactions struct {
	pending []abortedTransaction // not yet reached, in the order of the response
	open    map[int64]bool       // by producer: the batches at hand are of an aborted one
}

// aborts reports whether a batch is part of an aborted transaction. It is called for the batches of
// a response in order.
func (t *transactions) aborts(batch []byte) bool {
	if t == nil {
		return false
	}
	_, last := offsetsOf(batch)
	t.pending = slices.DeleteFunc(t.pending, func(a abortedTransaction) bool {
		if a.first > last {
			return false
		}
		if t.open == nil {
			t.open = map[int64]bool{}
		}
		t.open[a.producer] = true
		return true
	})
	attributes := binary.BigEndian.Uint16(batch[attributesOffset:])
	producer := int64(binary.BigEndian.Uint64(batch[producerOffset:]))
	if attributes&controlBatch != 0 {
		delete(t.open, producer)
		return false // it has no records for us anyway
	}
	return attributes&transactional != 0 && t.open[producer]
}
