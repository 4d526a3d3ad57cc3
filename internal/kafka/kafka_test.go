package kafka_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/schoolbell/schoolbell/internal/eventlog"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSmoke(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	l, err := kafka.Open(t.Context(), kafka.Config{Brokers: c.ListenAddrs(), Partitions: 3}, slog.Default(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	pos, err := l.Append(t.Context(), "s", []eventlog.Record{{Value: []byte("a"), Headers: []eventlog.Header{{Key: "ce_id", Value: []byte("x")}}}, {Value: []byte("b")}})
	require.NoError(t, err)
	b, err := l.Fetch(t.Context(), pos.Partition, 0, 1000, time.Second)
	require.NoError(t, err)
	t.Logf("%v %+v", pos, b)
	t.Log(l.Topic(t.Context()))
	t.Log(l.Bounds(t.Context(), pos.Partition))
}
