package kafka_test

import (
	"context"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/logtest"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const partitions = 6

// fake is a kfake cluster of one broker that can restart on its port and data.
type fake struct {
	*kfake.Cluster
	dir  string
	port int
}

func newFake(t *testing.T) *fake {
	t.Helper()
	f := &fake{dir: t.TempDir()}
	f.start(t)
	t.Cleanup(func() { f.Close() })
	return f
}

func (f *fake) start(t *testing.T) {
	t.Helper()
	options := []kfake.Opt{kfake.NumBrokers(1), kfake.DataDir(f.dir), kfake.SyncWrites()}
	if f.port != 0 {
		options = append(options, kfake.Ports(f.port))
	}
	cluster, err := kfake.NewCluster(options...)
	require.NoError(t, err)
	f.Cluster = cluster
	_, port, err := net.SplitHostPort(cluster.ListenAddrs()[0])
	require.NoError(t, err)
	f.port, err = strconv.Atoi(port)
	require.NoError(t, err)
}

// open opens the log and closes it when the test ends.
func open(t *testing.T, config kafka.Config, reg prometheus.Registerer) *kafka.Log {
	t.Helper()
	log, err := kafka.Open(t.Context(), config, slog.New(slog.DiscardHandler), reg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return log
}

// batches returns how many batches the logs on a registry have written.
func batches(t *testing.T, reg *prometheus.Registry) int {
	t.Helper()
	families, err := reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "schoolbell_log_produce_batch_records" {
			return int(f.GetMetric()[0].GetHistogram().GetSampleCount())
		}
	}
	return 0
}

// committed reads a group's offset from Kafka.
func committed(t *testing.T, brokers []string, topic, group string, partition int32) (int64, bool) {
	t.Helper()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(brokers...), Transport: transport}
	response, err := client.OffsetFetch(context.Background(), &kafkago.OffsetFetchRequest{
		GroupID: group, Topics: map[string][]int{topic: {int(partition)}},
	})
	require.NoError(t, err)
	for _, p := range response.Topics[topic] {
		if p.CommittedOffset >= 0 {
			return p.CommittedOffset, true
		}
	}
	return 0, false
}

// harness is what the suite needs of any cluster; how to disturb it is left to the caller. Requests
// and appends time out after patience.
func harness(
	t *testing.T, brokers []string, topic string, patience time.Duration,
) *logtest.Harness {
	t.Helper()
	reg := prometheus.NewRegistry()
	config := kafka.Config{
		Brokers: brokers, Topic: topic, Partitions: partitions, MaxRecordBytes: 256 << 10,
		RequestTimeout: patience, AppendTimeout: patience,
	}
	first := true
	return &logtest.Harness{
		Open: func(t *testing.T) eventlog.Log {
			var r prometheus.Registerer
			if first {
				r, first = reg, false
			}
			return open(t, config, r)
		},
		Partitions:     partitions,
		MaxRecordBytes: config.MaxRecordBytes,
		Batches:        func() int { return batches(t, reg) },
		Committed: func(t *testing.T, group string, partition int32) (int64, bool) {
			return committed(t, brokers, topic, group, partition)
		},
	}
}

func TestLogOnKfake(t *testing.T) {
	t.Parallel()
	logtest.Run(t, func(t *testing.T) *logtest.Harness {
		cluster := newFake(t)
		h := harness(t, cluster.ListenAddrs(), "events", time.Second)
		h.Truncate = func(t *testing.T, partition int32, before int64) {
			require.NoError(t, cluster.DeleteRecords("events", partition, before))
		}
		h.Recreate = func(t *testing.T) { require.NoError(t, cluster.DeleteTopic("events")) }
		h.Stop = func(*testing.T) { cluster.Close() }
		h.Start = cluster.start
		return h
	})
}
