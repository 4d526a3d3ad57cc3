package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Delivery measures how long after an event has been accepted live clients have it, under a modest
// load: from HTTP through the log and the hub to the sockets, with all that a deployment does
// meanwhile.
type Delivery struct {
	Target      Target // must allow one user that many connections
	Connections int
	Rooms       int
	Rate        int // events a second, each for one room
	For         time.Duration
	Progress    Progress
}

// receivedEvent is an event as one client received it.
type receivedEvent struct{ sent, read time.Time }

// Run measures.
func (b *Delivery) Run(ctx context.Context) (*Result, error) {
	school := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	at, err := url.Parse(b.Target.URL)
	if err != nil {
		return nil, fmt.Errorf("read address: %w", err)
	}
	var mu sync.Mutex
	var received []receivedEvent
	b.Progress.report("delivery: connecting %d clients", b.Connections)
	swarm, err := connect(
		ctx,
		at.Host,
		centrifugeWith(b.Target.Token, school),
		b.Rooms,
		b.Connections,
		func(_ int, sent, read time.Time) {
			mu.Lock()
			defer mu.Unlock()
			received = append(received, receivedEvent{sent, read})
		},
	)
	if err != nil {
		return nil, err
	}
	defer swarm.close()

	caller := newCaller(b.Target, 4)
	defer caller.close()
	accepted := map[int64]time.Time{} // by when the event was sent
	run := func(first int, d time.Duration) error {
		_, err := paced(ctx, b.Rate, d, 4, func(ctx context.Context, i int) error {
			sent := time.Now()
			event := fanoutEvent(school, first+i, "r"+strconv.Itoa(i%b.Rooms), sent)
			body, err := cloudevents.AppendStructured(nil, event)
			if err != nil {
				return fmt.Errorf("encode event: %w", err)
			}
			if _, err = caller.do(ctx, http.MethodPost, "/v1/schools/"+school+"/events",
				map[string]string{"Content-Type": "application/cloudevents+json"}, body, http.StatusAccepted); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			accepted[sent.UnixNano()] = time.Now()
			return nil
		})
		return err
	}
	b.Progress.report("delivery: %d events/s for %s", b.Rate, b.For)
	warm := b.For / 4
	if err := run(0, warm); err != nil {
		return nil, err
	}
	start := time.Now()
	if err := run(int(float64(b.Rate)*warm.Seconds())+1, b.For); err != nil {
		return nil, err
	}
	fromAccepted, fromSent := []time.Duration(nil), []time.Duration(nil)
	missing := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(received) < len(accepted)*b.Connections/b.Rooms
	}
	for end := time.Now().Add(5 * time.Second); missing(); {
		if time.Now().After(end) {
			return nil, errors.New("not all clients have received all events")
		}
		<-time.After(time.Millisecond)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, h := range received {
		if !h.sent.Before(start) {
			fromSent = append(fromSent, h.read.Sub(h.sent))
			// some clients have it before the response is read
			fromAccepted = append(fromAccepted, max(0, h.read.Sub(accepted[h.sent.UnixNano()])))
		}
	}
	r := &Result{
		Benchmark: "delivery",
		Setup: fmt.Sprintf("%d connections in %d rooms, %d events/s for %s", b.Connections, b.Rooms,
			b.Rate, b.For),
	}
	r.addLatencies(
		"accepted → read",
		fromAccepted,
		fmt.Sprintf("%d connections in %d rooms, %d events/s through the whole of serve",
			b.Connections, b.Rooms, b.Rate),
	)
	r.addLatencies("sent → read", fromSent, "the request included")
	return r, nil
}

// centrifugeWith is how an operator of the platform receives a school's events.
func centrifugeWith(token, school string) FanoutProtocol {
	p := CentrifugeProtocol
	p.Join = func(room string) []string {
		return []string{
			fmt.Sprintf(`{"id":1,"connect":{"token":%q,"data":{"school":%q}}}`, token, school),
			`{"id":2,"subscribe":{"channel":"class:` + room + `"}}`,
		}
	}
	return p
}
