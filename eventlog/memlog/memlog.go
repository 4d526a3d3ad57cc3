// Package memlog implements the log in memory. It behaves as Kafka does wherever [eventlog]
// promises something, and the suite in package logtest proves that; tests and simulations use it
// where no broker is needed.
package memlog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// MaxRecordBytes is the largest record that a log in memory takes.
const MaxRecordBytes = 1 << 20

// Log is one process's view of a log in memory. It implements [eventlog.Log] and [eventlog.Group].
type Log struct {
	*store
	topicID string // of the topic as it was when this view was opened
}

// store is what all views share, the "broker".
type store struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced when anything below changes
	created int           // how often the topic was created
	parts   []part
	down    bool
	groups  map[string]*group
}

type part struct {
	start   int64 // the offset of records[0]
	records []eventlog.Record
}

func (p *part) end() int64 { return p.start + int64(len(p.records)) }

// New returns an empty log.
func New(partitions int32) *Log {
	s := &store{
		changed: make(chan struct{}), parts: make([]part, partitions), groups: map[string]*group{},
		created: 1,
	}
	return &Log{store: s, topicID: s.topicID()}
}

// Open returns another view of the same log, as another process has it: after [Log.Recreate], of
// the new topic.
func (l *Log) Open() *Log {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Log{store: l.store, topicID: l.store.topicID()}
}

func (s *store) topicID() string { return "memory-" + strconv.Itoa(s.created) }

// notify wakes everything that waits for a change. The lock is held.
func (s *store) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Append implements [eventlog.Appender].
func (l *Log) Append(
	ctx context.Context, school string, records []eventlog.Record,
) (domain.Position, error) {
	if len(records) == 0 {
		return domain.Position{}, fmt.Errorf("append to the log of school %q: no records", school)
	}
	for i := range records {
		if size := recordBytes(school, &records[i]); size > MaxRecordBytes {
			return domain.Position{}, fmt.Errorf("append record %d of %d bytes: %w", i, size,
				eventlog.ErrTooLarge)
		}
	}
	if err := ctx.Err(); err != nil {
		return domain.Position{}, fmt.Errorf("append to the log of school %q: %w: %w", school,
			eventlog.ErrUnavailable, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return domain.Position{}, fmt.Errorf("append to the log of school %q: %w", school,
			eventlog.ErrUnavailable)
	}
	n := eventlog.PartitionFor(school, int32(len(l.parts)))
	p := &l.parts[n]
	first := domain.Position{Partition: n, Offset: p.end()}
	for i := range records {
		p.records = append(p.records,
			copyRecord(&records[i], school, domain.Position{Partition: n, Offset: p.end()}))
	}
	l.notify()
	return first, nil
}

// copyRecord is a deep copy of a record, as it comes back from the log.
func copyRecord(r *eventlog.Record, school string, at domain.Position) eventlog.Record {
	c := eventlog.Record{
		Position: at, Time: time.Now().Truncate(time.Millisecond), Key: []byte(school),
		Value: slices.Clone(r.Value),
	}
	for _, h := range r.Headers {
		c.Headers = append(c.Headers, eventlog.Header{Key: h.Key, Value: slices.Clone(h.Value)})
	}
	return c
}

func recordBytes(school string, r *eventlog.Record) int {
	n := len(school) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// Fetch implements [eventlog.Fetcher].
func (l *Log) Fetch(
	ctx context.Context, partition int32, offset int64, maxBytes int, maxWait time.Duration,
) (eventlog.Batch, error) {
	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	for expired := maxWait <= 0; ; {
		l.mu.Lock()
		batch, err := l.read(partition, offset, maxBytes)
		changed := l.changed
		l.mu.Unlock()
		if err != nil {
			return eventlog.Batch{}, fmt.Errorf("fetch offset %d of partition %d: %w", offset,
				partition, err)
		}
		if len(batch.Records) > 0 || expired {
			return batch, nil
		}
		select {
		case <-ctx.Done():
			return eventlog.Batch{}, fmt.Errorf("fetch offset %d of partition %d: %w", offset,
				partition, ctx.Err())
		case <-timeout.C:
			expired = true
		case <-changed:
		}
	}
}

// read serves a fetch from the stored records. The lock is held.
func (l *Log) read(partition int32, offset int64, maxBytes int) (eventlog.Batch, error) {
	p, err := l.part(partition)
	if err != nil {
		return eventlog.Batch{}, err
	}
	if offset < p.start || offset > p.end() {
		return eventlog.Batch{}, fmt.Errorf("%w: it has %d to %d", eventlog.ErrOffsetOutOfRange,
			p.start, p.end())
	}
	batch := eventlog.Batch{Next: offset, HighWatermark: p.end(), LogStart: p.start}
	rest := p.records[offset-p.start:]
	n, size := 0, 0
	for n < len(rest) {
		size += recordBytes("", &rest[n])
		if n > 0 && size > maxBytes {
			break
		}
		n++
	}
	batch.Records = slices.Clone(rest[:n])
	batch.Next += int64(n)
	return batch, nil
}

// part returns a partition of the topic this view was opened on. The lock is held.
func (l *Log) part(n int32) (*part, error) {
	switch {
	case l.down:
		return nil, eventlog.ErrUnavailable
	case l.topicID != l.store.topicID():
		return nil, fmt.Errorf("%w: the topic was deleted and created again",
			eventlog.ErrOffsetOutOfRange)
	case n < 0 || int(n) >= len(l.parts):
		return nil, fmt.Errorf("there are partitions 0 to %d", len(l.parts)-1)
	}
	return &l.parts[n], nil
}

// Topic implements [eventlog.Inspector].
func (l *Log) Topic(context.Context) (eventlog.Topic, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return eventlog.Topic{}, fmt.Errorf("describe the topic: %w", eventlog.ErrUnavailable)
	}
	return eventlog.Topic{
		Name: "memory", ID: l.store.topicID(), Partitions: int32(len(l.parts)),
	}, nil
}

// Bounds implements [eventlog.Inspector].
func (l *Log) Bounds(_ context.Context, partition int32) (start, end int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.part(partition)
	if err != nil {
		return 0, 0, fmt.Errorf("bounds of partition %d: %w", partition, err)
	}
	return p.start, p.end(), nil
}

// Truncate removes the records before an offset, as retention does.
func (l *Log) Truncate(partition int32, before int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &l.parts[partition]
	before = min(max(before, p.start), p.end())
	p.records = slices.Clone(p.records[before-p.start:])
	p.start = before
	l.notify()
}

// Recreate deletes the topic and creates it again: empty, with a new id.
func (l *Log) Recreate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.parts)
	l.created++
	l.notify()
}

// Stop makes the log unavailable until [Log.Start].
func (l *Log) Stop() { l.setDown(true) }

// Start ends what [Log.Stop] began.
func (l *Log) Start() { l.setDown(false) }

func (l *Log) setDown(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	l.notify()
}
