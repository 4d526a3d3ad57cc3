package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

// virtual starts a cluster on a network in memory, for a synctest bubble.
func virtual(
	t *testing.T, brokers int, options ...kfake.Opt,
) (*kfake.Cluster, *kfake.VirtualNetwork) {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	var ports []int
	for i := range brokers {
		ports = append(ports, 9092+i)
	}
	cluster, err := kfake.NewCluster(
		append(options, kfake.Ports(ports...), kfake.ListenFn(network.Listen))...)
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return cluster, network
}

// cable is a member's connection to the network; it can be cut, so that nothing comes or goes and
// neither side notices.
type cable struct {
	network *kfake.VirtualNetwork
	cut     chan struct{}
}

func newCable(network *kfake.VirtualNetwork) *cable {
	return &cable{network: network, cut: make(chan struct{})}
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	select {
	case <-c.cut:
		<-ctx.Done()
		return nil, ctx.Err()
	default:
	}
	conn, err := c.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &cableConn{Conn: conn, cable: c}, nil
}

type cableConn struct {
	net.Conn
	cable *cable
}

// Write loses everything once the cable is cut; no response ever comes.
func (c *cableConn) Write(b []byte) (int, error) {
	select {
	case <-c.cable.cut:
		return len(b), nil
	default:
		return c.Conn.Write(b)
	}
}

// pass lets simulated time pass: in a bubble this is the clock.
func pass(d time.Duration) { <-time.After(d) }

// openListening opens the log and collects what it warns about, a line each.
func openListening(t *testing.T, config kafka.Config) (*kafka.Log, *bytes.Buffer) {
	t.Helper()
	var warnings bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&warnings, &slog.HandlerOptions{Level: slog.LevelWarn}))
	log, err := kafka.Open(t.Context(), config, logger, nil)
	require.NoError(t, err)
	return log, &warnings
}

// holders records which member works on which partition.
type holders struct {
	t  *testing.T
	mu sync.Mutex
	of map[int32][]string
}

func newHolders(t *testing.T) *holders { return &holders{t: t, of: map[int32][]string{}} }

func (o *holders) consume(log eventlog.Group, member string) (leave func()) {
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan error, 1)
	go func() {
		done <- log.Consume(ctx, "group", func(ctx context.Context, a eventlog.Assignment) error {
			o.change(a.Partition, func(m []string) []string { return append(m, member) })
			<-ctx.Done()
			o.change(a.Partition, func(m []string) []string {
				return slices.DeleteFunc(m, func(other string) bool { return other == member })
			})
			return nil
		})
	}()
	return func() {
		cancel()
		require.NoError(o.t, <-done)
	}
}

func (o *holders) change(partition int32, f func([]string) []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.of[partition] = f(o.of[partition])
}

// count returns how many partitions a member has, and fails if one has two owners.
func (o *holders) count(member string) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, m := range o.of {
		require.LessOrEqual(o.t, len(m), 1, "owners of partition %d: %v", p, m)
		if slices.Contains(m, member) {
			n++
		}
	}
	return n
}

// Two members in simulated time: they share, stay calm for minutes, and hand over.
func TestGroupInSimulatedTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 3)
		config := kafka.Config{
			Brokers: cluster.ListenAddrs(), Partitions: partitions, Dial: network.DialContext,
		}
		a, b := open(t, config, nil), open(t, config, nil)
		o := newHolders(t)
		leaveA := o.consume(a, "a")
		pass(5 * time.Second)
		require.Equal(t, partitions, o.count("a"))
		leaveB := o.consume(b, "b")
		pass(5 * time.Second)
		require.Equal(t, partitions/2, o.count("a"))
		require.Equal(t, partitions/2, o.count("b"))

		// While it waits for records, and none come.
		for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); {
			batch, err := a.Fetch(t.Context(), 0, 0, 1<<20, time.Second)
			require.NoError(t, err)
			require.Empty(t, batch.Records)
		}
		require.Equal(t, partitions/2, o.count("a"))
		require.Equal(t, partitions/2, o.count("b"))

		leaveA()
		pass(2 * time.Second)
		require.Equal(t, partitions, o.count("b"), "one that leaves is not waited for")
		leaveB()
		require.NoError(t, errors.Join(a.Close(), b.Close()))
	})
}

// A member that vanishes without a word has its partitions taken over within ten seconds.
func TestTakeOverAfterCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 1)
		wire := newCable(network)
		config := kafka.Config{
			Brokers: cluster.ListenAddrs(), Partitions: partitions, Dial: wire.dial,
		}
		lost := open(t, config, nil)
		config.Dial = network.DialContext
		other := open(t, config, nil)
		o := newHolders(t)
		leaveLost := o.consume(lost, "lost")
		leaveOther := o.consume(other, "other")
		pass(10 * time.Second)
		require.Equal(t, partitions/2, o.count("lost"))

		close(wire.cut)
		pass(10 * time.Second)
		require.Equal(t, 0, o.count("lost"), "it noticed that it is alone")
		require.Equal(t, partitions, o.count("other"))
		leaveLost()
		leaveOther()
	})
}

