// Package sse serves the realtime hub as server-sent events:
//
//	GET /v1/schools/{school}/stream?rooms=class:7a,student:12
//
// The rooms may also come in several parameters, as [realtime.ParseRooms] reads each.
//
// Each event of the log is one message: its id is the event's position, its data the structured
// CloudEvent. The first message has an id too, and in quiet rooms there is a new one from time to time
// without a message. A browser that reconnects sends the last id in Last-Event-ID and receives what
// it missed; ?after= does the same for the first request, with the position of an API response. If a
// position can no longer be served, the stream begins with a message "resync" whose data says why:
// the client reads the state from the API and connects from the position of that response.
//
// Other messages: "open" (at the start: the rooms and the position), "update" (a dashboard's
// projection has reached a position), "left" (the right to a room was withdrawn, or was none; with again it
// could not be looked up, and the client may join again), and "close" at the end, with the code and
// reason of [realtime.Close] and whether to reconnect. A comment every 15 seconds shows both sides
// that the connection is alive.
//
// # How data runs
//
// Unlike the other protocols, a stream needs no goroutine for reading, so the handler's own
// goroutine writes everything: it sleeps until the hub wakes the session, drains it, and sleeps
// again.
//
// # Where to make the first change
//
// A new kind of message: appendDelivery.
package sse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
)

// Encoding writes an event as a message.
var Encoding = &realtime.Encoding{Append: appendEvent}

func appendEvent(dst []byte, d *realtime.Delivery) []byte {
	dst = append(appendID(dst, d.Position), "event: event\ndata: "...)
	return append(d.AppendJSON(dst), "\n\n"...)
}

// appendID writes the id that the client sends when it comes back.
func appendID(dst []byte, at domain.LogPosition) []byte {
	return append(at.Append(append(dst, "id: "...)), '\n')
}

// appendMessage writes a message of another kind.
func appendMessage(dst []byte, event string, data any) []byte {
	b, err := json.Marshal(data)
	if err != nil {
		panic(err) // the structs below can always be written
	}
	return fmt.Appendf(dst, "event: %s\ndata: %s\n\n", event, b)
}

type (
	opened struct {
		Position domain.LogPosition `json:"position"`
		Rooms    []string           `json:"rooms"`
	}
	closed struct {
		Code      uint16 `json:"code"`
		Reason    string `json:"reason"`
		Reconnect bool   `json:"reconnect"`
	}
	resync struct {
		Reason   string             `json:"reason"`
		Position domain.LogPosition `json:"position"`
	}
)

// Config configures [Handler].
type Config struct {
	Hub    *realtime.Hub
	Access *realtime.Access
	// WriteTimeout is how long a write may wait for a client that does not read; then the
	// connection is closed. 0 means 10 s.
	WriteTimeout time.Duration
	// Heartbeat is the time between comments. 0 means 15 s.
	Heartbeat time.Duration
}

// Handler serves streams. Its pattern must contain {school}.
func Handler(cfg Config) http.Handler {
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 10*time.Second)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, 15*time.Second)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !cfg.Access.AllowOrigin(r) {
			writeProblem(w, http.StatusForbidden, "connections from this origin are not allowed")
			return
		}
		if origin := r.Header.Get("Origin"); origin != "" {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Add("Vary", "Origin")
		}
		st := &stream{
			cfg: cfg, w: w, control: http.NewResponseController(w),
			woken: make(chan struct{}, 1),
		}
		if err := st.open(r); err != nil {
			st.refuse(r, err)
			return
		}
		defer st.session.End()
		st.run(r.Context())
	})
}

// stream is one connection.
type stream struct {
	cfg     Config
	w       http.ResponseWriter
	control *http.ResponseController
	session *realtime.Session
	lost    error              // why the requested position cannot be served; nil if it can
	told    domain.LogPosition // the last id that the client has received
	woken   chan struct{}
}

// buffers are pooled: a stream holds one only while it writes.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

func (st *stream) wake(*realtime.Slot) {
	select {
	case st.woken <- struct{}{}:
	default:
	}
}

