package ingest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
)

const (
	fetchWait = 500 * time.Millisecond
	// appendsAtATime bounds the schools of a batch that are appended at the same time.
	appendsAtATime = 64
	// maxEvents is how many events one append has at most, which keeps it below the log's limit for
	// any events that are valid.
	maxEvents = 1000
)

// worker reads one partition of an inbox.
type worker struct {
	*Reader
	topic      Topic
	described  eventlog.Topic
	assignment eventlog.Assignment
	epoch      int64 // of the claim
	waiting    map[int32]*waiting
	lag        prometheus.Gauge
	failing    prometheus.Gauge
}

func (r *Reader) worker(topic Topic, described eventlog.Topic, a eventlog.Assignment) *worker {
	name, n := r.cfg.Source.Topic, strconv.Itoa(int(a.Partition))
	return &worker{
		Reader: r, topic: topic, described: described, assignment: a,
		lag:     r.cfg.Letters.Metrics.lag.WithLabelValues(name, n),
		failing: r.cfg.Letters.Metrics.failing.WithLabelValues(name, n),
	}
}

// leave takes the partition out of what this process reports.
func (w *worker) leave() {
	w.setFault(w.assignment.Partition, nil)
	n := strconv.Itoa(int(w.assignment.Partition))
	w.cfg.Letters.Metrics.lag.DeleteLabelValues(w.cfg.Source.Topic, n)
	w.cfg.Letters.Metrics.failing.DeleteLabelValues(w.cfg.Source.Topic, n)
}

// consumer is the name under which positions are stored. The topic's id is part of it: a topic that
// was deleted and created again is another inbox, which is read from its beginning.
func (w *worker) consumer() string { return w.group() + "." + w.described.ID }

// lease reads the partition from the position that is stored until the first error.
func (w *worker) lease(ctx context.Context) (err error) {
	defer func() {
		if err != nil && ctx.Err() == nil {
			w.failing.Set(1)
		}
	}()
	partition := w.assignment.Partition
	next, epoch, err := w.positions.Claim(ctx, w.consumer(), w.described, partition)
	if err != nil {
		return err
	}
	w.epoch = epoch
	if err := w.loadWaiting(ctx); err != nil {
		return err
	}
	// Both are stored after the append. A database that was restored from a backup is behind.
	next = max(next, w.assignment.Stored)
	start, end, err := w.topic.Bounds(ctx, partition)
	if err != nil {
		return err
	}
	if next > end { // the group's offset is of an earlier topic of this name
		next = start
	}
	for {
		if err := w.catchUp(ctx, next); err != nil {
			return err
		}
		wait := fetchWait
		if w.catchesUp() {
			wait = 0
		}
		batch, letters, err := w.fetch(ctx, next, wait)
		if err != nil {
			return err
		}
		if err := w.bring(ctx, next, batch.Records, letters); err != nil {
			return err
		}
		if batch.Next > next {
			next = batch.Next
			if err := w.positions.Save(ctx, w.consumer(), w.described, partition, epoch,
				next, eventlog.Mark{}); err != nil {
				return err
			}
			w.assignment.Committed(next)
		}
		w.lag.Set(float64(max(0, batch.HighWatermark-next)))
		w.failing.Set(map[bool]float64{true: 1}[len(w.waiting) > 0])
		w.setFault(partition, w.waits())
	}
}

