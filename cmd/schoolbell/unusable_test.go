package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/config"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
)

// Whoever can write to the log can write anything there. None of it holds anybody up: not the other
// events of the partition, not their messages, not a process that starts again.
func TestP9_UnusableRecordsHoldNobodyUp(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	configure := func(c *config.Config) { c.Kafka.Brokers = broker.Brokers() }
	a := startApp(t, configure)
	home := eventlog.PartitionFor("oak", 4)
	stranger, err := kgo.NewClient(kgo.SeedBrokers(broker.Brokers()...),
		kgo.DefaultProduceTopic("schoolbell.events"),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(kgo.GzipCompression()), kgo.MaxBufferedBytes(1<<30),
		kgo.ProducerBatchMaxBytes(100<<20), kgo.BrokerMaxWriteBytes(200<<20))
	require.NoError(t, err)
	defer stranger.Close()
	write := func(records ...*kgo.Record) {
		require.NoError(t, stranger.ProduceSync(t.Context(), records...).FirstErr())
	}
	for range 1001 {
		stranger.Produce(t.Context(),
			&kgo.Record{Partition: home, Value: []byte(`{"hello":1}`)}, nil)
	}
	require.NoError(t, stranger.Flush(t.Context()))
	write(&kgo.Record{Partition: home, Value: []byte(strings.Repeat(" ", 70_000_000))})
	write(&kgo.Record{Partition: home, Key: []byte("oak")}) // a tombstone

	a.publish(t, "oak", append(family("oak", "st1"), absent("oak", "st1"))...)
	a.eventually(t, "sent", 1)
	misplaced := strangersEvent(t, absent("oak", "st2"))
	misplaced.Partition = (home + 1) % 4
	write(misplaced)
	forged := strangersEvent(t, event("oak", "forged", "schoolbell.delivery.sent.v1", "d1",
		map[string]any{
			"delivery_id": "d1", "channel": "sms", "recipient": "+22501020304",
			"provider": "x",
		}))
	forged.Partition = home
	write(forged)

	letters := func() int {
		conn, err := pgx.Connect(t.Context(), a.Database)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		list, err := deadletter.List(t.Context(), conn,
			deadletter.Filter{Kind: deadletter.Log, Limit: 5000})
		require.NoError(t, err)
		return len(list)
	}
	require.Eventually(t, func() bool { return letters() == 1001+1+1+1+1 }, 30*time.Second,
		50*time.Millisecond, "each is a dead letter once")
	code, list, stderr := command(t, "parked", "list", "--database-url", a.Database)
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, "Nothing is parked.\n", list)
	require.Empty(t, a.list(t, "planned"))
	require.Len(t, a.list(t, "sent"), 1, "what is in the wrong partition is not planned")
	code, _, stderr = command(t, a.withLog("jobs", "verify", "--database-url", a.Database)...)
	require.Equal(t, exitDone, code, stderr)

	restarted := startApp(t, func(c *config.Config) {
		configure(c)
		c.Database.URL = a.Database
	})
	require.Eventually(t, func() bool {
		resp, _ := restarted.call(t, http.MethodGet, restarted.Ops+"/readyz", "")
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
}

// strangersEvent is an event that somebody else than Schoolbell writes to the log.
func strangersEvent(t *testing.T, e map[string]any) *kgo.Record {
	t.Helper()
	rec := &kgo.Record{Key: []byte(e["school"].(string)), Headers: []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
	}}
	for _, name := range []string{"id", "source", "type", "time", "subject", "school"} {
		if v, ok := e[name].(string); ok {
			rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: "ce_" + name, Value: []byte(v)})
		}
	}
	var err error
	rec.Value, err = json.Marshal(e["data"])
	require.NoError(t, err)
	return rec
}
