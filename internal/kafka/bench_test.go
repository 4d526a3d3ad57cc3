package kafka_test

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

// BenchmarkProduce and BenchmarkFetch report records per second through the whole path, on the
// stand-in and on a real broker. Records are of about 200 bytes, headers included.
func BenchmarkProduce(b *testing.B) { onBrokers(b, benchmarkProduce) }
func BenchmarkFetch(b *testing.B)   { onBrokers(b, benchmarkFetch) }

func onBrokers(b *testing.B, run func(*testing.B, []string)) {
	b.Run("kfake", func(b *testing.B) {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(b.TempDir()))
		require.NoError(b, err)
		defer cluster.Close()
		run(b, cluster.ListenAddrs())
	})
	b.Run("real", func(b *testing.B) {
		devtest.Real(b, "java")
		run(b, realkafka.Start(b).Addresses())
	})
}

const recordsPerAppend = 500

// benchLog opens a log on a topic of its own.
func benchLog(b *testing.B, brokers []string) *kafka.Log {
	b.Helper()
	config := kafka.Config{
		Brokers: brokers, Topic: fmt.Sprintf("bench-%d", rand.Int64()), Partitions: 4,
		AppendTimeout: time.Minute,
	}
	log, err := kafka.Open(b.Context(), config, slog.New(slog.DiscardHandler), nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, log.Close()) })
	return log
}

func fill(b *testing.B, log *kafka.Log, n int) {
	b.Helper()
	records := make([]eventlog.Record, recordsPerAppend)
	for i := range records {
		records[i] = eventlog.Record{
			Headers: []eventlog.Header{
				{Key: "ce_id", Value: fmt.Appendf(nil, "0191c2f4-7d2e-7c1a-%012x", rand.Uint32())},
				{Key: "ce_type", Value: []byte("schoolbell.attendance.marked.v1")},
			},
			Value: fmt.Appendf(
				nil,
				`{"student_id":"s-%06d","class_id":"7b","date":"2026-09-%02d","session":"day","status":"present"}`,
				rand.IntN(1e6), 1+rand.IntN(28),
			),
		}
	}
	const writers = 8
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			school := fmt.Sprintf("school-%d", w)
			for range (n + writers*recordsPerAppend - 1) / (writers * recordsPerAppend) {
				if _, err := log.Append(b.Context(), school, records); err != nil {
					b.Errorf("append: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
}

func benchmarkProduce(b *testing.B, brokers []string) {
	log := benchLog(b, brokers)
	fill(b, log, 20_000)
	b.ReportAllocs()
	b.ResetTimer()
	fill(b, log, b.N)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

func benchmarkFetch(b *testing.B, brokers []string) {
	log := benchLog(b, brokers)
	fill(b, log, 400_000)
	b.ReportAllocs()
	b.ResetTimer()
	var bytes int64
	partition, next := int32(0), int64(0)
	for n := 0; n < b.N; {
		batch, err := log.Fetch(b.Context(), partition, next, 4<<20, 0)
		require.NoError(b, err)
		if len(batch.Records) == 0 {
			partition, next = (partition+1)%4, 0
			continue
		}
		n += len(batch.Records)
		next = batch.Next
		for i := range batch.Records {
			bytes += int64(len(batch.Records[i].Value))
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
