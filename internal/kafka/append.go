package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// sharedBatch is how many bytes of records appends put together into one batch, before compression.
// Larger ones compress hardly better, and every call in a batch waits for all of it.
const sharedBatch = 1 << 20

// Append implements [eventlog.Appender]. The records' time is that of the append, not what they
// carry.
func (l *Log) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	at, err := l.append(ctx, school, records)
	l.metrics.appended(err)
	if err != nil {
		return domain.Position{}, fmt.Errorf("append %d records of school %q: %w", len(records),
			school, err)
	}
	return at, nil
}

func (l *Log) append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	size, err := l.measure(school, records)
	if err != nil {
		return domain.Position{}, err
	}
	if l.queued.Add(int64(size)) > int64(l.config.MaxQueueBytes) {
		l.queued.Add(int64(-size))
		return domain.Position{}, eventlog.ErrOverloaded
	}
	defer l.queued.Add(int64(-size))
	writer := &l.writers[eventlog.PartitionFor(school, int32(len(l.writers)))]
	call := &appendCall{school: school, records: records, size: size, done: make(chan struct{})}
	ctx, cancel := context.WithTimeout(ctx, l.config.AppendTimeout)
	defer cancel()
	if err := writer.push(call); err != nil {
		return domain.Position{}, err
	}
	select {
	case <-call.done:
	case <-ctx.Done():
		// The batch may be on its way to the broker: the caller learns that the outcome is unknown.
		writer.abandon(ctx, call)
	}
	return domain.Position{Partition: writer.partition, Offset: call.offset}, call.err
}

// measure refuses what the broker would refuse, before it shares a batch with the records of others.
func (l *Log) measure(school string, records []eventlog.Record) (size int, err error) {
	if len(records) == 0 {
		return 0, errors.New("no records")
	}
	for i := range records {
		n := recordBytes(school, &records[i])
		if n > l.config.MaxRecordBytes {
			return 0, fmt.Errorf("record %d has %d bytes, at most %d are taken: %w", i, n,
				l.config.MaxRecordBytes, eventlog.ErrTooLarge)
		}
		size += n
	}
	if size > l.config.MaxBatchBytes {
		return 0, fmt.Errorf("the records have %d bytes, at most %d are taken at once: %w", size,
			l.config.MaxBatchBytes, eventlog.ErrTooLarge)
	}
	return size, nil
}

// appendCall is one Append on its way. Its result is set before done is closed and read after.
type appendCall struct {
	school  string
	records []eventlog.Record
	size    int
	done    chan struct{}
	offset  int64
	err     error
}

func (c *appendCall) finish(offset int64, err error) {
	c.offset, c.err = offset, err
	close(c.done)
}

func (c *appendCall) finished() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// partitionWriter writes one partition: one batch at a time, so that nothing overtakes. Its
// goroutine lives only while there is something to write.
type partitionWriter struct {
	log       *Log
	partition int32

	mu           sync.Mutex // also guards the end of each call
	queue        []*appendCall
	inFlight     []*appendCall           // the batch under way
	cancelFlight context.CancelCauseFunc // ends it, when no caller waits for it any more
	fault        error                   // why the last attempt to write it failed
	busy         bool
	closed       bool
}

func (w *partitionWriter) push(call *appendCall) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, errClosed)
	}
	w.queue = append(w.queue, call)
	if !w.busy {
		w.busy = true
		w.log.writing.Go(w.run)
	}
	return nil
}

func (w *partitionWriter) setFault(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = err
}

func (w *partitionWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
}

// abandon ends a call whose time is over. If it was not yet sent it never will be; if it was, it
// may or may not be in the log.
func (w *partitionWriter) abandon(ctx context.Context, call *appendCall) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if call.finished() {
		return
	}
	w.queue = slices.DeleteFunc(w.queue, func(c *appendCall) bool { return c == call })
	call.finish(0, unavailable(ctx, w.fault)) // such as too few replicas in sync
	if len(w.inFlight) > 0 &&
		!slices.ContainsFunc(w.inFlight, func(c *appendCall) bool { return !c.finished() }) {
		w.cancelFlight(errAbandoned)
	}
}

// run writes until the queue is empty.
func (w *partitionWriter) run() {
	for {
		batch, ctx, done := w.next()
		if batch == nil {
			return
		}
		w.write(ctx, batch)
		done(nil)
	}
}

// next takes as many appends from the queue as share a batch.
func (w *partitionWriter) next() ([]*appendCall, context.Context, context.CancelCauseFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, size := 0, 0
	for n < len(w.queue) && (n == 0 || size+w.queue[n].size <= sharedBatch) {
		size += w.queue[n].size
		n++
	}
	w.inFlight = slices.Clone(w.queue[:n])
	w.queue = slices.Delete(w.queue, 0, n)
	if n == 0 {
		w.busy, w.queue, w.inFlight = false, nil, nil
		return nil, nil, nil
	}
	ctx, cancel := context.WithCancelCause(w.log.ctx)
	w.cancelFlight = cancel
	return w.inFlight, ctx, cancel
}

// write puts one batch into the log, as often as it takes.
func (w *partitionWriter) write(ctx context.Context, batch []*appendCall) {
	var (
		l       = w.log
		waiting []*appendCall
		encoded []byte
		base    int64
	)
	err := l.cluster.do(ctx, w.partition, func(c *conn, m *metadata) error {
		if m.topicID != l.topicID {
			return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, errOtherTopic)
		}
		now := time.Now()
		// calls that have timed out are not written again
		if remaining := w.waiting(batch); len(remaining) != len(waiting) {
			if len(remaining) == 0 {
				return errAbandoned
			}
			waiting, encoded = remaining, l.codec.encode(remaining, now)
		}
		var err error
		base, err = c.produce(l.config.Topic, w.partition, encoded, l.config.RequestTimeout)
		l.metrics.produceSeconds.Observe(time.Since(now).Seconds())
		w.setFault(err)
		return err
	})
	switch {
	case err == nil:
		records := 0
		for _, call := range waiting {
			w.finish(call, base+int64(records), nil)
			records += len(call.records)
		}
		l.metrics.batchRecords.Observe(float64(records))
	case isTooLarge(err) && len(waiting) > 1: // together only, perhaps
		for _, call := range waiting {
			w.write(ctx, []*appendCall{call})
		}
	case isTooLarge(err):
		w.fail(batch, fmt.Errorf("%w: %w", eventlog.ErrTooLarge, err))
	default:
		w.fail(batch, err)
	}
}

var errAbandoned = errors.New("no caller waits for the records any more")

func isTooLarge(err error) bool {
	return errors.Is(err, kafkago.MessageSizeTooLarge) || errors.Is(err, kafkago.RecordListTooLarge)
}

// waiting returns the calls of a batch whose callers have not given up.
func (w *partitionWriter) waiting(batch []*appendCall) []*appendCall {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(batch), (*appendCall).finished)
}

func (w *partitionWriter) fail(batch []*appendCall, err error) {
	for _, call := range batch {
		w.finish(call, 0, err)
	}
}

func (w *partitionWriter) finish(call *appendCall, offset int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !call.finished() {
		call.finish(offset, err)
	}
}
