package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
)

// Freshness measures how long after an event has been accepted its rows are visible, under a steady
// load: after each accepted request a reader requests a result that is not older than the request's
// position, and waits for it.
type Freshness struct {
	Target   Target
	Rate     int // events a second
	Batch    int // events in a request
	For      time.Duration
	Parallel int
	Progress Progress
}

// Run measures.
func (b *Freshness) Run(ctx context.Context) (*Result, error) {
	caller := newCaller(b.Target, 2*b.Parallel)
	defer caller.close()
	requests := int(float64(b.Rate) * b.For.Seconds() / float64(b.Batch))
	loads := make([]load, 0, requests)
	maker := &Ingest{Batch: b.Batch}
	for school := 0; len(loads) < requests; school++ {
		more, err := maker.loads(fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), school),
			min(200, requests-len(loads)))
		if err != nil {
			return nil, err
		}
		loads = append(loads, more...)
	}
	b.Progress.report("%d events/s for %s", b.Rate, b.For)
	var mu sync.Mutex
	var visible, accepted []time.Duration
	_, err := paced(ctx, max(1, b.Rate/b.Batch), b.For, b.Parallel,
		func(ctx context.Context, i int) error {
			l := loads[i%len(loads)]
			sent := time.Now()
			got, err := caller.do(
				ctx,
				http.MethodPost,
				"/v1/schools/"+l.school+"/events",
				map[string]string{
					"Content-Type": "application/cloudevents-batch+json",
				},
				l.body,
				http.StatusAccepted,
			)
			if err != nil {
				return err
			}
			at := time.Now()
			var receipt struct {
				Position domain.LogPosition `json:"position"`
			}
			if err := json.Unmarshal(got.body, &receipt); err != nil {
				return fmt.Errorf("read receipt: %w", err)
			}
			if _, err = caller.do(ctx, http.MethodGet, "/v1/schools/"+l.school+"/students/none",
				map[string]string{"Schoolbell-Min-Position": receipt.Position.String()}, nil, http.StatusNotFound); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			visible, accepted = append(visible, time.Since(at)), append(accepted, at.Sub(sent))
			return nil
		})
	if err != nil {
		return nil, err
	}
	r := &Result{
		Benchmark: "freshness",
		Setup:     fmt.Sprintf("%d events/s in requests of %d for %s", b.Rate, b.Batch, b.For),
	}
	r.addLatencies("accepted → visible", visible, "the reader's own request included")
	r.addLatencies("sent → accepted", accepted, "")
	return r, nil
}
