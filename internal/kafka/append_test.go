package kafka_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
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

// gate holds back produce requests on their way to the broker while it is shut.
type gate struct {
	network *kfake.VirtualNetwork
	mu      sync.Mutex
	open    chan struct{}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = make(chan struct{})
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := g.network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &gateConn{conn, g}, nil
}

type gateConn struct {
	net.Conn
	gate *gate
}

func (c *gateConn) Write(b []byte) (int, error) {
	c.gate.mu.Lock()
	open := c.gate.open
	c.gate.mu.Unlock()
	if open != nil && len(b) > 6 && binary.BigEndian.Uint16(b[4:]) == uint16(kmsg.Produce) {
		<-open
	}
	return c.Conn.Write(b)
}

// bench is a log in a bubble whose writes can be held back.
type bench struct {
	*kafka.Log
	t       *testing.T
	cluster *kfake.Cluster
	gate    *gate
	reg     *prometheus.Registry
	results sync.WaitGroup
}

// inBubble runs a test of appending in simulated time, on a log of one partition.
func inBubble(t *testing.T, config kafka.Config, test func(t *testing.T, b *bench)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 1)
		b := &bench{
			t: t, cluster: cluster, gate: &gate{network: network}, reg: prometheus.NewRegistry(),
		}
		config.Brokers, config.Partitions, config.Dial = cluster.ListenAddrs(), 1, b.gate.dial
		b.Log = open(t, config, b.reg)
		test(t, b)
		b.results.Wait()
	})
}

// start appends a record in the background; the outcome is checked when it is there.
func (b *bench) start(ctx context.Context, text string, check func(error)) {
	b.results.Go(func() {
		_, err := b.Append(ctx, "school", []eventlog.Record{{Value: []byte(text)}})
		check(err)
	})
	synctest.Wait()
}

func (b *bench) startAll(n int, check func(error)) {
	for i := range n {
		b.start(b.t.Context(), strconv.Itoa(i), check)
	}
}

// texts returns what is in the log.
func (b *bench) texts() (texts []string) {
	b.t.Helper()
	batch, err := b.Fetch(b.t.Context(), 0, 0, 1<<20, 0)
	require.NoError(b.t, err)
	for _, r := range batch.Records {
		texts = append(texts, string(r.Value))
	}
	return texts
}

func succeeds(t *testing.T) func(error) {
	return func(err error) {
		if err != nil {
			t.Errorf("append: %v", err)
		}
	}
}

func failsAs(t *testing.T, want error) func(error) {
	return func(err error) {
		if err == nil || !errors.Is(err, want) {
			t.Errorf("append: got %v, want %v", err, want)
		}
	}
}

func TestAppendsShareTheNextBatch(t *testing.T) {
	inBubble(t, kafka.Config{}, func(t *testing.T, b *bench) {
		b.gate.shut()
		b.startAll(11, succeeds(t)) // the first is on its way at once, alone
		close(b.gate.open)
		b.results.Wait()
		require.Equal(t, 2, batches(t, b.reg))
		require.Equal(t, []string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"},
			b.texts())
	})
}

func TestAppendCancelledInTheQueueIsNotWritten(t *testing.T) {
	inBubble(t, kafka.Config{}, func(t *testing.T, b *bench) {
		b.gate.shut()
		b.start(t.Context(), "under way", succeeds(t))
		ctx, cancel := context.WithCancel(t.Context())
		b.start(ctx, "cancelled", failsAs(t, context.Canceled))
		b.start(t.Context(), "behind it", succeeds(t))
		cancel()
		synctest.Wait()
		close(b.gate.open)
		b.results.Wait()
		require.Equal(t, []string{"under way", "behind it"}, b.texts())
	})
}

func TestAppendsHaveATimeLimit(t *testing.T) {
	inBubble(t, kafka.Config{AppendTimeout: 2 * time.Second}, func(t *testing.T, b *bench) {
		b.gate.shut()
		start := time.Now()
		b.startAll(3, failsAs(t, eventlog.ErrUnavailable))
		b.results.Wait()
		require.Equal(t, 2*time.Second, time.Since(start))
		close(b.gate.open)
		b.start(t.Context(), "later", succeeds(t))
		b.results.Wait()
		require.Contains(t, b.texts(), "later")
	})
}

