package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/announcement"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
	"github.com/schoolbell/schoolbell/eventlog/memlog"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/centrifuge"
)

const fanoutSchool = "bench"

// ServeFanout is the server that [Fanout] measures, in a process of its own: the hub over a log in
// memory, spoken to in the Centrifuge protocol. It writes its address to w, and publishes on
// request: POST /publish?events=N&rooms=R gives the next N events, each to the next of R rooms.
// POST /settle collects garbage. The servers of bench/peers do the same.
func ServeFanout(ctx context.Context, w io.Writer) error {
	log := memlog.New(1)
	hub, err := realtime.New(
		realtime.Config{Log: log, Key: make([]byte, 32), MaxPerUser: 1 << 20, MaxLag: 100_000},
	)
	if err != nil {
		return fmt.Errorf("start hub: %w", err)
	}
	server := centrifuge.New(centrifuge.Config{Hub: hub, Access: &realtime.Access{
		Verify: func(context.Context, string) (realtime.Identity, error) {
			return realtime.Identity{
				Subject: "bench", School: fanoutSchool, Roles: []string{"admin"},
				Expires: time.Now().Add(time.Hour),
			}, nil
		},
	}})
	go func() { _ = hub.Run(ctx) }()
	go func() { _ = server.Run(ctx) }()
	if err := hub.Ready(ctx); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", server)
	mux.HandleFunc("POST /settle",
		func(http.ResponseWriter, *http.Request) { debug.FreeOSMemory() })
	next := 0
	mux.HandleFunc("POST /publish", func(_ http.ResponseWriter, r *http.Request) {
		events, _ := strconv.Atoi(r.FormValue("events"))
		rooms, _ := strconv.Atoi(r.FormValue("rooms"))
		for range events {
			rec, err := cloudevents.Encode(
				fanoutEvent(fanoutSchool, next, "r"+strconv.Itoa(next%rooms), time.Now()),
			)
			if err == nil {
				_, err = log.Append(ctx, fanoutSchool, []eventlog.Record{rec})
			}
			if err != nil {
				return
			}
			next++
			if next%50_000 == 0 {
				log.Truncate(0, int64(next-200_000)) // the log of a benchmark is not for keeping
			}
		}
	})
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = web.Close() })
	defer stop()
	fmt.Fprintln(w, "listening", listener.Addr())
	if err := web.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// fanoutEvent is the n-th notice, to one class, whose title says when it was published.
func fanoutEvent(school string, n int, class string, now time.Time) *domain.Envelope {
	return &domain.Envelope{
		ID: strconv.Itoa(n), Source: "https://bench.example", School: school, Time: now,
		Data: &announcement.Posted{
			AnnouncementID: strconv.Itoa(n), Title: "t" + strconv.FormatInt(now.UnixNano(), 10),
			Body: "School ends at noon today.", Channels: []string{announcement.InApp},
			Audience: announcement.Audience{ClassIDs: []string{class}},
		},
	}
}
