package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/ledger"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Jobs measures how fast deliveries are planned into the ledger and done with a provider that does
// nothing, with each outcome put into the log; and how soon a delivery is picked up when there is
// no backlog. A peer does the same for comparison.
type Jobs struct {
	Pool       *pgxpool.Pool // of an empty ledger
	Log        eventlog.Log
	Encode     func(*domain.Envelope) (eventlog.Record, error)
	Decode     func(eventlog.Record) (*domain.Envelope, error)
	Peer       *JobsPeer // nil for none
	Deliveries int       // in a round, once for each of its stages
	Rounds     int
	Schools    int
	Rate       int           // deliveries a second while the pick-up is measured
	Pickup     time.Duration // how long it is measured
	Progress   Progress
}

// executeConcurrency is how many deliveries are executed at the same time: enough that the database,
// and not the number of workers, sets the limit.
const executeConcurrency = 1000

// Run measures.
func (b *Jobs) Run(ctx context.Context) (*Result, error) {
	r := &Result{
		Benchmark: "jobs",
		Setup: fmt.Sprintf(
			"%d deliveries of %d schools, %d at the same time, a provider that does nothing; pick-up at %d/s for %s; medians of %d rounds",
			b.Deliveries, b.Schools, executeConcurrency, b.Rate, b.Pickup, b.Rounds,
		),
	}
	ours, theirs := &jobsMeasured{}, &jobsMeasured{}
	for round := range b.Rounds {
		m, err := b.measure(ctx, round)
		if err != nil {
			return nil, err
		}
		ours.merge(m)
		if b.Peer == nil {
			continue
		}
		b.Progress.report("the same with %s", b.Peer.Name)
		if m, err = b.Peer.measure(ctx, b); err != nil {
			return nil, err
		}
		theirs.merge(m)
	}
	ours.add(r, "")
	if b.Peer != nil {
		r.Setup += "; " + b.Peer.Setup
		theirs.add(r, b.Peer.Name+": ")
		ours.compare(theirs, r, b.Peer.Name)
	}
	return r, nil
}

func (b *Jobs) measure(ctx context.Context, round int) (*jobsMeasured, error) {
	idle := &idleProvider{}
	l, err := ledger.New(ledger.Config{
		Pool: b.Pool, Encode: b.Encode, Log: b.Log, Source: b.Log, Decode: b.Decode, Workers: map[string]int{ledger.QueueNotification: executeConcurrency},
		Providers: map[consumers.Channel]consumers.Provider{consumers.InApp: idle},
	})
	if err != nil {
		return nil, err
	}
	from := round * (2*b.Deliveries + b.pickups())
	var planned, done, both float64
	b.Progress.report("planning %d deliveries", b.Deliveries)
	if planned, err = b.perSecond(func() error { return b.plan(ctx, l, from, b.Deliveries) }); err != nil {
		return nil, err
	}
	b.Progress.report("executing them")
	stop, ended := b.start(ctx, l)
	defer stop()
	if done, err = b.perSecond(func() error { return b.wait(ctx, l, idle, b.Deliveries) }); err != nil {
		return nil, err
	}
	b.Progress.report("planning and executing at the same time")
	if both, err = b.perSecond(func() error {
		if err := b.plan(ctx, l, from+b.Deliveries, b.Deliveries); err != nil {
			return err
		}
		return b.wait(ctx, l, idle, 2*b.Deliveries)
	}); err != nil {
		return nil, err
	}
	b.Progress.report("picking up")
	picked, err := b.pickUp(ctx, l, idle, from+2*b.Deliveries)
	if err != nil {
		return nil, err
	}
	stop()
	return &jobsMeasured{[]float64{planned}, []float64{done}, []float64{both}, picked}, <-ended
}

// pickups is how many deliveries are picked up in a round.
func (b *Jobs) pickups() int { return int(float64(b.Rate) * b.Pickup.Seconds()) }

// perSecond does all deliveries once, and returns how fast that was.
func (b *Jobs) perSecond(do func() error) (float64, error) {
	began := time.Now()
	err := do()
	return float64(b.Deliveries) / time.Since(began).Seconds(), err
}

// wait returns when the provider has been called n times, and every outcome is stored and in the
// log.
func (b *Jobs) wait(ctx context.Context, l *ledger.Ledger, idle *idleProvider, n int) error {
	if err := idle.wait(ctx, n); err != nil {
		return err
	}
	return b.settle(ctx, l)
}