// Coordinators and leaders that move repeatedly cause no lasting disturbance.
func TestGroupFollowsCoordinators(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 3)
		config := kafka.Config{
			Brokers: cluster.ListenAddrs(), Partitions: partitions, Dial: network.DialContext,
		}
		log, warnings := openListening(t, config)
		o := newHolders(t)
		leave := o.consume(log, "a")
		for range 150 {
			pass(200 * time.Millisecond)
			cluster.RehashCoordinators()
			cluster.ShufflePartitionLeaders()
			_, err := log.Append(t.Context(), "school", []eventlog.Record{{Value: []byte("x")}})
			require.NoError(t, err)
		}
		partition := eventlog.PartitionFor("school", partitions)
		batch, err := log.Fetch(t.Context(), partition, 0, 1<<20, 0)
		require.NoError(t, err)
		require.NotEmpty(t, batch.Records)
		pass(10 * time.Second)
		require.Equal(t, partitions, o.count("a"))
		leave()
		require.NoError(t, log.Close())
		require.LessOrEqual(t, bytes.Count(warnings.Bytes(), []byte("\n")), 1,
			"one line for all of it: %s", warnings)
	})
}

// A group is for one topic: a process configured for another one is rejected, and does not disturb
// the others.
func TestGroupIsForOneTopic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 1)
		config := kafka.Config{
			Brokers: cluster.ListenAddrs(), Partitions: partitions, Dial: network.DialContext,
		}
		log := open(t, config, nil)
		config.Topic = "another"
		another := open(t, config, nil)
		o := newHolders(t)
		leave := o.consume(log, "right")
		pass(5 * time.Second)
		leaveAnother := o.consume(another, "wrong")
		pass(20 * time.Second)
		require.Equal(t, partitions, o.count("right"))
		require.Zero(t, o.count("wrong"))
		leaveAnother()
		leave()
	})
}

// While Kafka is unreachable a member tries to join again, and logs it.
func TestGroupOutlastsAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 1)
		config := kafka.Config{
			Brokers: cluster.ListenAddrs(), Partitions: partitions, Dial: network.DialContext,
		}
		log, warnings := openListening(t, config)
		o := newHolders(t)
		leave := o.consume(log, "a")
		pass(5 * time.Second)
		require.Equal(t, partitions, o.count("a"))
		cluster.Close()
		pass(time.Minute)
		require.Zero(t, o.count("a"), "no one works on a partition that may be another's by now")

		again, err := kfake.NewCluster(kfake.Ports(9092), kfake.ListenFn(network.Listen))
		require.NoError(t, err)
		defer again.Close()
		require.NoError(t, again.CreateTopic("schoolbell.events", partitions, nil))
		pass(10 * time.Second)
		require.Equal(t, partitions, o.count("a"))
		leave()
		require.NoError(t, log.Close())
		require.Contains(t, warnings.String(), "cannot join the group")
	})
}

// A member that cannot join works on nothing, so it says so until it has joined.
func TestAMemberSaysThatItHasNotJoined(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	reg := prometheus.NewPedanticRegistry()
	log := open(t, kafka.Config{Brokers: cluster.ListenAddrs(), Partitions: 1}, reg)
	var refusing atomic.Bool
	refusing.Store(true)
	cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if !refusing.Load() {
			return nil, nil, false
		}
		response := kmsg.NewPtrJoinGroupResponse()
		response.Version, response.ErrorCode = 1, kerr.InconsistentGroupProtocol.Code
		return response, nil, true
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	working := make(chan struct{}, 1)
	go func() {
		left <- log.Consume(ctx, "readers", func(ctx context.Context, _ eventlog.Assignment) error {
			working <- struct{}{}
			<-ctx.Done()
			return nil
		})
	}()
	require.Eventually(t, func() bool { return log.GroupProblems() != nil }, 20*time.Second, time.Millisecond)
	require.ErrorContains(t, log.GroupProblems(), "cannot join group readers")
	require.Zero(t, gauge(t, reg, "schoolbell_log_group_joined"))
	refusing.Store(false)
	<-working
	require.NoError(t, log.GroupProblems())
	require.InDelta(t, 1, gauge(t, reg, "schoolbell_log_group_joined"), 0)
	cancel()
	require.NoError(t, <-left)
	require.NoError(t, log.GroupProblems(), "one that has left owes nothing")
}
