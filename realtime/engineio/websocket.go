package engineio

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// openWebSocket opens a session over WebSocket.
func (s *Server) openWebSocket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") == "" {
		badRequest.write(w)
		return
	}
	session, refused := s.open(r)
	if refused != nil {
		refused.write(w)
		return
	}
	conn, err := s.ws.Accept(w, r) // responds on errors
	if err != nil {
		session.finish(TransportError)
		return
	}
	s.running.Go(func() {
		defer conn.Release()
		if session.stream(conn) {
			session.read(conn)
		} else {
			conn.Close(ws.CloseGoingAway, string(ServerClose))
		}
	})
}

// stream puts a new session on conn, unless it has already ended.
func (s *Session) stream(conn *ws.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == closed {
		return false
	}
	s.mode, s.conn = streaming, conn
	s.queue = append([]Packet{s.server.handshake(s)}, s.queue...)
	s.startWriter()
	return true
}

// read receives packets until the connection ends.
func (s *Session) read(conn *ws.Conn) {
	for {
		kind, msg, err := conn.Read()
		if err != nil {
			reason := TransportClose
			if errors.Is(err, ws.ErrProtocol) {
				reason = TransportError
			}
			s.finish(reason)
			return
		}
		p := Packet{Type: Message, Binary: true, Data: msg}
		if kind == ws.Text {
			p, err = Decode(msg)
		}
		if err == nil {
			err = s.receiveApart(p)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// receiveApart is receive on a stack of its own: stacks that have grown stay large, and the reading
// goroutine lives as long as the connection.
func (s *Session) receiveApart(p Packet) error {
	if p.Type != Message {
		return s.receive(p)
	}
	done := make(chan error)
	go func() { done <- s.receive(p) }()
	return <-done
}

var batches = sync.Pool{New: func() any { return new(Batch) }}

// maxPooled is the largest buffer that goes back into the pool, in bytes.
const maxPooled = 4 * batchSize

func (b *Batch) release() {
	if cap(b.buf) <= maxPooled {
		b.buf = b.buf[:0]
		batches.Put(b)
	}
}

// pump writes batches to the WebSocket until there is nothing more to send.
func (s *Session) pump(slot ws.Slot) {
	b := batches.Get().(*Batch)
	b.polling, b.slot = false, slot
	defer b.release()
	for {
		s.collect(b)
		if b.Len() > 0 {
			if err := s.conn.Push(b.buf, slot); err != nil {
				if !errors.Is(err, ws.ErrClosed) { // else the reader knows the reason
					ws.Release(slot)
					s.finish(TransportError)
				}
				return
			}
			b.buf = b.buf[:0]
			continue
		}
		s.mu.Lock()
		if s.mode == streaming && (len(s.queue) > 0 || s.dirty && s.ending == nil) {
			s.mu.Unlock()
			continue
		}
		s.pumping = false
		ending := s.ending
		s.mu.Unlock()
		if ending != nil {
			ws.Release(slot)
			s.finish(ending.reason)
		}
		return
	}
}

// serveUpgrade accepts a WebSocket to which a polling client wants to upgrade. A session has at
// most one at a time.
func (s *Session) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	conn, err := s.server.ws.Accept(w, r)
	if err != nil {
		return
	}
	s.server.running.Go(func() {
		defer conn.Release()
		if s.probe(conn) {
			s.read(conn)
		} else {
			conn.Close(ws.ClosePolicy, "upgrade refused")
		}
	})
}

// probe performs the steps of an upgrade, and reports whether the session is now on conn.
func (s *Session) probe(conn *ws.Conn) bool {
	s.mu.Lock()
	free := s.mode == polling && s.conn == nil && s.ending == nil
	if free {
		s.conn = conn
	}
	s.mu.Unlock()
	if !free {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(s.server.cfg.UpgradeTimeout))
	if expect(conn, Ping, "probe") && s.confirmProbe(conn) && expect(conn, Upgrade, "") &&
		s.upgrade() {
		_ = conn.SetReadDeadline(time.Time{})
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == probing {
		s.mode = polling
	}
	s.conn = nil
	return false
}

// expect reads a packet and reports whether it is the expected one.
func expect(conn *ws.Conn, t Type, data string) bool {
	kind, msg, err := conn.Read()
	if err != nil || kind != ws.Text {
		return false
	}
	p, err := Decode(msg)
	return err == nil && p.Type == t && string(p.Data) == data
}

// confirmProbe confirms that the connection works, and ends the waiting poll: the client opens no
// other before the upgrade has finished.
func (s *Session) confirmProbe(conn *ws.Conn) bool {
	if conn.Write(ws.AppendFrame(nil, ws.Text, []byte{byte(Pong)}, []byte("probe"))) != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode != polling {
		return false
	}
	s.mode = probing
	s.startWriter()
	return true
}

// upgrade puts the session on the WebSocket, unless a request is still using it.
func (s *Session) upgrade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode != probing || s.posting || s.pumping {
		return false
	}
	s.mode = streaming
	s.startWriter()
	return true
}
