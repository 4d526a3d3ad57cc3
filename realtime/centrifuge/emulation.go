package centrifuge

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/centrifugal/protocol"
	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Where a network blocks WebSockets, a client receives by a response that does not end, and sends each
// command in a request of its own, which names the session of that response.

const contentProtobuf = "application/octet-stream"

var (
	streamJSON = newWire(jsonFormat{}, func(dst, message []byte) []byte {
		return append(append(dst, message...), '\n')
	})
	streamProtobuf = newWire(protobufFormat{}, func(dst, message []byte) []byte {
		return append(dst, message...) // its length precedes it
	})
	eventsJSON = newWire(jsonFormat{}, func(dst, message []byte) []byte {
		return append(append(append(dst, "data: "...), message...), "\n\n"...)
	})
)

// HTTPStream serves POST requests whose body is a connect command.
func (s *Server) HTTPStream() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admits(w, r, http.MethodPost) {
			return
		}
		first, err := s.read(w, r)
		if err != nil {
			return
		}
		wire, content := streamJSON, "application/json"
		if r.Header.Get("Content-Type") == contentProtobuf {
			wire, content = streamProtobuf, contentProtobuf
		}
		s.serveStream(w, r, &stream{wire: wire, content: content}, first) //nolint:contextcheck // a connection outlives the request that brings a command
	})
}

// EventStream serves server-sent events, for a GET request whose parameter cf_connect is a connect
// command. It shows a ticket in place of a token, since URLs end up in logs.
func (s *Server) EventStream() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.admits(w, r, http.MethodGet) {
			events := &stream{wire: eventsJSON, content: "text/event-stream"}
			first := []byte(r.URL.Query().Get("cf_connect"))
			s.serveStream(w, r, events, first) //nolint:contextcheck // a connection outlives the request that brings a command
		}
	})
}

// Commands serves the requests with the commands of streams.
func (s *Server) Commands() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.admits(w, r, http.MethodPost) {
			return
		}
		body, err := s.read(w, r)
		if err != nil {
			return
		}
		var req struct{ Session, Data string }
		if r.Header.Get("Content-Type") == contentProtobuf {
			var in protocol.EmulationRequest
			err = in.UnmarshalVT(body)
			req.Session, req.Data = in.Session, string(in.Data)
		} else {
			err = json.Unmarshal(body, &req, json.MatchCaseInsensitiveNames(true))
		}
		if err != nil {
			http.Error(w, "want the session and data of a command", http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		c := s.streams[req.Session]
		s.mu.Unlock()
		if c == nil {
			http.Error(w, "this node has no such session", http.StatusNotFound)
			return
		}
		c.heard.Store(time.Now().UnixNano())
		if err := c.handle([]byte(req.Data)); err != nil { //nolint:contextcheck // a connection outlives the request that brings a command
			c.close(realtime.CloseOf(err))
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// admits checks the origin and method of a request. If it returns false it has responded.
func (s *Server) admits(w http.ResponseWriter, r *http.Request, method string) bool {
	if !s.cfg.Access.AllowOrigin(r) {
		http.Error(w, "connections from this origin are not allowed", http.StatusForbidden)
		return false
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if origin := r.Header.Get("Origin"); origin != "" {
		h.Add("Vary", "Origin")
		h.Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", method)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return false
		}
	}
	if r.Method != method {
		h.Set("Allow", method)
		http.Error(w, "want "+method, http.StatusMethodNotAllowed)
		return false
	}
	return true
}

// read reads the body of a request. If it returns an error it has responded.
func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.cfg.WriteTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.cfg.MaxMessage)))
	if err != nil {
		status := http.StatusBadRequest
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			status = http.StatusRequestEntityTooLarge
		}
		http.Error(w, "the commands cannot be read", status)
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return body, err
}

// serveStream opens a connection by the first commands, and writes to it until it ends.
func (s *Server) serveStream(w http.ResponseWriter, r *http.Request, to *stream, first []byte) {
	identity, err := s.cfg.Access.Identify(r)
	if err != nil && !errors.Is(err, realtime.ErrNoToken) {
		http.Error(w, realtime.Explain(err), realtime.StatusOf(err))
		return
	}
	c := s.newConn(identity, to.wire)
	c.id, c.inURL = rand.Text(), r.Method == http.MethodGet
	if err := s.enter(c); err != nil {
		w.Header().Set("Retry-After", "2")
		http.Error(w, err.Error(), realtime.StatusOf(err))
		return
	}
	defer s.leave(c)
	to.w, to.control, to.timeout = w, http.NewResponseController(w), s.cfg.WriteTimeout
	to.ended = make(chan struct{})
	s.attach(c, to)
	w.Header().Set("Content-Type", to.content)
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not buffer messages
	w.WriteHeader(http.StatusOK)
	if to.Write(nil) != nil {
		return
	}
	c.heard.Store(time.Now().UnixNano())
	if err := c.handle(bytes.TrimSpace(first)); err != nil {
		c.close(realtime.CloseOf(err))
	} else if c.session == nil { // its token has expired: it comes back with a newer one
		c.close(realtime.CloseExpired)
	}
	c.awaitEnd(r, to)
	c.ended.Store(true)
	c.writing.Lock() // no command runs any more
	defer c.writing.Unlock()
	if c.session != nil {
		c.session.End()
	}
}

// awaitEnd waits for the end of the connection, and ends it when the client does not return pings.
func (c *conn) awaitEnd(r *http.Request, to *stream) {
	silence := c.server.cfg.PingInterval + c.server.cfg.PongTimeout
	timer := time.NewTimer(silence)
	defer timer.Stop()
	for {
		select {
		case <-to.ended:
			return
		case <-r.Context().Done():
			to.end()
			return
		case <-timer.C:
			left := silence - time.Since(time.Unix(0, c.heard.Load()))
			if left <= 0 {
				c.close(realtime.CloseNoPong)
				return
			}
			timer.Reset(left)
		}
	}
}

// stream is the response by which a client receives. It is a [link].
type stream struct {
	wire    *wire
	content string // its Content-Type
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of a write

	writing sync.Mutex
	closed  bool
	ended   chan struct{} // closed with closed
}

// Write implements link.
func (s *stream) Write(frames []byte) error { return s.Push(frames, nil) }

// Push implements link. A response may wait for its client at any time, so the slot is released.
func (s *stream) Push(frames []byte, slot ws.Slot) error {
	ws.Release(slot)
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return fmt.Errorf("write stream: %w", ws.ErrClosed)
	}
	err := s.write(frames)
	if err != nil {
		s.finish()
	}
	return err
}

// write writes within the time limit. The lock is held.
func (s *stream) write(frames []byte) error {
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil &&
		!errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("write stream: %w", err)
	}
	if _, err := s.w.Write(frames); err != nil {
		return fmt.Errorf("write stream: %w", err)
	}
	return s.control.Flush()
}

// Close implements link: a response has no close code, so a message says it.
func (s *stream) Close(code int, reason string) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.closed {
		_ = s.write(s.wire.appendPush(nil, &push{disconnect: &ending{uint32(code), reason}}))
		s.finish()
	}
}

// end ends a stream whose client has gone.
func (s *stream) end() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if !s.closed {
		s.finish()
	}
}

// finish ends the stream. The lock is held.
func (s *stream) finish() {
	s.closed = true
	close(s.ended)
}