func (b *Jobs) start(ctx context.Context, l *ledger.Ledger) (stop func(), ended <-chan error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		done <- l.Run(ctx)
	}()
	return func() { cancel(); <-finished }, done
}

// planConcurrency is how many deliveries one commit plans: what a backlog makes the engine do.
const planConcurrency = 1000

// plan stores deliveries, by two planners, as a process with two partitions would.
func (b *Jobs) plan(ctx context.Context, l *ledger.Ledger, from, n int) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for start := from; start < from+n; start += planConcurrency {
		g.Go(func() error {
			plans := make([]consumers.Planning, 0, planConcurrency)
			for i := start; i < min(start+planConcurrency, from+n); i++ {
				plans = append(plans, b.planning(i))
			}
			_, err := l.Commit(ctx, plans)
			return err
		})
	}
	return g.Wait()
}

func (b *Jobs) planning(i int) consumers.Planning {
	e := &domain.Envelope{
		ID: "e" + strconv.Itoa(i), Source: "bench", School: "school-" + strconv.Itoa(i%b.Schools),
		Type: "schoolbell.attendance.marked.v1", Time: time.Now(),
	}
	d := consumers.Delivery{
		Recipient: "g" + strconv.Itoa(i), Channel: consumers.InApp, Priority: consumers.Bulk,
		Template: "absence", Language: "en",
		Params: jsontext.Value(`{"student":"Ama Diallo","date":"2026-09-01","session":"day"}`),
	}
	d.Complete(e, "bench")
	return consumers.Planning{
		Event:      consumers.Event{Envelope: e, AppendedAt: e.Time, Replan: true},
		Deliveries: []consumers.Delivery{d},
	}
}

// settle waits until all outcomes are in the log.
func (b *Jobs) settle(ctx context.Context, l *ledger.Ledger) error {
	for {
		left, err := l.Unsettled(ctx)
		if err != nil || left == 0 {
			return err
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pickUp plans deliveries at a steady rate and returns for how many milliseconds each waited until
// its provider was called.
func (b *Jobs) pickUp(
	ctx context.Context, l *ledger.Ledger, idle *idleProvider, from int,
) ([]float64, error) {
	n := b.pickups()
	var mu sync.Mutex
	committed, called := map[string]time.Time{}, map[string]time.Time{}
	idle.watch(func(id string) {
		mu.Lock()
		defer mu.Unlock()
		called[id] = time.Now()
	})
	defer idle.watch(nil)
	// A steady rate, not one after the other: a queue that polls would look fast if each delivery
	// waited for the one before.
	tick := time.NewTicker(time.Second / time.Duration(b.Rate))
	defer tick.Stop()
	var g errgroup.Group
	for i := range n {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		g.Go(func() error {
			p := b.planning(from + i)
			_, err := l.Commit(ctx, []consumers.Planning{p})
			mu.Lock()
			defer mu.Unlock()
			committed[p.Deliveries[0].ID] = time.Now()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	if err := idle.wait(ctx, 2*b.Deliveries+n); err != nil {
		return nil, err
	}
	mu.Lock()
	defer mu.Unlock()
	took := make([]float64, 0, n)
	for id, at := range committed {
		took = append(took, max(0, called[id].Sub(at)).Seconds()*1000)
	}
	return took, nil
}

// idleProvider counts the calls it gets.
type idleProvider struct {
	calls   atomic.Int64
	watcher atomic.Pointer[func(id string)]
}

func (*idleProvider) Name() string { return "idle" }

func (*idleProvider) Abilities() consumers.Abilities { return consumers.Abilities{Idempotent: true} }

// Send implements [consumers.Provider].
func (p *idleProvider) Send(_ context.Context, d *consumers.Delivery) (consumers.Receipt, error) {
	if f := p.watcher.Load(); f != nil {
		(*f)(d.ID)
	}
	p.calls.Add(1)
	return consumers.Receipt{}, nil
}

func (p *idleProvider) watch(f func(id string)) {
	if f == nil {
		p.watcher.Store(nil)
		return
	}
	p.watcher.Store(&f)
}

var errStuck = errors.New("deliveries do not complete")

// wait returns when there have been n calls.
func (p *idleProvider) wait(ctx context.Context, n int) error {
	last, since := int64(-1), time.Now()
	for p.calls.Load() < int64(n) {
		if now := p.calls.Load(); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) > time.Minute {
			return fmt.Errorf("%w: %d of %d", errStuck, now, n)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
