package engineio

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// openPolling serves a client that starts with long-polling: the handshake is the answer.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request) {
	session, refused := s.open(r)
	if refused != nil {
		refused.write(w)
		return
	}
	b := Batch{polling: true}
	b.packet(s.handshake(session, "websocket"))
	session.respond(w, &b)
}

// respond is the successful end of a request for packets.
func (s *Session) respond(w http.ResponseWriter, b *Batch) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if _, err := w.Write(b.buf); err != nil {
		s.finish(TransportError)
	}
}

// noopAfter is how long a poll that comes during an upgrade waits for the upgrade to be done.
const noopAfter = 100 * time.Millisecond

// servePoll answers a request for packets when there are some.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	wake := make(chan struct{}, 1)
	s.mu.Lock()
	upgrading, overlaps, overdue := s.mode == probing, s.poll != nil, s.overdue()
	if !overlaps {
		s.poll = wake
	}
	s.mu.Unlock()
	switch {
	case overlaps:
		s.finish(TransportError, Packet{Type: Close}) // to the request that came first
		badRequest.write(w)
		return
	case overdue:
		s.finish(PingTimeout)
	}

	// A server that limits the time of a request would else end this one.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	b := batches.Get().(*Batch)
	b.polling, b.slot = true, ws.NoSlot{}
	defer b.release()
	timer := time.NewTimer(noopAfter)
	defer timer.Stop()
	for {
		ready, now := s.ready(b)
		if ready || now == probing && !upgrading {
			s.endPoll(w, b)
			return
		}
		select {
		case <-wake:
		case <-timer.C:
			upgrading = false
		case <-r.Context().Done():
			s.finish(TransportError)
			return
		}
	}
}

// ready collects for a poll and reports that it is to be answered.
func (s *Session) ready(b *Batch) (bool, mode) {
	for {
		s.mu.Lock()
		if s.mode == closed || s.mode == streaming {
			defer s.mu.Unlock()
			return true, s.mode
		}
		s.pumping = true
		s.mu.Unlock()
		s.collect(b)
		s.mu.Lock()
		s.pumping = b.Len() > 0 // until the answer has been written
		if s.pumping || !s.dirty && len(s.queue) == 0 {
			defer s.mu.Unlock()
			return s.pumping, s.mode
		}
		s.mu.Unlock()
	}
}

// endPoll answers a poll: with what was collected, the farewell of a session that has ended, or nothing but a sign that
// the client is to go on with the upgrade.
func (s *Session) endPoll(w http.ResponseWriter, b *Batch) {
	s.mu.Lock()
	now := s.mode
	for _, p := range s.farewell {
		b.packet(p)
	}
	s.farewell = nil
	s.poll, s.pumping = nil, false
	s.mu.Unlock()
	if now == closed {
		s.server.forget(s)
	}
	switch {
	case b.Len() > 0:
		s.respond(w, b)
	case now == closed:
		unknownSession.write(w)
	case now == streaming:
		badRequest.write(w)
	default:
		b.packet(Packet{Type: Noop})
		s.respond(w, b)
	}
}

// servePost takes the packets that a request brings.
func (s *Session) servePost(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	switch {
	case s.mode == closed:
		s.mu.Unlock()
		unknownSession.write(w)
		return
	case s.mode == streaming:
		s.mu.Unlock()
		badRequest.write(w)
		return
	case s.posting, r.Header.Get("Content-Type") == "application/octet-stream", r.Header.Get("Content-Encoding") != "":
		s.mu.Unlock()
		s.finish(TransportError)
		badRequest.write(w)
		return
	}
	s.posting = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.posting = false
		s.mu.Unlock()
	}()

	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(s.server.cfg.MaxPayload)))
	if err != nil {
		s.finish(TransportError)
		answer := badRequest
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			answer = tooLarge
		}
		answer.write(w)
		return
	}
	_ = control.SetReadDeadline(time.Time{})
	for p, err := range DecodePayload(body) {
		if err == nil {
			err = s.receive(p)
		}
		if errors.Is(err, errClientClose) {
			s.fail(err)
			break
		}
		if err != nil {
			s.fail(err)
			badRequest.write(w)
			return
		}
	}
	w.Header().Set("Content-Type", "text/html") // as a script's answer, lest some old browser offers to save it
	_, _ = io.WriteString(w, "ok")
}
