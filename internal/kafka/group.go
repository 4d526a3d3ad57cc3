package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"github.com/schoolbell/schoolbell/eventlog"
)

const (
	// commitEvery is how often offsets are committed to Kafka.
	commitEvery = 900 * time.Millisecond
	// rejoinAfter is the pause before a member joins again after an error.
	rejoinAfter = 250 * time.Millisecond
)

// Consume implements [eventlog.Group].
//
// A member that Kafka believes dead learns so by its next heartbeat, or never, if it cannot reach
// Kafka: then its partitions have a second worker for as long as that takes. Code that writes
// results must fence itself; see package projections.
func (l *Log) Consume(
	parent context.Context, group string, handle func(context.Context, eventlog.Assignment) error,
) error {
	shares := &balancer{topic: l.config.Topic, partitions: len(l.writers)}
	members, err := kafkago.NewConsumerGroup(kafkago.ConsumerGroupConfig{
		ID:      group,
		Brokers: l.config.Brokers,
		Topics:  []string{l.config.Topic},
		Dialer: &kafkago.Dialer{
			ClientID:      clientID,
			Timeout:       l.config.DialTimeout,
			SASLMechanism: l.dialer.sasl,
			DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
				return l.dialer.open(ctx, network, address)
			},
		},
		GroupBalancers:    []kafkago.GroupBalancer{shares},
		HeartbeatInterval: l.config.Heartbeat,
		SessionTimeout:    l.config.Session,
		RebalanceTimeout:  l.config.Rebalance,
		JoinGroupBackoff:  rejoinAfter,
		// Half, so that a silent coordinator is noticed before the session ends there.
		Timeout: l.config.Session / 2,
	})
	if err != nil {
		return fmt.Errorf("join group %s: %w", group, err)
	}
	state := l.groups.begin(group)
	defer l.groups.end(state)
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	m := &membership{
		log: l, group: group, handle: handle, fail: fail, logger: l.logger.With("group", group),
	}
	defer m.work.Wait()
	defer members.Close()
	for {
		generation, err := members.Next(ctx)
		switch {
		case ctx.Err() != nil:
			if parent.Err() != nil {
				return nil
			}
			return context.Cause(ctx)
		case err != nil:
			l.groups.attempted(state, err)
			m.logger.WarnContext(ctx, "cannot join the group, trying again", "error", err)
			continue
		}
		l.groups.attempted(state, nil)
		partitions := generation.Assignments[l.config.Topic]
		shares.remember(partitions)
		m.logger.DebugContext(ctx, "joined the group", "generation", generation.ID, "partitions",
			len(partitions))
		l.metrics.rebalances.Inc()
		m.work.Add(1)
		generation.Start(func(ended context.Context) {
			defer m.work.Done()
			m.serve(ctx, ended, generation, partitions)
		})
	}
}

// membership is one process's place in a group.
type membership struct {
	log    *Log
	group  string
	handle func(context.Context, eventlog.Assignment) error
	fail   context.CancelCauseFunc
	logger *slog.Logger
	work   sync.WaitGroup
}

// serve works on the partitions of one generation until it ends, and commits how far that came.
func (m *membership) serve(
	ctx, ended context.Context, generation *kafkago.Generation,
	partitions []kafkago.PartitionAssignment,
) {
	if ended.Err() != nil {
		return
	}
	// The work ends with the generation, but its context has the values of the caller's.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ended, cancel)()

	m.log.metrics.assigned.Add(float64(len(partitions)))
	defer m.log.metrics.assigned.Sub(float64(len(partitions)))
	done := make([]progress, len(partitions))
	var workers sync.WaitGroup
	for i, p := range partitions {
		done[i].partition = p.ID
		done[i].next.Store(-1)
		done[i].committed = -1
		workers.Go(func() {
			err := m.handle(ctx, eventlog.Assignment{
				// kafka-go has a negative number for a group that has committed nothing
				Partition: int32(p.ID), Stored: max(0, p.Offset), Committed: done[i].next.Store,
			})
			if err != nil && ctx.Err() == nil {
				m.fail(fmt.Errorf("work on partition %d: %w", p.ID, err))
			}
		})
	}
	tick := time.NewTicker(commitEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			m.commit(ctx, generation, done)
		case <-ctx.Done():
		}
	}
	workers.Wait()
	m.commit(ctx, generation, done) // what was done since the last tick
}

// progress is how far the work on a partition has come, and what was last committed to Kafka.
type progress struct {
	partition int
	next      atomic.Int64
	committed int64
}

// commit commits changed offsets to Kafka. They are for tools that show lag, so an error matters
// little.
func (m *membership) commit(ctx context.Context, generation *kafkago.Generation, done []progress) {
	offsets := map[int]int64{}
	for i := range done {
		if next := done[i].next.Load(); next > done[i].committed {
			offsets[done[i].partition] = next
			done[i].committed = next
		}
	}
	if len(offsets) == 0 {
		return
	}
	if err := generation.CommitOffsets(map[string]map[int]int64{m.log.config.Topic: offsets}); err != nil {
		m.logger.DebugContext(ctx, "commit offsets to kafka", "error", err)
	}
}
