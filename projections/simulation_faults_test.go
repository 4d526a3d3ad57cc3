package projections_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/projections"
)

// process is an engine with its own connection to the log.
type process struct {
	cable *cable
	store *flakyStore
	kill  context.CancelFunc
}

func (s *simulation) start() {
	if len(s.processes) == 4 {
		return
	}
	ctx, cancel := context.WithCancel(s.Context())
	p := &process{cable: &cable{network: s.network}, store: s.newFlakyStore(), kill: cancel}
	log := s.openLog(p.cable)
	cfg := projections.Config{
		Name: "test", Set: s.set, Log: log, Group: quietGroup{log, s.group}, Store: p.store,
		Decode: cloudevents.Decode,
		Window: simulationWindow, MaxBatch: 1 + s.roll(12), MaxRows: 1 + s.roll(12),
		Logger: s.logger.With("process", s.started),
	}
	if s.bug != nil {
		s.bug(&cfg)
	}
	e, err := projections.NewEngine(cfg)
	require.NoError(s, err)
	s.processes = append(s.processes, p)
	s.ended.Go(func() {
		for ctx.Err() == nil {
			if err := e.Run(ctx); err != nil {
				s.logger.Warn("engine ended", "error", err)
				<-time.After(time.Second)
			}
		}
		_ = log.Close() // may find the cable cut
	})
}

func (s *simulation) some() *process {
	if len(s.processes) == 0 {
		return nil
	}
	return s.processes[s.roll(len(s.processes))]
}

func (s *simulation) remove(p *process) {
	for i, other := range s.processes {
		if other == p {
			s.processes = append(s.processes[:i], s.processes[i+1:]...)
			return
		}
	}
}

func (s *simulation) stop(p *process) {
	s.remove(p)
	p.kill()
}

// crash ends a process without a word to anybody. What it has sent to the store may still arrive.
func (s *simulation) crash(p *process) {
	s.remove(p)
	p.cable.cut()
	p.store.gone.Store(true)
	p.kill()
}

// silence cuts a process off from the log for a while. It continues folding what it has read, and
// learns only later that its partitions belong to others.
func (s *simulation) silence(p *process) {
	p.cable.cut()
	after := s.between(time.Second, time.Minute)
	s.ended.Go(func() {
		<-time.After(after)
		p.cable.repair()
	})
}

// quietGroup does not tell Kafka how far its members are. kafka-go sends that on the connection
// that heartbeats use, and holds a mutex while it waits for an answer; on a silent connection
// simulated time would then stand still for ever.
type quietGroup struct {
	eventlog.Group
	suffix string
}

func (g quietGroup) Consume(
	ctx context.Context, group string, own func(context.Context, eventlog.Assignment) error,
) error {
	return g.Group.Consume(ctx, group+g.suffix,
		func(ctx context.Context, a eventlog.Assignment) error {
			a.Committed = func(int64) {}
			return own(ctx, a)
		})
}

// cable is a process's connection to the log. When it is cut, nothing comes or goes, and
// neither side notices.
type cable struct {
	network *kfake.VirtualNetwork
	mu      sync.Mutex
	broken  bool
	conns   []net.Conn
}

func (c *cable) cut() { c.set(true) }

// repair makes new connections possible; what was open stays lost.
func (c *cable) repair() {
	c.set(false)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close() // some are closed already
	}
	c.conns = nil
}

func (c *cable) set(broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = broken
}

func (c *cable) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if c.isBroken() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := c.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return &cableConn{Conn: conn, cable: c}, nil
}

type cableConn struct {
	net.Conn
	cable *cable
}

func (c *cableConn) Write(b []byte) (int, error) {
	if c.cable.isBroken() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// flakyStore fails now and then: before it has done its work, after it, or it does it later.
type flakyStore struct {
	projections.Store
	gone    atomic.Bool
	claims  [simulationPartitions]*dice
	lookups *dice
	commits [simulationPartitions]*dice
}

var errFlaky = errors.New("connection to the store broke")

func (s *simulation) newFlakyStore() *flakyStore {
	s.started++
	purpose := func(what string, n int) *dice {
		return newDice(s.seed, fmt.Sprintf("%s of partition %d by process %d", what, n, s.started),
			&s.calm)
	}
	f := &flakyStore{Store: s.store, lookups: purpose("lookup", 0)}
	for n := range simulationPartitions {
		f.claims[n], f.commits[n] = purpose("claim", n), purpose("commit", n)
	}
	return f
}

func (s *flakyStore) Claim(
	ctx context.Context, partition int32, topicID string,
) (projections.Claim, error) {
	d := s.claims[partition]
	if s.gone.Load() || d.problem(20) {
		return projections.Claim{}, errFlaky
	}
	claim, err := s.Store.Claim(ctx, partition, topicID)
	if d.problem(20) {
		return projections.Claim{}, errFlaky
	}
	return claim, err
}

func (s *flakyStore) Lookup(ctx context.Context, wanted []projections.Lookup) error {
	if s.gone.Load() || s.lookups.problem(20) {
		return errFlaky
	}
	return s.Store.Lookup(ctx, wanted)
}

func (s *flakyStore) Commit(
	ctx context.Context, claim projections.Claim, c *projections.Commit,
) error {
	d := s.commits[claim.Partition]
	switch {
	case s.gone.Load() || d.problem(15):
		return errFlaky
	case d.problem(15): // the answer is lost
		_ = s.Store.Commit(ctx, claim, c)
		return errFlaky
	case d.problem(15): // it arrives late, when nothing waits for it any more
		late := d.between(time.Millisecond, 30*time.Second)
		go func() {
			<-time.After(late)
			_ = s.Store.Commit(ctx, claim, c)
		}()
		return errFlaky
	case d.problem(5): // it takes its time
		<-time.After(d.between(time.Millisecond, 20*time.Second))
	}
	return s.Store.Commit(ctx, claim, c)
}
