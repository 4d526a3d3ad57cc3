package main

import (
	"net/http"
	"strconv"
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
	"github.com/schoolbell/schoolbell/internal/httpapi"
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
	code, verified, stderr := command(t, a.withLog("jobs", "verify", "--database-url", a.Database)...)
	require.Equal(t, exitDone, code, stderr)
	require.Contains(t, verified, "; 1005 dead letters; 0 findings.")
	_, metrics := a.call(t, http.MethodGet, a.Ops+"/metrics", "")
	for _, series := range []string{
		`kind="log",stored="true"} 1005`, `kind="inbox",stored="false"} 0`,
		`kind="plan",stored="true"} 0`, `kind="conflict",stored="true"} 0`,
	} {
		require.Contains(t, string(metrics), "schoolbell_deadletters_total{"+series)
	}

	restarted := startApp(t, func(c *config.Config) {
		configure(c)
		c.Database.URL = a.Database
	})
	require.Eventually(t, func() bool {
		resp, _ := restarted.call(t, http.MethodGet, restarted.Ops+"/readyz", "")
		return resp.StatusCode == http.StatusOK
	}, 30*time.Second, 50*time.Millisecond)
}

// A producer that begins its ids anew loses events, as all readers take them for repetitions. It and
// the operator are told; and what could not be used does not stand in the way of the event that
// repairs it.
func TestP9_AnIDThatIsUsedTwiceIsReported(t *testing.T) {
	t.Parallel()
	broker := devtest.Kafka(t)
	a := startApp(t, func(c *config.Config) { c.Kafka.Brokers = broker.Brokers() })
	broken := strangersEvent(t, marked("north", 2, "no such status"))
	broken.Topic, broken.Partition = "schoolbell.events", eventlog.PartitionFor("north", 4)
	present, late := marked("north", 1, "present"), marked("north", 1, "absent_unexcused")
	first, second := strangersEvent(t, present), strangersEvent(t, late)
	first.Topic, second.Topic = "schoolbell.inbox", "schoolbell.inbox"
	producer, err := kgo.NewClient(kgo.SeedBrokers(broker.Brokers()...), kgo.UnknownTopicRetries(50),
		kgo.RecordPartitioner(kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
			return func(r *kgo.Record, n int) int { return int(r.Partition) % n }
		})))
	require.NoError(t, err)
	defer producer.Close()
	for _, rec := range []*kgo.Record{broken, first, second, first} {
		require.NoError(t, producer.ProduceSync(t.Context(), rec).FirstErr())
	}
	letters := func() (conflicts []deadletter.Letter) {
		conn, err := pgx.Connect(t.Context(), a.Database)
		require.NoError(t, err)
		defer conn.Close(t.Context())
		conflicts, err = deadletter.List(t.Context(), conn,
			deadletter.Filter{School: "north", Kind: deadletter.Conflict})
		require.NoError(t, err)
		return conflicts
	}
	require.Eventually(t, func() bool { return len(letters()) > 0 }, 30*time.Second, 20*time.Millisecond)
	at := a.publish(t, "north", enrolled("north", 1), enrolled("north", 2), marked("north", 2, "present"))
	var got attendanceBody
	a.get(t, attendancePath, at, &got)
	require.Equal(t, 2, got.Totals.Present, "the first one counts, and the one that was repaired")
	require.Zero(t, got.Totals.AbsentUnexcused)

	letter := letters()[0]
	require.Equal(t, present["id"], letter.EventID)
	require.Regexp(t, `^has the id of the event at \d+:\d+ and another content`, letter.Reason())
	require.NotContains(t, letter.Reason(), letter.Position.String()+" ", "it names the other one")
	_, metrics := a.call(t, http.MethodGet, a.Ops+"/metrics", "")
	require.Regexp(t, `schoolbell_projection_conflicts_total\{.*\} [1-9]`, string(metrics))
	var shown httpapi.DeadLetter
	a.jobs(t, exitDone, &shown, "deadletters", "show", strconv.FormatInt(letter.ID, 10))
	require.Contains(t, string(shown.Record.Value), "absent_unexcused")
	code, out, stderr := command(t,
		append([]string{"deadletters", "retry", strconv.FormatInt(letter.ID, 10)}, a.remote()...)...)
	require.Equal(t, exitFailed, code)
	require.Contains(t, out+stderr, "id of its own")
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
