package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/projections"
)

// Project measures how fast a backlog is projected, from the log to committed rows. Next to it stand
// the ceiling (the very same rows, folded beforehand and only written) and the naive way (one
// transaction for each event).
type Project struct {
	Log    eventlog.Log // empty
	Set    *projections.Set
	Decode projections.Decode
	Encode func(*domain.Envelope) (eventlog.Record, error)
	// Fresh returns a store on an empty database, and how to get rid of it.
	Fresh    func(ctx context.Context) (store projections.Store, discard func() error, err error)
	School   simulate.Config
	Events   int // as many as the simulation gives, when that is fewer
	Rounds   int
	Progress Progress
}

// naiveDuration is how long the naive way is watched: it would take minutes to finish.
const naiveDuration = 3 * time.Second

// Run measures.
func (p *Project) Run(ctx context.Context) (*Result, error) {
	p.Progress.report("writing %d events to the log", p.Events)
	events, err := p.fill(ctx)
	if err != nil {
		return nil, err
	}
	ends, err := p.ends(ctx)
	if err != nil {
		return nil, err
	}
	var projected, ceiling, folded []float64
	var rows int
	for round := range p.Rounds {
		p.Progress.report("round %d of %d: projecting", round+1, p.Rounds)
		took, recorder, err := p.project(ctx, ends, 0)
		if err != nil {
			return nil, err
		}
		projected = append(projected, float64(events)/took.Seconds())
		p.Progress.report("round %d of %d: writing the same rows", round+1, p.Rounds)
		if took, err = p.replay(ctx, recorder); err != nil {
			return nil, err
		}
		rows = recorder.rows()
		ceiling = append(ceiling, float64(events)/took.Seconds())
		p.Progress.report("round %d of %d: folding without a store", round+1, p.Rounds)
		if took, err = p.fold(ctx, ends); err != nil {
			return nil, err
		}
		folded = append(folded, float64(events)/took.Seconds())
	}
	p.Progress.report("one transaction for each event")
	naive, err := p.naive(ctx, ends)
	if err != nil {
		return nil, err
	}
	r := &Result{
		Benchmark: "project",
		Setup: fmt.Sprintf(
			"%d events of %d schools, %d rows written, %d projections, %d partitions, median of %d rounds",
			events, p.School.Schools, rows, len(p.Set.Projections()), len(ends), p.Rounds,
		),
	}
	r.add("projected", median(projected), "events/s", "from the log to committed rows")
	r.add("ceiling", median(ceiling), "events/s", "the same rows, only written")
	r.add("projected / ceiling", median(projected)/median(ceiling), "", "")
	r.add("fetched, decoded and folded", median(folded), "events/s", "without a store")
	r.add("naive", naive, "events/s", "one transaction for each event")
	r.add("projected / naive", median(projected)/naive, "×", "")
	return r, nil
}

