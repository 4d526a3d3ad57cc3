package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
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
// it is. Next to it stands the ceiling: the same batches appended to the log directly.
type Ingest struct {
	Target   Target
	Log      eventlog.Appender // of the target; nil leaves the ceiling out
	Batch    int               // events in a request
	Parallel int               // requests under way at a time
	For      time.Duration     // of each round
	Rounds   int
	Progress Progress
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
	var overHTTP, direct []float64
	var latencies []time.Duration
	for round := range b.Rounds {
		b.Progress.report("round %d of %d: over HTTP", round+1, b.Rounds)
		rate, took, err := b.round(ctx, fmt.Sprintf("bench-%d-%d", run, round),
			func(ctx context.Context, l load) error {
				_, err := caller.do(ctx, http.MethodPost, "/v1/schools/"+l.school+"/events",
					map[string]string{"Content-Type": "application/cloudevents-batch+json"},
					l.body, http.StatusAccepted)
				return err
			})
		if err != nil {
			return nil, err
		}
		overHTTP, latencies = append(overHTTP, rate), append(latencies, took...)
		if b.Log == nil {
			continue
		}
		b.Progress.report("round %d of %d: straight to the log", round+1, b.Rounds)
		rate, _, err = b.round(ctx, fmt.Sprintf("bench-%d-%d-direct", run, round),
			func(ctx context.Context, l load) error {
				_, err := b.Log.Append(ctx, l.school, l.records)
				return err
			})
		if err != nil {
			return nil, err
		}
		direct = append(direct, rate)
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
	}
	r.addLatencies("request", latencies, fmt.Sprintf("%d events each", b.Batch))
	return r, nil
}

// round sends loads for a while from several workers, each with a school of its own, and returns
// events a second and how long each request took.
func (b *Ingest) round(
	ctx context.Context, name string, send func(context.Context, load) error,
) (float64, []time.Duration, error) {
	loads := make([][]load, b.Parallel)
	for i := range loads {
		var err error
		if loads[i], err = b.loads(fmt.Sprintf("%s-%d", name, i), 64); err != nil {
			return 0, nil, err
		}
	}
	var events atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	start := time.Now()
	deadline := start.Add(b.For)
	group, ctx := errgroup.WithContext(ctx)
	for _, mine := range loads {
		group.Go(func() error {
			var took []time.Duration
			for i := 0; time.Now().Before(deadline); i++ {
				sent := time.Now()
				if err := send(ctx, mine[i%len(mine)]); err != nil {
					return err
				}
				took = append(took, time.Since(sent))
				events.Add(int64(b.Batch))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			return nil
		})
	}
	err := group.Wait()
	return float64(events.Load()) / time.Since(start).Seconds(), all, err
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