// fetch reads on from an offset. What cannot be read and never will be becomes a dead letter.
func (w *worker) fetch(
	ctx context.Context, next int64, wait time.Duration,
) (batch eventlog.Batch, letters []deadletter.Letter, err error) {
	partition := w.assignment.Partition
	batch, err = w.topic.Fetch(ctx, partition, next, w.cfg.Batch, wait)
	letter := func(first, last int64, why string) {
		letters = []deadletter.Letter{{
			Kind: deadletter.Inbox, Topic: w.cfg.Source.Topic,
			Position: domain.Position{Partition: partition, Offset: first}, Last: last,
			Faults: []domain.Fault{{Reason: why}}, At: time.Now(),
		}}
		batch.Next = last + 1
	}
	if undecodable, ok := errors.AsType[*eventlog.UndecodableError](err); ok {
		w.cfg.Letters.Metrics.records.WithLabelValues(w.cfg.Source.Topic, "undecodable").Inc()
		letter(undecodable.First, undecodable.Last, undecodable.Error())
		return batch, letters, nil
	}
	if !errors.Is(err, eventlog.ErrOffsetOutOfRange) {
		return batch, nil, err
	}
	start, end, boundsErr := w.topic.Bounds(ctx, partition)
	if boundsErr != nil || start <= next || start > end {
		return batch, nil, errors.Join(err, boundsErr)
	}
	if next > 0 { // at 0 nothing of it was ever read: there is no gap in what was
		letter(next, start-1, fmt.Sprintf("the topic removed offsets %d to %d before they were "+
			"read: its retention is shorter than Schoolbell was away", next, start-1))
	}
	batch.Next = start
	return batch, letters, nil
}

// bring appends what may enter the log of a batch from an offset on, and makes dead letters of the
// rest. What goes to a partition of the log that is refused waits.
func (w *worker) bring(
	ctx context.Context, from int64, records []eventlog.Record, letters []deadletter.Letter,
) error {
	events, unfit := w.check(records)
	refused, err := w.append(ctx, events, func(p int32) bool { return w.waiting[p] == nil })
	if err != nil {
		return err
	}
	for _, partition := range refused {
		if err := w.hold(ctx, partition, from); err != nil {
			return err
		}
	}
	w.count("refused", len(unfit))
	for i := range records {
		if records[i].Value == nil {
			w.count("tombstone", 1)
		}
	}
	return w.cfg.Letters.Write(ctx, append(letters, unfit...))
}

// check returns the events that may enter the log, by school, and dead letters of those that may not.
func (w *worker) check(
	records []eventlog.Record,
) (bySchool map[string][]*domain.Envelope, unfit []deadletter.Letter) {
	bySchool = map[string][]*domain.Envelope{}
	for i := range records {
		rec := &records[i]
		if rec.Value == nil {
			continue
		}
		event, err := w.cfg.Source.Check(rec)
		if err != nil {
			letter := deadletter.Of(deadletter.Inbox, w.cfg.Source.Topic, rec, err)
			letter.School = event.School
			letter.EventID, letter.Type = event.ID, event.Type
			unfit = append(unfit, letter)
			continue
		}
		bySchool[event.School] = append(bySchool[event.School], event)
	}
	return bySchool, unfit
}

// append appends the events of the schools whose partition of the log is taken, all at the same
// time, and returns which partitions are refused.
func (w *worker) append(
	ctx context.Context, bySchool map[string][]*domain.Envelope, takes func(int32) bool,
) (refused []int32, err error) {
	var mu sync.Mutex
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(appendsAtATime)
	for school, events := range bySchool {
		partition := eventlog.PartitionFor(school, w.cfg.Partitions)
		if !takes(partition) {
			continue
		}
		all.Go(func() error {
			for part := range slices.Chunk(events, maxEvents) {
				err := w.writer.Append(ctx, school, part)
				if errors.Is(err, eventlog.ErrRefused) {
					mu.Lock()
					defer mu.Unlock()
					if !slices.Contains(refused, partition) {
						refused = append(refused, partition)
					}
					return nil
				}
				if err != nil {
					return fmt.Errorf("append events of school %s: %w", school, err)
				}
				w.count("accepted", len(part))
			}
			return nil
		})
	}
	err = all.Wait()
	return refused, err
}

func (w *worker) count(result string, n int) {
	w.cfg.Letters.Metrics.records.WithLabelValues(w.cfg.Source.Topic, result).Add(float64(n))
}
