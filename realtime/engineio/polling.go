package engineio

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// openPolling opens a session over long-polling: the handshake is the response.
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

// respond writes a batch as the response to a poll.
func (s *Session) respond(w http.ResponseWriter, b *Batch) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if _, err := w.Write(b.buf); err != nil {
		s.finish(TransportError)
	}
}

// noopAfter is how long a poll that comes during an upgrade waits for the upgrade to finish.
const noopAfter = 100 * time.Millisecond

// servePoll responds to a request for packets as soon as there are any.
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

	// A time limit of the HTTP server for requests must not end this one.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	b := batches.Get().(*Batch)
	b.polling, b.slot = true, nil
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

// ready collects packets for a poll, and reports whether to respond now.
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
		s.pumping = b.Len() > 0 // until the response has been written
		if s.pumping || !s.dirty && len(s.queue) == 0 {
			defer s.mu.Unlock()
			return s.pumping, s.mode
		}
		s.mu.Unlock()
	}
}

// endPoll responds to a poll with the collected packets, with the farewell of a session that has
// ended, or with a noop that lets the client continue its upgrade.
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

// servePost receives the packets of a request.
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
	case s.posting, r.Header.Get("Content-Type") == "application/octet-stream",
		r.Header.Get("Content-Encoding") != "":
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
		refused := badRequest
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			refused = tooLarge
		}
		refused.write(w)
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
	// else some old browsers offer to save the response as a file
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "ok")
}
