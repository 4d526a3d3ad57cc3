package engineio

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// openPolling serves a client that starts with long-polling: the handshake is the answer.
func (s *Server) openPolling(w http.ResponseWriter, r *http.Request) {
	session, refused := s.open(r)
	if refused != nil {
		refused.write(w)
		return
	}
	session.start()
	b := Batch{polling: true}
	b.packet(s.handshake(session, "websocket"))
	session.answer(w, &b)
}

// answer is the successful end of a request for packets.
func (s *Session) answer(w http.ResponseWriter, b *Batch) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.server.cfg.WriteTimeout))
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	if _, err := w.Write(b.buf); err != nil {
		s.finish(TransportError)
	}
}

// noopAfter is how long a request waits for the upgrade that is under way to be done.
const noopAfter = 100 * time.Millisecond

// servePoll answers a request for packets when there are some.
func (s *Session) servePoll(w http.ResponseWriter, r *http.Request) {
	b := batches.Get().(*Batch)
	b.polling = true
	defer b.release()

	s.mu.Lock()
	switch {
	case s.mode == closed:
		farewell := s.farewell
		s.farewell = nil
		s.mu.Unlock()
		s.server.forget(s)
		s.sayFarewell(w, b, farewell)
		return
	case s.mode == streaming:
		s.mu.Unlock()
		badRequest.write(w)
		return
	case s.poll != nil:
		s.mu.Unlock()
		s.finish(TransportError, Packet{Type: Close}) // to the request that came first
		badRequest.write(w)
		return
	case s.overdue():
		s.mu.Unlock()
		s.finish(PingTimeout)
		unknownSession.write(w)
		return
	}
	wake := make(chan struct{}, 1)
	s.poll, s.pumping = wake, true
	arrivedIn := s.mode
	s.mu.Unlock()

	// Without a deadline of its own a long request would end with the server's.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	var noop <-chan time.Time
	for {
		s.collect(b)
		s.mu.Lock()
		now := s.mode
		nothing := b.Len() == 0 && !s.dirty && len(s.queue) == 0
		if b.Len() > 0 || now == closed || nothing && now == probing && arrivedIn == polling {
			s.leave()
			farewell := s.farewell
			s.farewell = nil
			s.mu.Unlock()
			if b.Len() == 0 && now == probing {
				farewell = []Packet{{Type: Noop}}
			}
			s.sayFarewell(w, b, farewell)
			return
		}
		s.pumping = !nothing
		s.mu.Unlock()
		if !nothing {
			continue
		}
		if now == probing && noop == nil {
			timer := time.NewTimer(noopAfter)
			defer timer.Stop()
			noop = timer.C
		}
		select {
		case <-wake:
		case <-noop:
			arrivedIn = polling
		case <-r.Context().Done():
			s.finish(TransportError)
			return
		}
		if !s.resume() {
			badRequest.write(w) // it was moved to a WebSocket meanwhile
			return
		}
	}
}

// resume goes on collecting for a poll that has waited.
func (s *Session) resume() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == streaming {
		s.poll = nil
		return false
	}
	s.pumping = true
	return true
}

// leave ends a poll. The lock is held.
func (s *Session) leave() {
	s.poll, s.pumping = nil, false
	if s.mode == streaming {
		s.kick()
	}
}

// sayFarewell answers with what the batch holds and the last packets, if there are any.
func (s *Session) sayFarewell(w http.ResponseWriter, b *Batch, last []Packet) {
	for _, p := range last {
		b.packet(p)
	}
	if b.Len() == 0 {
		unknownSession.write(w)
		return
	}
	s.answer(w, b)
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
