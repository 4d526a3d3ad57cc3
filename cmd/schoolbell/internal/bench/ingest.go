package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Ingest measures how many events a second are accepted over HTTP, each durable in the log before
// it is. Next to it stand the ceiling, which is the same batches appended to the log directly, and
// the way through an inbox.
type Ingest struct {
	Target   Target
	Log      TargetLog         // of the target; nil leaves out all but HTTP
	Inbox    eventlog.Appender // of the target, with Log
	Batch    int               // events in a request
	Parallel int               // requests under way at a time
	For      time.Duration     // of each round
	Rounds   int
	Progress Progress
}

// TargetLog is the log of the Schoolbell that is measured, in the same process.
type TargetLog interface {
	eventlog.Appender
	eventlog.Inspector
}

// load is ready-made requests, so that making them does not count.
type load struct {
	school  string
	body    []byte
	records []eventlog.Record
}

// Run measures.
func (b *Ingest) Run(ctx context.Context) (*Result, error) {
	run := time.Now().UnixNano()
	caller := newCaller(b.Target, b.Parallel)
	defer caller.close()
	var overHTTP, direct, inbox, httpCPU, inboxCPU []float64
	var latencies []time.Duration
	for round := range b.Rounds {
		b.Progress.report("round %d of %d: over HTTP", round+1, b.Rounds)
		m, err := b.round(ctx, fmt.Sprintf("bench-%d-%d", run, round),
			func(ctx context.Context, l load) error {
				_, err := caller.do(ctx, http.MethodPost, "/v1/schools/"+l.school+"/events",
					map[string]string{"Content-Type": "application/cloudevents-batch+json"},
					l.body, http.StatusAccepted)
				return err
			})
		if err != nil {
			return nil, err
		}
		overHTTP, latencies = append(overHTTP, m.rate), append(latencies, m.took...)
		httpCPU = append(httpCPU, m.cpu)
		if b.Log == nil {
			continue
		}
		b.Progress.report("round %d of %d: straight to the log", round+1, b.Rounds)
		m, err = b.round(ctx, fmt.Sprintf("bench-%d-%d-direct", run, round),
			func(ctx context.Context, l load) error {
				_, err := b.Log.Append(ctx, l.school, l.records)
				return err
			})
		if err != nil {
			return nil, err
		}
		direct = append(direct, m.rate)
		b.Progress.report("round %d of %d: through the inbox", round+1, b.Rounds)
		if m, err = b.throughInbox(ctx, fmt.Sprintf("bench-%d-%d-inbox", run, round)); err != nil {
			return nil, err
		}
		inbox, inboxCPU = append(inbox, m.rate), append(inboxCPU, m.cpu)
	}
	r := &Result{
		Benchmark: "ingest",
		Setup: fmt.Sprintf("batches of %d events, %d requests at a time, %d rounds of %s", b.Batch,
			b.Parallel, b.Rounds, b.For),
	}
	r.add("accepted over HTTP", median(overHTTP), "events/s", "validated and durable in the log")
	if b.Log != nil {
		r.add("ceiling", median(direct), "events/s",
			"the same batches appended to the log directly")
		r.add("HTTP / ceiling", median(overHTTP)/median(direct), "", "")
		r.add("through the inbox", median(inbox), "events/s",
			"produced to it, validated and durable in the log")
		r.add("inbox / HTTP", median(inbox)/median(overHTTP), "", "")
		r.add("CPU over HTTP", median(httpCPU), "µs/event", "of the whole process, client and broker included")
		r.add("CPU through the inbox", median(inboxCPU), "µs/event", "the same")
	}
	r.addLatencies("request", latencies, fmt.Sprintf("%d events each", b.Batch))
	return r, nil
}

// measured is one round.
type measured struct {
	rate float64 // events a second
	cpu  float64 // µs of this process for an event
	took []time.Duration
}

// round sends loads for a while from several workers, each with a school of its own.
func (b *Ingest) round(
	ctx context.Context, name string, send func(context.Context, load) error,
) (measured, error) {
	return b.roundUntil(ctx, name, send, func(context.Context, int64) error { return nil })
}

