package kafka_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

// Producers other than Schoolbell compress as they like, leave out keys and values, and may even
// use transactions, whose marks take up offsets. All of it is read, to the end.
func TestFetchReadsOtherProducers(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	log := open(t, kafka.Config{Brokers: cluster.ListenAddrs(), Topic: "events", Partitions: 1},
		nil)
	client := func(options ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(
			append(
				options, kgo.SeedBrokers(cluster.ListenAddrs()...),
				kgo.DefaultProduceTopic("events"),
			)...)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	var want []string
	for name, compression := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		producer := client(kgo.ProducerBatchCompression(compression))
		for i := range 3 {
			text := fmt.Sprintf("%s %d %0200d", name, i, i)
			want = append(want, text)
			record := &kgo.Record{
				Value:   []byte(text),
				Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(name)}},
			}
			require.NoError(t, producer.ProduceSync(t.Context(), record).FirstErr())
		}
	}
	require.NoError(t, client().ProduceSync(t.Context(), &kgo.Record{}).FirstErr())
	want = append(want, "")

	transactional := client(kgo.TransactionalID("t"))
	require.NoError(t, transactional.BeginTransaction())
	require.NoError(t,
		transactional.ProduceSync(t.Context(), kgo.StringRecord("in a transaction")).FirstErr())
	require.NoError(t, transactional.EndTransaction(t.Context(), kgo.TryCommit))
	want = append(want, "in a transaction")

	var got []string
	var last eventlog.Record
	for next, end := int64(0), int64(1); next < end; {
		batch, err := log.Fetch(t.Context(), 0, next, 1<<20, time.Millisecond)
		require.NoError(t, err)
		for _, r := range batch.Records {
			got = append(got, string(r.Value))
			last = r
		}
		require.Greater(t, batch.Next, next)
		next, end = batch.Next, batch.HighWatermark
	}
	require.Equal(t, want, got)
	require.Equal(t, int64(len(want)-1), last.Position.Offset)
}
