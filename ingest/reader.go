package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/checkpoint"
)

// Topic is an inbox as it is read: committed records only, shared out among the processes of a
// group. Package internal/kafka implements it.
type Topic interface {
	eventlog.Group
	eventlog.Fetcher
	eventlog.Inspector
	Close() error
}

// Config is what a reader is made of. A zero value means the default in parentheses.
type Config struct {
	Source Source                               // required
	Open   func(context.Context) (Topic, error) // required
	Log    string                               // the topic of the log, required
	// Partitions of the log; required.
	Partitions int32
	Letters    *Letters     // required; its writer, pool and metrics are used too
	Logger     *slog.Logger // (none)
	// bytes that are fetched, checked and appended at a time (1 MiB)
	Batch int
}

// Reader brings the events of one inbox to the log.
type Reader struct {
	cfg       Config
	writer    Writer
	positions *checkpoint.Groups

	mu     sync.Mutex
	faults map[int32]error // by partition; -1 is the topic
}

// errFenced: another process has taken the partition over.
var errFenced = errors.New("another process reads this partition now")

// NewReader returns a reader that does not run yet.
func NewReader(cfg Config) *Reader {
	cfg.Batch = cmp.Or(cfg.Batch, 1<<20)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Logger = cfg.Logger.With("inbox", cfg.Source.Topic)
	writer := cfg.Letters.Writer
	writer.Hold = 0 // an inbox is read more slowly instead of refusing
	return &Reader{
		cfg: cfg, writer: writer, positions: checkpoint.NewGroups(cfg.Letters.Pool, errFenced, nil),
		faults: map[int32]error{},
	}
}

// Name is what the reader is called where its state is shown.
func (r *Reader) Name() string { return "inbox " + r.cfg.Source.Topic }

// Probe returns why events of the inbox do not get into the log at the moment.
func (r *Reader) Probe(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []error
	for _, err := range r.faults {
		all = append(all, err)
	}
	return errors.Join(all...)
}

func (r *Reader) setFault(partition int32, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.faults, partition)
		return
	}
	r.faults[partition] = err
}

// Run reads the inbox until ctx ends. A topic that cannot be opened, for example because of missing
// rights, is tried again: it is no reason to refuse the events of others.
func (r *Reader) Run(ctx context.Context) error {
	return r.persist(ctx, -1, "open the inbox", func(ctx context.Context) error {
		topic, err := r.cfg.Open(ctx)
		if err != nil {
			return err
		}
		defer topic.Close()
		described, err := topic.Topic(ctx)
		if err != nil {
			return err
		}
		r.setFault(-1, nil)
		return topic.Consume(ctx, r.group(), func(ctx context.Context, a eventlog.Assignment) error {
			w := r.worker(topic, described, a)
			defer w.leave()
			return r.persist(ctx, a.Partition, "read the inbox", w.lease)
		})
	})
}

// group is the name of the inbox's group in Kafka. The log's topic is part of it: two installations
// that read the same inbox each get all of it.
func (r *Reader) group() string {
	return fmt.Sprintf("schoolbell-inbox.%s.%s", r.cfg.Source.Topic, r.cfg.Log)
}

// persist repeats what fails, ever more slowly, until ctx ends.
func (r *Reader) persist(
	ctx context.Context, partition int32, what string, do func(context.Context) error,
) error {
	delay := &backoff.ExponentialBackOff{
		InitialInterval: 100 * time.Millisecond, MaxInterval: 5 * time.Second, Multiplier: 2,
		RandomizationFactor: 0.2,
	}
	began := time.Now()
	for {
		err := do(ctx)
		if ctx.Err() != nil || err == nil {
			return nil //nolint:nilerr // that ctx has ended is no failure
		}
		if time.Since(began) > time.Minute { // it had worked
			delay.Reset()
		}
		began = time.Now()
		wait := delay.NextBackOff()
		r.setFault(partition, fmt.Errorf("cannot %s, partition %d: %w", what, partition, err))
		r.cfg.Logger.WarnContext(ctx, "cannot "+what+", trying again",
			"partition", partition, "error", err, "in", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
	}
}
