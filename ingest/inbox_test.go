package ingest_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/deadletter"
	"github.com/schoolbell/schoolbell/ingest"
	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/devstack/realkafka"
	"github.com/schoolbell/schoolbell/internal/kafka"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

func TestMain(m *testing.M) { devtest.Main(m) }

// world is an inbox, a log, a topic of dead letters and a database, on a cluster.
type world struct {
	t       *testing.T
	brokers []string
	log     *kafka.Log
	letters *ingest.Letters
	pool    *pgxpool.Pool
	source  ingest.Source
	pacer   *ingest.Pacer // nil: nobody is paced
}

func newWorld(t *testing.T, brokers []string, declared string) *world {
	t.Helper()
	w := &world{t: t, brokers: brokers, pool: devtest.Pool(t, devtest.Postgres(t), postgres.Jobs).Conns()}
	var err error
	w.source, err = ingest.ParseSource(declared)
	require.NoError(t, err)
	logger := slog.New(slog.DiscardHandler)
	w.log, err = kafka.Open(t.Context(), kafka.Config{Brokers: brokers, Topic: "events", Partitions: 6}, logger, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.log.Close()) })
	dead, err := kafka.OpenAny(t.Context(), kafka.Config{Brokers: brokers, Topic: "dead"}, logger)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dead.Close()) })
	w.letters = &ingest.Letters{
		Topic: dead, Pool: w.pool, Writer: w.writer(w.log), Sources: []ingest.Source{w.source},
		Metrics: ingest.NewMetrics(prometheus.NewRegistry()),
	}
	return w
}

func (w *world) writer(log eventlog.Appender) ingest.Writer {
	return ingest.Writer{Log: log, Limit: 5 * time.Second, Pacer: w.pacer, Hold: time.Millisecond}
}

// run reads the inbox with a log until the function that it returns is called.
func (w *world) run(log eventlog.Appender) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	letters := *w.letters
	letters.Writer = w.writer(log)
	r := ingest.NewReader(ingest.Config{
		Source: w.source, Log: "events", Partitions: 6, Letters: &letters,
		Open: func(ctx context.Context) (ingest.Topic, error) {
			return kafka.OpenInbox(ctx, kafka.Config{Brokers: w.brokers, Topic: w.source.Topic},
				slog.New(slog.DiscardHandler))
		},
	})
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(w.t, <-done)
		}
	}
	w.t.Cleanup(stop)
	return stop
}

func (w *world) client(options ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(options, kgo.SeedBrokers(w.brokers...), kgo.DefaultProduceTopic(w.source.Topic),
		kgo.UnknownTopicRetries(50))...)
	require.NoError(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

func (w *world) write(c *kgo.Client, records ...*kgo.Record) {
	w.t.Helper()
	require.NoError(w.t, c.ProduceSync(w.t.Context(), records...).FirstErr())
}

// mark is an attendance mark in binary mode.
func mark(school, id string) *kgo.Record {
	return &kgo.Record{
		Key: []byte(school), Headers: headers("ce_specversion", "1.0", "ce_id", id,
			"ce_source", "/sis", "ce_type", "schoolbell.attendance.marked.v1"),
		Value: []byte(`{"student_id":"s1","class_id":"7a","date":"2026-09-08","session":"day","status":"present"}`),
	}
}

func headers(pairs ...string) (all []kgo.RecordHeader) {
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return all
}

// logged returns the events of the log by school, each once, as readers of the log see them.
func (w *world) logged() map[string][]*domain.Envelope {
	all, seen := map[string][]*domain.Envelope{}, map[string]bool{}
	for p := range int32(6) {
		_, end, err := w.log.Bounds(w.t.Context(), p)
		require.NoError(w.t, err)
		for next := int64(0); next < end; {
			batch, err := w.log.Fetch(w.t.Context(), p, next, 1<<20, time.Second)
			require.NoError(w.t, err)
			for _, rec := range batch.Records {
				e, err := cloudevents.Decode(rec)
				require.NoError(w.t, err)
				require.Equal(w.t, p, eventlog.PartitionFor(e.School, 6))
				if key := e.School + " " + e.ID; !seen[key] {
					seen[key] = true
					all[e.School] = append(all[e.School], e)
				}
			}
			next = batch.Next
		}
	}
	return all
}

func (w *world) ids(school string) (ids []string) {
	for _, e := range w.logged()[school] {
		ids = append(ids, e.ID)
	}
	return ids
}

func (w *world) dead() []deadletter.Letter {
	all, err := deadletter.List(w.t.Context(), w.pool, deadletter.Filter{})
	require.NoError(w.t, err)
	return all
}

const patience = 30 * time.Second

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	require.Eventually(w.t, ok, patience, 20*time.Millisecond, what)
}

func TestAnInboxBringsEventsToTheLog(t *testing.T) {
	t.Parallel()
	testInbox(t, devtest.Kafka(t).Brokers())
}

func TestAnInboxBringsEventsToTheLogOnRealKafka(t *testing.T) {
	t.Parallel()
	devtest.Real(t, "java")
	testInbox(t, realkafka.Start(t).Addresses())
}