// An append that times out says what kept it from the log, not only that its time was over.
func TestATimeoutNamesItsCause(t *testing.T) {
	inBubble(t, kafka.Config{AppendTimeout: 2 * time.Second}, func(t *testing.T, b *bench) {
		b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: 1000})
		b.start(t.Context(), "refused", func(err error) {
			failsAs(t, eventlog.ErrUnavailable)(err)
			if !strings.Contains(fmt.Sprint(err), "Not Enough Replicas") {
				t.Errorf("append: %v does not name the cause", err)
			}
		})
		b.results.Wait()
	})
}

// A write without a response does not hold up those that come after its timeout.
func TestUnansweredWriteIsGivenUp(t *testing.T) {
	inBubble(t, kafka.Config{AppendTimeout: 2 * time.Second}, func(t *testing.T, b *bench) {
		b.cluster.ControlKey(int16(kmsg.Produce),
			func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true })
		b.start(t.Context(), "unanswered", failsAs(t, eventlog.ErrUnavailable))
		b.results.Wait()
		start := time.Now()
		b.start(t.Context(), "next", succeeds(t))
		b.results.Wait()
		require.Zero(t, time.Since(start))
		require.Equal(t, []string{"next"}, b.texts())
	})
}

func TestAppendRefusesMoreThanTheQueueHolds(t *testing.T) {
	inBubble(
		t,
		kafka.Config{MaxRecordBytes: 1 << 10, MaxBatchBytes: 2 << 10, MaxQueueBytes: 4 << 10},
		func(t *testing.T, b *bench) {
			big := string(make([]byte, 900))
			b.gate.shut()
			for range 4 {
				b.start(t.Context(), big, succeeds(t))
			}
			b.start(t.Context(), big, failsAs(t, eventlog.ErrOverloaded))
			require.Greater(t, gauge(t, b.reg, "schoolbell_log_append_queue_bytes"), 3600.0)
			close(b.gate.open)
			b.results.Wait()
			require.Zero(t, gauge(t, b.reg, "schoolbell_log_append_queue_bytes"))
			b.start(t.Context(), big, succeeds(t))
			b.results.Wait()
			require.Len(t, b.texts(), 5)
		},
	)
}

// A write whose response is lost is repeated: nothing is missing, nothing overtakes, and the window
// recognises the copy.
func TestP3_LostAnswerLeavesOnlyADuplicate(t *testing.T) {
	inBubble(t, kafka.Config{}, func(t *testing.T, b *bench) {
		b.cluster.Fault(
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.RequestTimedOut, Count: 2},
		)
		for i := range 3 {
			_, err := b.Append(t.Context(), "school",
				[]eventlog.Record{{Value: []byte(strconv.Itoa(i))}})
			require.NoError(t, err)
		}
		require.Equal(t, []string{"0", "0", "0", "1", "2"}, b.texts())
		w := eventlog.NewWindow(100)
		var first []string
		for i, text := range b.texts() {
			if v, _, _ := w.Seen(int64(i), "school", "source", text, 0); v == eventlog.First {
				first = append(first, text)
			}
		}
		require.Equal(t, []string{"0", "1", "2"}, first)
	})
}

// Together the records may be too much for a topic whose settings were changed, while each append
// is not.
func TestTooLargeBatchIsTakenApart(t *testing.T) {
	inBubble(t, kafka.Config{}, func(t *testing.T, b *bench) {
		b.gate.shut()
		b.startAll(4, succeeds(t))
		b.cluster.Fault(
			kfake.Fault{
				Keys: []kmsg.Key{kmsg.Produce},
				Err:  kerr.MessageTooLarge,
				When: func(req kmsg.Request) bool {
					raw := req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records
					return binary.BigEndian.Uint32(raw[57:]) > 1
				},
				Count: -1,
			},
		)
		close(b.gate.open)
		b.results.Wait()
		require.Equal(t, []string{"0", "1", "2", "3"}, b.texts())

		b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge})
		b.start(t.Context(), "alone", failsAs(t, eventlog.ErrTooLarge))
	})
}

