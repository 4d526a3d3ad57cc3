package httpapi_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/internal/devstack"
	"github.com/schoolbell/schoolbell/internal/httpapi"
	"github.com/schoolbell/schoolbell/internal/kafka"
)

// TestP1_WhatWasAcceptedIsInTheLog has producers go on while the broker is closed and opened again
// on its data. Whatever was answered 202 is in the log afterwards, at the position that was
// answered.
func TestP1_WhatWasAcceptedIsInTheLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broker, err := devstack.StartKafka(devstack.KafkaConfig{Dir: dir})
	require.NoError(t, err)
	defer func() { broker.Stop() }()
	var address atomic.Value // changes when the broker is opened again
	address.Store(broker.Brokers()[0])
	log, err := kafka.Open(t.Context(), kafka.Config{
		Brokers: broker.Brokers(), Partitions: partitions,
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address.Load().(string))
		},
	}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close()) }()
	s := logOnly(t, func(c *httpapi.Config, d *httpapi.Deps) {
		c.AppendLimit = 500 * time.Millisecond
		d.Log = log
	})

	var mu sync.Mutex
	accepted, refused := map[string]domain.Position{}, 0
	count := func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return len(accepted), refused
	}
	ctx, stop := context.WithCancel(t.Context())
	var producers sync.WaitGroup
	for p := range 4 {
		school := fmt.Sprintf("school-%d", p)
		writer := token(t, school, "sis", "events:write")
		producers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s/%d", school, i)
				r := s.do(http.MethodPost, "/v1/schools/"+school+"/events", writer,
					marked(id, "s", "late"), "Content-Type", cloudevents.StructuredType)
				var a httpapi.Accepted
				switch r.StatusCode {
				case http.StatusAccepted:
					if err := json.Unmarshal(r.body, &a); err != nil {
						t.Error(err)
					}
					mu.Lock()
					accepted[id] = a.Position.Position
					mu.Unlock()
				case http.StatusServiceUnavailable:
					mu.Lock()
					refused++
					mu.Unlock()
				default:
					t.Errorf("%d: %s", r.StatusCode, r.body)
				}
			}
		})
	}
	for range 3 {
		before, _ := count()
		require.Eventually(t, func() bool { n, _ := count(); return n > before+50 }, 30*time.Second,
			time.Millisecond)
		_, before = count()
		broker.Stop()
		require.Eventually(t, func() bool { _, n := count(); return n > before }, 30*time.Second,
			time.Millisecond)
		broker, err = devstack.StartKafka(devstack.KafkaConfig{Dir: dir})
		require.NoError(t, err)
		address.Store(broker.Brokers()[0])
	}
	before, _ := count()
	require.Eventually(t, func() bool { n, _ := count(); return n > before+50 }, 30*time.Second,
		time.Millisecond, "it continues on its own")
	stop()
	producers.Wait()

	inLog := map[domain.Position]string{}
	for p := range int32(partitions) {
		_, end, err := log.Bounds(t.Context(), p)
		require.NoError(t, err)
		for next := int64(0); next < end; {
			batch, err := log.Fetch(t.Context(), p, next, 1<<20, time.Second)
			require.NoError(t, err)
			for _, rec := range batch.Records {
				e, err := cloudevents.Decode(rec)
				require.NoError(t, err)
				inLog[rec.Position] = e.ID
			}
			next = batch.Next
		}
	}
	for id, at := range accepted {
		require.Equal(t, id, inLog[at])
	}
}