// open opens the requested session. If its position cannot be served, the session begins at the end
// of the log instead, and the client is sent a resync.
func (st *stream) open(r *http.Request) error {
	query, from := r.URL.Query(), r.Header.Get("Last-Event-ID")
	rooms := strings.Join(query["rooms"], "\n")
	identity, err := st.cfg.Access.IdentifyFor(r, realtime.TicketUse{
		Stream: r.URL.Path + "?" + rooms, Again: from != "",
	})
	if err != nil {
		return err
	}
	opts := realtime.Options{
		School: r.PathValue("school"), Protocol: "sse", Wake: st.wake,
		Resuming: from != "", Key: query.Get("ticket"),
	}
	if opts.Rooms, err = realtime.ParseRooms(rooms); err != nil {
		return badRequest{err}
	}
	if from == "" {
		from = query.Get("after")
	}
	if from != "" {
		opts.From = new(domain.LogPosition)
		if st.lost = opts.From.UnmarshalText([]byte(from)); st.lost != nil {
			opts.From = nil
		}
	}
	st.session, err = st.cfg.Hub.Open(r.Context(), identity, opts)
	if errors.Is(err, realtime.ErrUnrecoverable) {
		st.lost, opts.From = err, nil
		st.session, err = st.cfg.Hub.Open(r.Context(), identity, opts)
	}
	return err
}

func (st *stream) writeHeader() {
	h := st.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies must not buffer messages
	st.w.WriteHeader(http.StatusOK)
}

// run writes until the connection or the session ends.
func (st *stream) run(ctx context.Context) {
	st.writeHeader()
	first := opened{Position: st.session.Position()}
	for _, room := range st.session.Rooms() {
		first.Rooms = append(first.Rooms, room.String())
	}
	// The id makes up for the time until the first event. A client whose own is of no use gets a new
	// one together with the news of that.
	hello := []byte("retry: 1000\n\n")
	if st.lost == nil {
		hello = appendMessage(appendID(hello, first.Position), "open", first)
	} else {
		hello = appendMessage(hello, "open", first)
		hello = appendMessage(appendID(hello, first.Position), "resync",
			resync{st.lost.Error(), first.Position})
	}
	st.told = first.Position
	if st.write(hello) != nil {
		return
	}
	beat := time.NewTicker(st.cfg.Heartbeat)
	defer beat.Stop()
	for {
		if !st.drain(ctx) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-st.woken:
		case <-beat.C:
			if st.write(st.appendBeat(nil)) != nil {
				return
			}
		}
	}
}

// appendBeat writes a comment. If the log has grown without an event for the client, it also has an id
// alone, which clients remember without a message.
func (st *stream) appendBeat(dst []byte) []byte {
	dst = append(dst, ": still here\n"...)
	if at := st.session.Position(); at != st.told {
		dst, st.told = appendID(dst, at), at
	}
	return append(dst, '\n')
}

// drain writes until the session has nothing more, and reports whether the stream continues.
func (st *stream) drain(ctx context.Context) bool {
	pooled := buffers.Get().(*[]byte)
	defer buffers.Put(pooled)
	var batch []realtime.Delivery
	for {
		var err error
		batch, err = st.session.Next(ctx, nil, batch[:0])
		buf := (*pooled)[:0]
		for i := range batch {
			buf = appendDelivery(buf, &batch[i])
			if batch[i].Kind == realtime.KindEvent {
				st.told = batch[i].Position
			}
		}
		if end, ok := errors.AsType[realtime.Close](err); ok {
			if end == realtime.CloseResync {
				buf = appendMessage(buf, "resync", resync{end.Reason, st.session.Position()})
			}
			buf = appendMessage(buf, "close", closed{end.Code, end.Reason, end.Reconnect()})
		}
		*pooled = buf
		if len(buf) > 0 && st.write(buf) != nil {
			return false
		}
		st.session.Sent(batch, len(buf))
		if err != nil {
			return false
		}
		if len(batch) == 0 {
			return true
		}
	}
}

func appendDelivery(buf []byte, d *realtime.Delivery) []byte {
	name := "left"
	switch d.Kind {
	case realtime.KindEvent:
		return append(buf, d.Frame(Encoding)...)
	case realtime.KindUpdate:
		name = "update"
	}
	buf = append(append(append(buf, "event: "...), name...), "\ndata: "...)
	return append(d.AppendNotice(buf), "\n\n"...)
}

func (st *stream) write(b []byte) error {
	if err := st.control.SetWriteDeadline(time.Now().Add(st.cfg.WriteTimeout)); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := st.w.Write(b); err != nil {
		return err
	}
	return st.control.Flush()
}