// Whatever partition, compression and mode a producer chooses, its events get into their school's
// partition of the log, marked with the inbox; what is refused is a dead letter with all its faults
// and does not delay what stands behind it; an aborted transaction leaves no trace.
func testInbox(t *testing.T, brokers []string) {
	w := newWorld(t, brokers, "inbox")
	w.run(w.log)
	for name, compression := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		c := w.client(kgo.ProducerBatchCompression(compression), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
		for i := range 3 {
			w.write(c, mark("north", fmt.Sprintf("%s-%d", name, i)), mark("south", fmt.Sprintf("%s-%d", name, i)))
		}
	}
	transactional := w.client(kgo.TransactionalID("t"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		require.NoError(t, transactional.BeginTransaction())
		w.write(transactional, mark("north", fmt.Sprintf("commit-%v", bool(end))))
		require.NoError(t, transactional.EndTransaction(t.Context(), end))
	}
	c := w.client()
	w.write(c,
		&kgo.Record{Key: []byte("north"), Value: []byte("hello")},
		&kgo.Record{Key: []byte("north")}, // a tombstone
		&kgo.Record{Key: []byte("north"), Headers: mark("", "bad").Headers, Value: []byte(`{"student_id":7,"colour":"red"}`)},
		&kgo.Record{Key: []byte("north"), Headers: headers("ce_specversion", "1.0", "ce_id", "g", "ce_source", "/sis",
			"ce_type", "schoolbell.guardian.linked.v1"), Value: []byte(`{"student_id":"s1","guardian_id":"me","name":"Me","relation":"father","primary":true}`)},
		&kgo.Record{Headers: headers("content-type", cloudevents.StructuredType), Value: []byte(
			`{"specversion":"1.0","id":"structured","source":"/sis","school":"north","type":"schoolbell.attendance.marked.v1","data":` +
				string(mark("", "").Value) + `}`)})
	w.eventually("all events are in the log", func() bool { return len(w.ids("north")) == 17 && len(w.ids("south")) == 15 })
	w.eventually("what is refused is stored", func() bool { return len(w.dead()) == 3 })
	require.NotContains(t, w.ids("north"), "commit-false")
	require.Contains(t, w.ids("north"), "commit-true")
	require.Contains(t, w.ids("north"), "structured")
	require.Equal(t, "kafka:inbox", w.logged()["north"][0].Author.Subject)

	byEvent := map[string]deadletter.Letter{}
	for _, l := range w.dead() {
		require.Equal(t, "north", l.School)
		byEvent[l.EventID] = l
	}
	require.Greater(t, len(byEvent["bad"].Faults), 2, "all faults, not the first")
	guardian := byEvent["g"]
	require.Contains(t, guardian.Reason(), "context guardian")
	hello, err := deadletter.Get(t.Context(), w.pool, byEvent[""].ID)
	require.NoError(t, err)
	require.Equal(t, []byte("hello"), hello.Record.Value)
	require.Equal(t, []byte("north"), hello.Record.Key)

	consumer := w.client(kgo.ConsumeTopics("dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var published []*kgo.Record
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(published) < 3 {
		fetches := consumer.PollFetches(ctx)
		require.NoError(t, fetches.Err())
		published = append(published, fetches.Records()...)
	}
	for _, r := range published {
		require.Equal(t, "north", string(r.Key))
		last := map[string]string{}
		for _, h := range r.Headers {
			last[h.Key] = string(h.Value)
		}
		require.Equal(t, "inbox", last[ingest.HeaderTopic])
		var faults []domain.Fault
		require.NoError(t, json.Unmarshal([]byte(last[ingest.HeaderFaults]), &faults))
		require.NotEmpty(t, faults)
	}
}

// crashing is a log whose writer dies after a number of appends: it is in the log, and nobody hears
// of it.
type crashing struct {
	eventlog.Appender
	left chan struct{}
	died chan struct{}
}

func (c *crashing) Append(ctx context.Context, school string, records []eventlog.Record) (domain.Position, error) {
	at, err := c.Appender.Append(ctx, school, records)
	select {
	case <-c.left:
		return at, err
	default:
		select {
		case c.died <- struct{}{}:
		default:
		}
		<-ctx.Done()
		return at, ctx.Err()
	}
}

// Events that were appended before a crash, but whose position was not stored, are appended again,
// and readers of the log drop them: each counts once, and none is missing. A reader that starts
// again does not begin at the beginning.
func TestP3_AnInboxCountsEachEventOnceAcrossCrashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devtest.Kafka(t).Brokers(), "inbox")
	c := w.client()
	var want []string
	for round := range 4 {
		left := make(chan struct{}, 2)
		left <- struct{}{}
		died := make(chan struct{}, 1)
		stop := w.run(&crashing{w.log, left, died})
		for i := 0; ; i++ {
			id := fmt.Sprintf("%d-%d", round, i)
			want = append(want, id)
			w.write(c, mark("north", id))
			select {
			case <-died:
			default:
				continue
			}
			break
		}
		stop()
	}
	stop := w.run(w.log)
	w.eventually("every event is there", func() bool { return len(w.ids("north")) == len(want) })
	require.Equal(t, want, w.ids("north"), "each once, in the order of the inbox")
	// Wait until the position is stored: the last event went through.
	w.write(c, mark("north", "last"))
	w.eventually("the last event", func() bool { return len(w.ids("north")) == len(want)+1 })
	stop()

	before := w.records()
	w.write(c, mark("north", "after"))
	stop = w.run(w.log)
	w.eventually("the event after", func() bool { return len(w.ids("north")) == len(want)+2 })
	stop()
	require.LessOrEqual(t, w.records()-before, int64(2), "it went on where it was")
}

// records is how many records the log has, duplicates included.
func (w *world) records() (n int64) {
	for p := range int32(6) {
		_, end, err := w.log.Bounds(w.t.Context(), p)
		require.NoError(w.t, err)
		n += end
	}
	return n
}

// A school that writes to an inbox more than is read of the log is read more slowly. None of its
// records is refused, and they stay in order.
func TestP11_AnInboxIsReadAsFastAsTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devtest.Kafka(t).Brokers(), "inbox")
	var read atomic.Int64
	polled := make(chan struct{})
	w.pacer = ingest.NewPacer(ingest.PacerConfig{
		MaxLag: time.Millisecond, Partitions: 6, Readers: 1, Metrics: prometheus.NewRegistry(),
		Positions: func(ctx context.Context) ([]map[int32]int64, error) {
			select {
			case polled <- struct{}{}:
			case <-ctx.Done():
			}
			return []map[int32]int64{{eventlog.PartitionFor("north", 6): read.Load()}}, nil
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.pacer.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })

	const events, atATime = 2500, 1500 // a request, when half of one is unread
	var records []*kgo.Record
	var want []string
	for i := range events {
		want = append(want, fmt.Sprint(i))
		records = append(records, mark("north", want[i]))
	}
	w.run(w.log)
	w.write(w.client(), records...)
	for range 5 { // each time something is unread, and so the reader was polled
		<-polled
		require.LessOrEqual(t, len(w.ids("north")), atATime)
	}
	for ids := 0; ids < events; {
		<-polled
		ids = len(w.ids("north"))
		read.Store(int64(ids))
	}
	require.Equal(t, want, w.ids("north"))
	require.EqualValues(t, events, w.records(), "it waits, and does not begin its batch again")
	require.Empty(t, w.dead())
	go func() { // until nothing is unread
		for {
			select {
			case <-polled:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// An inbox is an identity: what is not for it is refused, and a letter can be retried when the
// inbox is declared otherwise.
func TestP10_AnInboxWritesOnlyWhatItIsDeclaredFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, devtest.Kafka(t).Brokers(), "inbox=north:attendance")
	w.run(w.log)
	c := w.client()
	fee := mark("north", "fee")
	fee.Headers[3].Value = []byte("schoolbell.fee.statement_requested.v1")
	fee.Value = []byte(`{"student_id":"s1"}`)
	w.write(c, mark("south", "other"), fee, mark("north", "ok"))
	w.eventually("two are refused", func() bool { return len(w.dead()) == 2 })
	w.eventually("one is accepted", func() bool { return len(w.ids("north")) == 1 })
	require.Empty(t, w.ids("south"))
	var refused deadletter.Letter
	for _, l := range w.dead() {
		if l.EventID == "other" {
			letter, err := deadletter.Get(t.Context(), w.pool, l.ID)
			require.NoError(t, err)
			refused = letter
			require.Empty(t, l.School, "a school hears nothing of an inbox that is not for it")
		}
	}
	require.Error(t, w.letters.Retry(t.Context(), &refused), "nothing has changed")
	require.Len(t, w.dead(), 2)
	w.letters.Sources[0].Schools = append(w.letters.Sources[0].Schools, "south")
	require.NoError(t, w.letters.Retry(t.Context(), &refused))
	require.Equal(t, []string{"other"}, w.ids("south"))
	require.Len(t, w.dead(), 1)
}

func TestInboxesAreDeclared(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ingest.Source{
		"sis":                          {Topic: "sis"},
		"sis=north,south":              {Topic: "sis", Schools: []string{"north", "south"}},
		"sis:attendance,staff":         {Topic: "sis", Contexts: []string{"attendance", "staff"}},
		"a.b_c-d=north:guardian,staff": {Topic: "a.b_c-d", Schools: []string{"north"}, Contexts: []string{"guardian", "staff"}},
	} {
		got, err := ingest.ParseSource(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for text, fault := range map[string]string{
		"": "topic", "a b": "topic", "sis=": "empty school", "sis:": "contexts", "sis:delivery": "contexts",
		"sis=north,-": "the platform",
		"sis:lunch":   `"lunch" is not one of the contexts announcement, assessment`,
	} {
		_, err := ingest.ParseSource(text)
		require.ErrorContains(t, err, fault, text)
	}
}
