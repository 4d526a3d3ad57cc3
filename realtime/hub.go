package realtime

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Hub connects the sessions of one node with the log. Lock order: partition.mu, then school.mu.
type Hub struct {
	cfg       Config
	metrics   *metrics
	grants    *grantsCache
	readers   chan struct{}
	ringBytes int64 // of one partition

	started    chan struct{} // closed when what follows is set
	log        domain.LogID  // what the log is called
	signed     string        // names it in tokens
	partitions []*partition

	node       string // this hub's random name among all nodes
	lastID     atomic.Uint64
	sessions   atomic.Int64
	draining   atomic.Bool
	scheduler  *scheduler
	rechecks   chan *Session
	recheckAll atomic.Bool
	changes    changeBuffer
	requests   pendingRequests
	peers      peers
}

// New returns a hub, which [Hub.Run] starts.
func New(cfg Config) (*Hub, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure realtime: %w", err)
	}
	cfg = cfg.withDefaults()
	return &Hub{
		cfg:     cfg,
		node:    rand.Text()[:10],
		peers:   peers{now: cfg.Now},
		metrics: newMetrics(cfg.Registerer),
		grants: &grantsCache{
			rights: cfg.Rights, ttl: time.Minute, maxEntries: 100_000,
			now: cfg.Now, entries: map[grantsKey]grantsEntry{},
		},
		readers:   make(chan struct{}, maxReaders),
		started:   make(chan struct{}),
		scheduler: newScheduler(),
		rechecks:  make(chan *Session, 4096),
	}, nil
}

// Run tails the log until ctx ends. It fails if the log was replaced by another.
func (h *Hub) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	topic, err := h.findTopic(ctx)
	if err != nil {
		return h.end(err)
	}
	h.name(topic)
	h.ringBytes = int64(h.cfg.RingBytes) / int64(topic.Partitions)
	for n := range topic.Partitions {
		h.partitions = append(h.partitions, newPartition(h, n))
	}
	close(h.started)
	for _, p := range h.partitions {
		g.Go(func() error { return p.run(ctx) })
	}
	for range recheckers {
		g.Go(func() error { return h.runRechecks(ctx) })
	}
	g.Go(func() error { return h.sweep(ctx) })
	g.Go(func() error { return h.turnDays(ctx) })
	g.Go(func() error { return h.notifyDashboards(ctx) })
	g.Go(func() error { return h.runBus(ctx) })
	return h.end(g.Wait())
}

// name sets what the log is called. In tokens it is the topic's id, as long as nobody has accepted
// that it was set back.
func (h *Hub) name(topic eventlog.Topic) {
	h.log, h.signed = h.cfg.LogID, topic.ID
	if h.log != "" && h.log != domain.LogIDOf(topic.ID, 0) {
		h.signed += "-" + string(h.log)
	}
}

// end closes the sessions that are still open when the hub stops. It then waits for the scheduler,
// whose goroutines write the close messages.
func (h *Hub) end(err error) error {
	h.draining.Store(true)
	for _, s := range h.allSessions() {
		s.Close(CloseShutdown)
	}
	h.scheduler.wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// findTopic waits for the log: a node may be started before Kafka can be reached.
func (h *Hub) findTopic(ctx context.Context) (eventlog.Topic, error) {
	for {
		topic, err := h.cfg.Log.Topic(ctx)
		if err == nil {
			return topic, nil
		}
		h.cfg.Logger.WarnContext(ctx, "describe the log", "error", err)
		select {
		case <-ctx.Done():
			return topic, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// Ready waits until the hub follows the end of the log in all partitions.
func (h *Hub) Ready(ctx context.Context) error {
	if err := h.wait(ctx, h.started); err != nil {
		return err
	}
	for _, p := range h.partitions {
		if err := h.wait(ctx, p.ready); err != nil {
			return err
		}
	}
	return nil
}

func (h *Hub) wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the log: %w", ctx.Err())
	}
}

func (h *Hub) partitionOf(school string) int32 {
	return eventlog.PartitionFor(school, int32(len(h.partitions)))
}

// allSessions lists the open sessions.
func (h *Hub) allSessions() []*Session {
	var all []*Session
	h.eachSchool(func(sc *school) {
		for _, sessions := range sc.sessions {
			all = append(all, sessions...)
		}
	})
	return all
}

// eachSchool calls look for all schools, with the school's lock held for reading. Before the topic
// is known there are none; the partitions must not be read until then.
func (h *Hub) eachSchool(look func(sc *school)) {
	select {
	case <-h.started:
	default:
		return
	}
	for _, p := range h.partitions {
		p.mu.RLock()
		for _, sc := range p.schools {
			sc.mu.RLock()
			look(sc)
			sc.mu.RUnlock()
		}
		p.mu.RUnlock()
	}
}

// school returns a school that has sessions or recent events on this node, else nil.
func (h *Hub) school(name string) *school {
	select {
	case <-h.started:
	default:
		return nil
	}
	p := h.partitions[h.partitionOf(name)]
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.schools[name]
}

func (h *Hub) revoked(identity Identity) bool {
	return h.cfg.Revoked != nil && h.cfg.Revoked(identity)
}