// throughInbox is a round that ends when all events are in the log.
func (b *Ingest) throughInbox(ctx context.Context, name string) (measured, error) {
	before, err := b.end(ctx)
	if err != nil {
		return measured{}, err
	}
	return b.roundUntil(ctx, name, func(ctx context.Context, l load) error {
		_, err := b.Inbox.Append(ctx, l.school, l.records)
		return err
	}, func(ctx context.Context, events int64) error {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			end, err := b.end(ctx)
			if err != nil || end-before >= events {
				return err
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// end is how many records the log has.
func (b *Ingest) end(ctx context.Context) (n int64, err error) {
	topic, err := b.Log.Topic(ctx)
	if err != nil {
		return 0, err
	}
	for partition := range topic.Partitions {
		_, end, err := b.Log.Bounds(ctx, partition)
		if err != nil {
			return 0, err
		}
		n += end
	}
	return n, nil
}

// roundUntil is a round that is not over before a condition holds for the events that were sent.
func (b *Ingest) roundUntil(
	ctx context.Context, name string, send func(context.Context, load) error,
	until func(ctx context.Context, events int64) error,
) (m measured, err error) {
	loads := make([][]load, b.Parallel)
	for i := range loads {
		if loads[i], err = b.loads(fmt.Sprintf("%s-%d", name, i), 64); err != nil {
			return m, err
		}
	}
	var events atomic.Int64
	var mu sync.Mutex
	cpu, err := cpuOf(os.Getpid())
	if err != nil {
		return m, err
	}
	start := time.Now()
	deadline := start.Add(b.For)
	group, sending := errgroup.WithContext(ctx)
	for _, mine := range loads {
		group.Go(func() error {
			var took []time.Duration
			for i := 0; time.Now().Before(deadline); i++ {
				sent := time.Now()
				if err := send(sending, mine[i%len(mine)]); err != nil {
					return err
				}
				took = append(took, time.Since(sent))
				events.Add(int64(b.Batch))
			}
			mu.Lock()
			defer mu.Unlock()
			m.took = append(m.took, took...)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return m, err
	}
	if err := until(ctx, events.Load()); err != nil {
		return m, err
	}
	m.rate = float64(events.Load()) / time.Since(start).Seconds()
	spent, err := cpuOf(os.Getpid())
	m.cpu = float64((spent - cpu).Microseconds()) / float64(events.Load())
	return m, err
}

// loads makes n requests of attendance marks for a school.
func (b *Ingest) loads(school string, n int) ([]load, error) {
	events, err := attendanceMarks(school, n*b.Batch)
	if err != nil {
		return nil, err
	}
	all := make([]load, n)
	for i := range all {
		l := load{school: school}
		var body bytes.Buffer
		body.WriteByte('[')
		for j, e := range events[i*b.Batch : (i+1)*b.Batch] {
			if j > 0 {
				body.WriteByte(',')
			}
			doc, err := cloudevents.AppendStructured(nil, e)
			if err != nil {
				return nil, fmt.Errorf("encode event: %w", err)
			}
			body.Write(doc)
			rec, err := cloudevents.Encode(e)
			if err != nil {
				return nil, fmt.Errorf("encode event: %w", err)
			}
			l.records = append(l.records, rec)
		}
		body.WriteByte(']')
		l.body = body.Bytes()
		all[i] = l
	}
	return all, nil
}

// attendanceMarks simulates a school and returns n of its events, all from days of lessons.
func attendanceMarks(school string, n int) ([]*domain.Envelope, error) {
	config := simulate.Config{Schools: 1, Students: 400, Days: 100, Seed: 1}
	events := make([]*domain.Envelope, 0, n)
	for e := range config.Events() {
		e.School = school
		if events = append(events, e); len(events) == n {
			return events, nil
		}
	}
	return nil, errors.New("the simulation has too few events for the benchmark")
}