// fill writes the simulated events and returns how many there were.
func (p *Project) fill(ctx context.Context) (int, error) {
	topic, err := p.Log.Topic(ctx)
	if err != nil {
		return 0, fmt.Errorf("describe the log: %w", err)
	}
	type block struct {
		school  string
		records []eventlog.Record
	}
	group, ctx := errgroup.WithContext(ctx)
	// a queue for each partition keeps every school's order
	queues := make([]chan block, topic.Partitions)
	for i := range queues {
		queues[i] = make(chan block, 4)
		group.Go(func() error {
			for b := range queues[i] {
				if _, err := p.Log.Append(ctx, b.school, b.records); err != nil {
					return fmt.Errorf("fill the log: %w", err)
				}
			}
			return nil
		})
	}
	total := 0
	group.Go(func() error {
		defer func() {
			for _, q := range queues {
				close(q)
			}
		}()
		// One append holds events of one school, so they are collected by school.
		pending := map[string][]eventlog.Record{}
		send := func(school string) error {
			select {
			case queues[eventlog.PartitionFor(school, topic.Partitions)] <- block{school, pending[school]}:
				delete(pending, school)
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for e := range p.School.Events() {
			rec, err := p.Encode(e)
			if err != nil {
				return err
			}
			pending[e.School] = append(pending[e.School], rec)
			total++
			if len(pending[e.School]) == 500 {
				if err := send(e.School); err != nil {
					return err
				}
			}
			if total == p.Events {
				break
			}
		}
		for school := range pending {
			if err := send(school); err != nil {
				return err
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return 0, err
	}
	return total, nil
}

// ends returns the end of each partition that is not empty.
func (p *Project) ends(ctx context.Context) (map[int32]int64, error) {
	topic, err := p.Log.Topic(ctx)
	if err != nil {
		return nil, fmt.Errorf("describe the log: %w", err)
	}
	ends := map[int32]int64{}
	for i := range topic.Partitions {
		_, end, err := p.Log.Bounds(ctx, i)
		if err != nil {
			return nil, fmt.Errorf("find the end of partition %d: %w", i, err)
		}
		if end > 0 {
			ends[i] = end
		}
	}
	return ends, nil
}

// project runs the engine from the beginning of the log to its end and returns how long it took,
// from the first claim to the last commit, and what it wrote.
func (p *Project) project(
	ctx context.Context, ends map[int32]int64, maxBatch int,
) (time.Duration, *recorder, error) {
	store, discard, err := p.Fresh(ctx)
	if err != nil {
		return 0, nil, err
	}
	recorder := newRecorder(store, ends)
	err = p.drive(ctx, recorder, maxBatch)
	return recorder.took(), recorder, errors.Join(err, discard())
}

// fold runs the engine on a store that discards everything.
func (p *Project) fold(ctx context.Context, ends map[int32]int64) (time.Duration, error) {
	recorder := newRecorder(discardStore{}, ends)
	recorder.forget = true
	err := p.drive(ctx, recorder, 0)
	return recorder.took(), err
}

// drive runs the engine until the recorder is at the end of the log.
func (p *Project) drive(ctx context.Context, recorder *recorder, maxBatch int) error {
	engine, err := projections.NewEngine(projections.Config{
		Name: "bench", Set: p.Set, Log: p.Log, Group: p.Log, Store: recorder, Decode: p.Decode, MaxBatch: maxBatch,
	})
	if err != nil {
		return fmt.Errorf("prepare engine: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	select {
	case <-recorder.done:
		cancel()
		<-ended //nolint:errcheck // it was stopped
		return nil
	case err := <-ended:
		return errors.Join(errors.New("engine ended before the log did"), err)
	}
}

// naive returns the rate of one transaction for each event.
func (p *Project) naive(ctx context.Context, ends map[int32]int64) (float64, error) {
	store, discard, err := p.Fresh(ctx)
	if err != nil {
		return 0, err
	}
	recorder := newRecorder(store, ends)
	recorder.forget = true
	recorder.limit = naiveDuration
	err = p.drive(ctx, recorder, 1)
	return float64(recorder.events()) / recorder.took().Seconds(), errors.Join(err, discard())
}

// replay writes what a recorder holds to a fresh store, the partitions side by side as the engine
// does it.
func (p *Project) replay(ctx context.Context, recorder *recorder) (took time.Duration, err error) {
	store, discard, err := p.Fresh(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, discard()) }()
	topic, err := p.Log.Topic(ctx)
	if err != nil {
		return 0, fmt.Errorf("describe the log: %w", err)
	}
	claims := map[int32]projections.Claim{}
	for partition := range recorder.commits {
		if claims[partition], err = store.Claim(ctx, partition, topic.ID); err != nil {
			return 0, fmt.Errorf("claim partition %d: %w", partition, err)
		}
	}
	start := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for partition, commits := range recorder.commits {
		group.Go(func() error {
			for _, c := range commits {
				if err := store.Commit(ctx, claims[partition], c); err != nil {
					return fmt.Errorf("write the rows of partition %d again: %w", partition, err)
				}
			}
			return nil
		})
	}
	err = group.Wait()
	return time.Since(start), err
}

// recorder is a store that records what was committed to the one behind it, and when.
type recorder struct {
	projections.Store
	forget bool          // store no rows
	limit  time.Duration // be done after so long

	mu      sync.Mutex
	started time.Time
	ended   time.Time
	ends    map[int32]int64
	at      map[int32]int64
	commits map[int32][]*projections.Commit
	left    int
	done    chan struct{}
}

func newRecorder(store projections.Store, ends map[int32]int64) *recorder {
	return &recorder{
		Store: store, ends: ends, at: map[int32]int64{}, commits: map[int32][]*projections.Commit{},
		left: len(ends), done: make(chan struct{}),
	}
}

func (t *recorder) Claim(
	ctx context.Context, partition int32, topicID string,
) (projections.Claim, error) {
	t.mu.Lock()
	if t.started.IsZero() {
		t.started = time.Now()
	}
	t.mu.Unlock()
	return t.Store.Claim(ctx, partition, topicID)
}

func (t *recorder) Commit(
	ctx context.Context, claim projections.Claim, c *projections.Commit,
) error {
	if err := t.Store.Commit(ctx, claim, c); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left == 0 {
		return nil
	}
	// Commits are stored by reference to their rows: a copy would be charged to the engine.
	if !t.forget {
		c := *c // the engine reuses its own
		t.commits[claim.Partition] = append(t.commits[claim.Partition], &c)
	}
	t.at[claim.Partition] = c.To
	t.ended = time.Now()
	if c.To == t.ends[claim.Partition] {
		t.left--
	}
	if t.limit > 0 && t.ended.Sub(t.started) > t.limit {
		t.left = 0
	}
	if t.left == 0 {
		close(t.done)
	}
	return nil
}

func (t *recorder) took() time.Duration { return t.ended.Sub(t.started) }

func (t *recorder) events() (n int64) {
	for _, at := range t.at {
		n += at
	}
	return n
}

func (t *recorder) rows() (n int) {
	for _, commits := range t.commits {
		for _, c := range commits {
			for _, set := range c.Rows {
				n += set.Len()
			}
		}
	}
	return n
}

// discardStore is a store that discards everything.
type discardStore struct{}

func (discardStore) Claim(_ context.Context, partition int32, _ string) (projections.Claim, error) {
	return projections.Claim{Partition: partition, Epoch: 1}, nil
}

func (discardStore) Refuse(context.Context, projections.Claim, *eventlog.Refusal) error { return nil }

func (discardStore) Lookup(context.Context, []projections.Lookup) error { return nil }

func (discardStore) Commit(context.Context, projections.Claim, *projections.Commit) error {
	return nil
}

func (discardStore) Parked(context.Context, int32) ([]projections.ParkedSubject, error) {
	return nil, nil
}

func (discardStore) FindParked(
	context.Context, int32, int64,
) (key projections.SubjectKey, state projections.EventState, err error) {
	return key, state, nil
}

func (discardStore) ParkedEvents(
	context.Context, int32, projections.SubjectKey, int,
) ([]eventlog.Record, error) {
	return nil, nil
}
