package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
)

// Query measures how fast dashboards are served, at a fixed rate: results that are cached in Redis,
// results that have to be queried from PostgreSQL, and for comparison a bare HTTP server that sends
// the same bytes.
type Query struct {
	Target   Target
	School   string // it has been simulated or imported before
	Rate     int    // cached reads a second; a two-hundredth of it uncached
	For      time.Duration
	Parallel int
	Progress Progress
}

var dashboard = []string{
	"/analytics/overview", "/analytics/attendance", "/analytics/performance", "/analytics/fees", "/analytics/at-risk",
}

// Run measures.
func (b *Query) Run(ctx context.Context) (*Result, error) {
	client := newCaller(b.Target, b.Parallel)
	defer client.close()
	root := "/v1/schools/" + b.School
	var sizes int
	bodies := map[string][]byte{}
	for _, path := range dashboard { // they are in the cache from now on
		got, err := client.do(ctx, http.MethodGet, root+path, nil, nil, http.StatusOK)
		if err != nil {
			return nil, err
		}
		bodies[root+path] = got.body
		sizes += len(got.body)
	}
	bare, err := bareServer(ctx, bodies)
	if err != nil {
		return nil, err
	}
	defer bare.Close()
	bareCaller := newCaller(Target{URL: "http://" + bare.Addr}, b.Parallel)
	defer bareCaller.close()

	outcomes := map[string]int{}
	var mu sync.Mutex
	cachedRead := func(c *caller) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			got, err := c.do(ctx, http.MethodGet, root+dashboard[i%len(dashboard)], nil, nil,
				http.StatusOK)
			mu.Lock()
			defer mu.Unlock()
			outcomes[got.header.Get("X-Cache")]++
			return err
		}
	}
	b.Progress.report("cached reads")
	cached, err := paced(ctx, b.Rate, b.For, b.Parallel, cachedRead(client))
	if err != nil {
		return nil, err
	}
	hits, misses := outcomes["hit"], outcomes["miss"]+outcomes["bypass"]
	b.Progress.report("the same bytes from a bare server")
	ceiling, err := paced(ctx, b.Rate, b.For, b.Parallel, cachedRead(bareCaller))
	if err != nil {
		return nil, err
	}
	b.Progress.report("uncached reads")
	first := domain.NewDate(2000, 1, 1)
	uncached, err := paced(ctx, max(1, b.Rate/200), b.For, b.Parallel,
		func(ctx context.Context, i int) error {
			// Each range of days is requested once, so that none is in the cache.
			path := fmt.Sprintf("%s/analytics/attendance?from=%s&to=2100-01-01", root,
				first.AddDays(i%7000))
			_, err := client.do(ctx, http.MethodGet, path, nil, nil, http.StatusOK)
			return err
		})
	if err != nil {
		return nil, err
	}
	r := &Result{
		Benchmark: "query",
		Setup: fmt.Sprintf(
			"%d reads/s for %s over %d connections, %d dashboards of %d bytes on average", b.Rate,
			b.For, b.Parallel, len(dashboard), sizes/len(dashboard),
		),
	}
	r.addLatencies("cached", cached, fmt.Sprintf("%d hits, %d others", hits, misses))
	r.addLatencies("bare server", ceiling, "the same bytes, nothing else")
	r.addLatencies("uncached", uncached,
		fmt.Sprintf("%d/s, each a range of days that was not requested before", max(1, b.Rate/200)))
	return r, nil
}

func bareServer(ctx context.Context, bodies map[string][]byte) (*http.Server, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start bare server: %w", err)
	}
	server := &http.Server{
		Addr:              listener.Addr().String(),
		ReadHeaderTimeout: 5 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(bodies[r.URL.Path])
		}),
	}
	go func() { _ = server.Serve(listener) }() // ends with Close
	return server, nil
}

// paced calls do at a fixed rate, however long the responses take, and returns how long after its
// due time each call completed: a server that stalls is charged for all calls that had to wait.
func paced(
	ctx context.Context, rate int, d time.Duration, parallel int,
	do func(ctx context.Context, i int) error,
) ([]time.Duration, error) {
	n := int(float64(rate) * d.Seconds())
	took := make([]time.Duration, n)
	start := time.Now()
	due := make(chan int)
	group, ctx := errgroup.WithContext(ctx)
	for range parallel {
		group.Go(func() error {
			for i := range due {
				at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
				if err := do(ctx, i); err != nil {
					return err
				}
				took[i] = time.Since(at)
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(due)
		for i := range n {
			timer := time.NewTimer(
				time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))),
			)
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			}
			select {
			case due <- i:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return took, nil
}
