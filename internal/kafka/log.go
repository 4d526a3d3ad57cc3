package kafka

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"

	"github.com/schoolbell/schoolbell/eventlog"
)

// Log is the log in Kafka. It implements [eventlog.Log].
type Log struct {
	config  Config
	logger  *slog.Logger
	metrics *metrics
	cluster *cluster
	dialer  *dialer
	codec   *codec
	topicID [16]byte
	topic   *topicWatch
	groups  *groupStates
	// what Fetch returns; an inbox leaves out what was not committed
	isolation isolation
	writers   []partitionWriter
	// By partition: how much fetched batches inflate, in percent. A broker counts compressed bytes,
	// callers of Fetch mean those that they get.
	ratios []atomic.Uint32

	queued  atomic.Int64    // bytes
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	writing sync.WaitGroup
}

var _ eventlog.Log = (*Log)(nil)

// Open connects to Kafka, creates the topic if it does not exist, and checks it if it does. It
// waits for a cluster that is not there yet, up to the configured time: in a deployment everything
// starts at once. The registerer may be nil.
func Open(
	ctx context.Context, config Config, logger *slog.Logger, reg prometheus.Registerer,
) (*Log, error) {
	return open(ctx, config, logger, reg, readUncommitted, (*Log).prepareTopic)
}

// open is Open, with what prepares the topic.
func open(
	ctx context.Context, config Config, logger *slog.Logger, reg prometheus.Registerer,
	level isolation, prepare func(*Log, context.Context) error,
) (*Log, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("configure the log: %w", err)
	}
	config = config.withDefaults()
	mechanism, err := config.SASL.mechanism()
	if err != nil {
		return nil, err
	}
	codec, err := newCodec()
	if err != nil {
		return nil, err
	}
	l := &Log{config: config, logger: logger, codec: codec, isolation: level}
	l.dialer = &dialer{
		dial: config.Dial, tls: config.TLS, sasl: mechanism, timeout: config.DialTimeout,
	}
	l.cluster = newCluster(l.dialer, config.Brokers, config.Topic)

	l.topic, l.groups = newTopicWatch(reg), newGroupStates(reg)
	opening, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	err = prepare(l, opening)
	if config.Known.ID != "" && errors.Is(err, eventlog.ErrUnavailable) {
		logger.WarnContext(ctx, "cannot reach the log, starting without it", "error", err)
		err = l.useKnown(config.Known)
	}
	if err != nil {
		l.cluster.close()
		return nil, fmt.Errorf("open the topic %s at %v: %w", config.Topic, config.Brokers, err)
	}
	// Writes outlive ctx: in a stop, appends that were accepted are finished before Close.
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for i := range l.writers {
		l.writers[i].log, l.writers[i].partition = l, int32(i)
	}
	l.metrics = newMetrics(reg, func() float64 { return float64(l.queued.Load()) })
	return l, nil
}

// Close ends all writes and connections. An Append that is under way gets ErrUnavailable; whoever
// wants it done waits for it before.
func (l *Log) Close() error {
	l.cancel()
	for i := range l.writers {
		l.writers[i].close()
	}
	l.writing.Wait()
	l.cluster.close()
	return nil
}

// Fetch implements [eventlog.Fetcher]. It reads by the topic's id, so it fails for a topic that was
// deleted and created again, whose records must not be taken for those of the old one.
func (l *Log) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (batch eventlog.Batch, err error) {
	start := time.Now()
	var got decoded
	defer func() { l.metrics.fetched(start, got, err) }()
	if err := l.checkPartition(partition); err != nil {
		return batch, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxWait+l.config.RequestTimeout)
	defer cancel()
	ratio := max(100, l.ratios[partition].Load())
	wire := int32(min(max(int64(maxBytes)*100/int64(ratio), 1), math.MaxInt32))
	err = l.cluster.do(ctx, partition, func(c *conn, m *metadata) error {
		if err := l.checkTopicID(m); err != nil {
			return err
		}
		f, err := c.fetch(l.topicID, partition, offset, wire, maxWait, l.isolation)
		switch {
		case err == nil:
		case errors.Is(err, kafkago.OffsetOutOfRange):
			return fmt.Errorf("%w: the log has other offsets", eventlog.ErrOffsetOutOfRange)
		default:
			return err
		}
		got, err = l.codec.decode(f.batches, partition, offset, maxBytes, c.headerNames,
			f.transactions)
		batch = eventlog.Batch{
			Records: got.records, Next: got.next, HighWatermark: f.highWatermark,
			LogStart: f.logStart,
		}
		return err
	})
	if err != nil {
		return eventlog.Batch{}, fmt.Errorf("fetch offset %d of partition %d: %w", offset,
			partition, err)
	}
	if got.packed > 0 {
		l.ratios[partition].Store(uint32(min(got.unpacked*100/got.packed, 10_000)))
	}
	return batch, nil
}

// Topic implements [eventlog.Inspector]. It queries the cluster each time, as its answer is how a
// reader notices that the topic was created again.
func (l *Log) Topic(ctx context.Context) (eventlog.Topic, error) {
	ctx, cancel := context.WithTimeout(ctx, l.config.RequestTimeout)
	defer cancel()
	var last error
	for wait := (pauses{}); ; {
		m, err := l.cluster.fetchMetadata(ctx)
		if err == nil {
			err = m.fault
		}
		if err == nil {
			return eventlog.Topic{
				Name: l.config.Topic, ID: hex.EncodeToString(m.topicID[:]),
				Partitions: int32(len(m.leaders)),
			}, nil
		}
		if ctx.Err() == nil {
			last = err
		}
		if temporary(err) {
			if wait.sleep(ctx) {
				continue
			}
			err = unavailable(ctx, last)
		}
		return eventlog.Topic{}, fmt.Errorf("describe topic %s: %w", l.config.Topic, err)
	}
}

// Bounds implements [eventlog.Inspector]. Kafka's request is by the topic's name, so the id is
// checked against the metadata.
func (l *Log) Bounds(ctx context.Context, partition int32) (start, end int64, err error) {
	if err := l.checkPartition(partition); err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.config.RequestTimeout)
	defer cancel()
	err = l.cluster.do(ctx, partition, func(c *conn, m *metadata) error {
		if err := l.checkTopicID(m); err != nil {
			return err
		}
		if start, err = c.offset(l.config.Topic, partition, atStart); err == nil {
			end, err = c.offset(l.config.Topic, partition, atEnd)
		}
		return err
	})
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of partition %d: %w", partition, err)
	}
	return start, end, nil
}

func (l *Log) checkPartition(n int32) error {
	if n < 0 || int(n) >= len(l.writers) {
		return fmt.Errorf("partition %d: the log has partitions 0 to %d", n, len(l.writers)-1)
	}
	return nil
}

// checkTopicID fails when the topic is no longer the one that was opened.
func (l *Log) checkTopicID(m *metadata) error {
	if m.topicID != l.topicID {
		return fmt.Errorf("%w: %w", eventlog.ErrOffsetOutOfRange, errOtherTopic)
	}
	return nil
}

var errOtherTopic = errors.New("the topic was deleted and created again since it was opened")
