package kafka_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

func TestAnInboxReturnsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	testCommitted(t, cluster.ListenAddrs())
}

func TestAnInboxReturnsWhatWasCommittedOnRealKafka(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java")
	testCommitted(t, realkafka.Start(t).Addresses())
}

// Aborted transactions are never read, open ones not before their end, and what nobody can decode
// is named by its offsets. It is all one order: what stands behind an open transaction waits for it.
func testCommitted(t *testing.T, brokers []string) {
	inbox, err := kafka.OpenInbox(t.Context(), kafka.Config{Brokers: brokers, Topic: "inbox", Partitions: 1},
		slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inbox.Close()) })
	client := func(options ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append(options, kgo.SeedBrokers(brokers...), kgo.DefaultProduceTopic("inbox"))...)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	write := func(c *kgo.Client, texts ...string) {
		for _, text := range texts {
			require.NoError(t, c.ProduceSync(t.Context(), kgo.StringRecord(text)).FirstErr())
		}
	}
	var next int64
	// read reads until so many records or undecodable batches have come, and what there is then.
	read := func(n int) (got []string) {
		deadline := time.Now().Add(time.Minute)
		for quiet := 0; len(got) < n || quiet < 2; {
			require.True(t, time.Now().Before(deadline), "%d of %d: %q", len(got), n, got)
			batch, err := inbox.Fetch(t.Context(), 0, next, 1<<20, 50*time.Millisecond)
			if undecodable, ok := errors.AsType[*eventlog.UndecodableError](err); ok {
				got, next = append(got, "undecodable"), undecodable.Last+1
				continue
			}
			require.NoError(t, err)
			for _, r := range batch.Records {
				got = append(got, string(r.Value))
			}
			quiet++
			if batch.Next > next {
				quiet, next = 0, batch.Next
			}
		}
		return got
	}

	first, second := client(kgo.TransactionalID("first")), client(kgo.TransactionalID("second"))
	plain := client(kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck()),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	require.NoError(t, first.BeginTransaction())
	require.NoError(t, second.BeginTransaction())
	write(first, "committed 1")
	write(second, "aborted 1")
	write(plain, "plain 1")
	write(first, "committed 2")
	write(second, "aborted 2")
	require.Empty(t, read(0), "both transactions are open")
	require.NoError(t, second.EndTransaction(t.Context(), kgo.TryAbort))
	require.NoError(t, first.EndTransaction(t.Context(), kgo.TryCommit))
	write(plain, "plain 2")
	require.Equal(t, []string{"committed 1", "plain 1", "committed 2", "plain 2"}, read(4))

	// The same producers again: that one was aborted says nothing of its next transaction.
	require.NoError(t, second.BeginTransaction())
	write(second, "committed 3")
	require.NoError(t, second.EndTransaction(t.Context(), kgo.TryCommit))
	require.NoError(t, second.BeginTransaction())
	write(second, "aborted 3")
	write(plain, "plain 3")
	require.Equal(t, []string{"committed 3"}, read(1))
	require.NoError(t, second.EndTransaction(t.Context(), kgo.TryAbort))
	require.Equal(t, []string{"plain 3"}, read(1))

	huge := client(kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.MaxBufferedBytes(1<<30),
		kgo.ProducerBatchMaxBytes(100<<20), kgo.BrokerMaxWriteBytes(200<<20))
	write(huge, "before")
	write(huge, strings.Repeat(" ", 70_000_000))
	write(huge, "after")
	require.Equal(t, []string{"before", "undecodable", "after"}, read(3))
}