func TestAppendDoesNotRepeatWhatCannotSucceed(t *testing.T) {
	inBubble(t, kafka.Config{}, func(t *testing.T, b *bench) {
		start := time.Now()
		b.cluster.Fault(
			kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed},
		)
		_, err := b.Append(t.Context(), "school", []eventlog.Record{{Value: []byte("x")}})
		require.ErrorContains(t, err, "authorized")
		require.NotErrorIs(t, err, eventlog.ErrUnavailable)
		require.Zero(t, time.Since(start))
	})
}

func TestCloseEndsAppends(t *testing.T) {
	inBubble(t, kafka.Config{}, func(t *testing.T, b *bench) {
		b.gate.shut()
		b.startAll(3, failsAs(t, eventlog.ErrUnavailable))
		close(b.gate.open)
		b.gate.shut()
		require.NoError(t, b.Close())
		b.results.Wait()
		_, err := b.Append(t.Context(), "school", []eventlog.Record{{Value: []byte("x")}})
		require.ErrorIs(t, err, eventlog.ErrUnavailable)
		require.NoError(t, b.Close(), "twice is harmless")
		close(b.gate.open)
	})
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	require.Fail(t, fmt.Sprintf("no metric %s", name))
	return 0
}

// After a broker's restart all pooled connections are dead, which only using them reveals: the next
// request still succeeds at once. A broker that loses power falls silent; its connections stay
// open, and another one leads.
func TestASilentLeaderIsLeftAfterOneTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 2)
		cables := map[string]*cable{}
		for _, address := range cluster.ListenAddrs() {
			cables[address] = newCable(network)
		}
		log := open(t, kafka.Config{
			Brokers: cluster.ListenAddrs(), Topic: "events", Partitions: 1,
			Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
				return cables[address].dial(ctx, network, address)
			},
		}, nil)
		var fetches sync.WaitGroup
		for range 4 { // each on a connection of its own
			fetches.Go(func() {
				if _, err := log.Fetch(t.Context(), 0, 0, 1, 500*time.Millisecond); err != nil {
					t.Error(err)
				}
			})
		}
		fetches.Wait()
		leader := cluster.LeaderFor("events", 0)
		require.NoError(t, cluster.MoveTopicPartition("events", 0, 1-leader))
		close(cables[cluster.ListenAddrs()[leader]].cut)

		records := []eventlog.Record{{Value: []byte("x")}}
		_, err := log.Append(t.Context(), "school", records)
		require.ErrorIs(t, err, eventlog.ErrUnavailable)
		_, err = log.Append(t.Context(), "school", records)
		require.NoError(t, err)
	})
}

func TestDeadConnectionsAreReplacedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cluster, network := virtual(t, 1)
		var (
			mu    sync.Mutex
			conns []net.Conn
		)
		dial := func(ctx context.Context, n, address string) (net.Conn, error) {
			conn, err := network.DialContext(ctx, n, address)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
			return conn, err
		}
		log := open(t, kafka.Config{Brokers: cluster.ListenAddrs(), Partitions: 16, Dial: dial},
			nil)
		var readers sync.WaitGroup
		for p := range int32(16) {
			readers.Go(func() {
				if _, err := log.Fetch(t.Context(), p, 0, 1<<20, time.Minute/2); err != nil {
					t.Errorf("fetch: %v", err)
				}
			})
		}
		readers.Wait()
		require.Greater(t, len(conns), 15)
		for _, conn := range conns {
			require.NoError(t, conn.Close())
		}
		start := time.Now()
		_, err := log.Append(t.Context(), "school", []eventlog.Record{{Value: []byte("x")}})
		require.NoError(t, err)
		require.Zero(t, time.Since(start))
	})
}
