package engineio

import (
	"errors"
	"sync"
	"time"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Reason is why a session ended, in the words of the protocol's own server.
type Reason string

// The reasons.
const (
	TransportClose Reason = "transport close" // by the client, or its connection ended
	// the client broke the rules of the transport, or did not read
	TransportError Reason = "transport error"
	ParseError     Reason = "parse error"  // the client sent something that is not a packet
	PingTimeout    Reason = "ping timeout" // the client did not reply to a ping
	ServerClose    Reason = "forced close" // by [Session.Close]
)

// errClientClose says that the client closes the session.
var errClientClose = errors.New("closed by the client")

type mode uint8

const (
	polling   mode = iota
	probing        // polling, while an upgrade to conn is tried
	streaming      // conn is a WebSocket
	closed
)

// Session is one client's connection, on whichever transport. Its methods may be called from any
// goroutine.
type Session struct {
	server *Server
	id     string

	// mu guards the fields below. Nothing is called, written or waited for under it.
	mu       sync.Mutex
	handler  Handler // nil until start, and never changed then
	mode     mode
	conn     *ws.Conn
	queue    []Packet      // replies, sent before the batches of Next
	queued   int           // bytes in queue
	taken    chan struct{} // closed when the queue was taken; nil unless awaitTaken waits
	dirty    bool          // Next must be called
	pumping  bool          // a goroutine is collecting and writing
	poll     chan struct{} // wakes the request that waits for packets; nil without one
	posting  bool          // a request with packets is being read
	ending   *ending       // end the session when the queue has been sent
	farewell []Packet      // packets for the next poll after the end

	timer  *time.Timer
	due    time.Time // of the next ping, or of the reply to it
	pinged bool
}

type ending struct {
	reason Reason
	code   int
	text   string
}

// ID names the session in the client's requests. It is a secret: whoever knows it can take the
// session over.
func (s *Session) ID() string { return s.id }

// Send queues packets. The packets of one call stay together.
func (s *Session) Send(packets ...Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mode == closed || s.ending != nil {
		return
	}
	for _, p := range packets {
		s.queue = append(s.queue, p)
		s.queued += len(p.Data)
	}
	s.startWriter()
}

// Wake says that [Handler.Next] has something to send.
func (s *Session) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dirty = true
	s.startWriter()
}

// Push is Wake for a goroutine with a slot: it writes there itself, and releases the slot before it
// waits.
func (s *Session) Push(slot ws.Slot) {
	s.mu.Lock()
	s.dirty = true
	if s.mode != streaming || s.pumping {
		s.startWriter()
		s.mu.Unlock()
		return
	}
	s.pumping = true
	s.server.running.Add(1)
	s.mu.Unlock()
	defer s.server.running.Done()
	s.pump(slot)
}

// Close ends the session once its queue has been sent. Code and text are for the client, and reach
// it where the transport can carry them.
func (s *Session) Close(reason Reason, code int, text string) {
	s.mu.Lock()
	if s.mode == closed || s.ending != nil {
		s.mu.Unlock()
		return
	}
	s.ending = &ending{reason, code, text}
	if s.handler == nil { // start sees to it
		s.mu.Unlock()
		return
	}
	if s.mode == streaming {
		s.startWriter()
		s.mu.Unlock()
		return
	}
	farewell := append(s.queue, Packet{Type: Close})
	s.mu.Unlock()
	s.finish(reason, farewell...)
}

// startWriter starts a writer, or wakes the waiting poll. The lock is held.
func (s *Session) startWriter() {
	if s.mode == streaming && !s.pumping {
		s.pumping = true
		s.server.running.Go(func() { s.pump(nil) })
	}
	if s.poll != nil {
		select {
		case s.poll <- struct{}{}:
		default:
		}
	}
}

// collect moves queued packets, and then those of the handler, into a batch.
func (s *Session) collect(b *Batch) {
	s.mu.Lock()
	queue, dirty := s.queue, s.dirty && s.ending == nil && s.mode != closed
	s.queue, s.queued, s.dirty = nil, 0, false
	s.wakeReader()
	s.mu.Unlock()
	for _, p := range queue {
		b.packet(p)
	}
	if !dirty {
		return
	}
	if !b.Full() {
		s.handler.Next(b)
	}
	if b.Full() {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
	}
}

// maxQueued is how many bytes of replies may be queued before the client is no longer read from.
const maxQueued = 64 << 10

// awaitTaken waits until the client has taken enough replies to send more requests.
func (s *Session) awaitTaken() {
	s.mu.Lock()
	for s.queued > maxQueued && s.mode != closed {
		if s.taken == nil {
			s.taken = make(chan struct{})
		}
		taken := s.taken
		s.mu.Unlock()
		<-taken
		s.mu.Lock()
	}
	s.mu.Unlock()
}

// wakeReader wakes awaitTaken. The lock is held.
func (s *Session) wakeReader() {
	if s.taken != nil {
		close(s.taken)
		s.taken = nil
	}
}

// receive handles one packet from the client.
func (s *Session) receive(p Packet) error {
	s.awaitTaken()
	switch p.Type {
	case Message:
		return s.handler.Message(p.Binary, p.Data)
	case Pong:
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.pinged && s.mode != closed {
			s.pinged = false
			s.due = time.Now().Add(s.server.cfg.PingInterval)
			s.timer.Reset(s.server.cfg.PingInterval)
		}
		return nil
	case Close:
		return errClientClose
	case Ping:
		return ErrMalformed // in this version the server sends the pings
	default:
		return nil
	}
}

// fail ends a session after receive has returned an error.
func (s *Session) fail(err error) {
	if errors.Is(err, errClientClose) {
		// The poll that belongs to it gets an empty response, even if it comes a moment later.
		s.finish(TransportClose, Packet{Type: Noop})
		return
	}
	s.finish(ParseError)
}

// start gives the session its handler and starts the heartbeat. It returns the end of a session that
// was closed before.
func (s *Session) start(h Handler) *ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = h
	s.due = time.Now().Add(s.server.cfg.PingInterval)
	s.timer = time.AfterFunc(s.server.cfg.PingInterval, s.heartbeat)
	return s.ending
}

// heartbeat sends a ping, or ends a session that did not reply to the last one.
func (s *Session) heartbeat() {
	s.mu.Lock()
	if s.mode == closed {
		s.mu.Unlock()
		s.server.forget(s) // no poll came for the farewell
		return
	}
	late := time.Since(s.due)
	switch {
	case late < 0:
		s.timer.Reset(-late)
	case s.pinged:
		s.mu.Unlock()
		s.finish(PingTimeout)
		return
	default:
		s.pinged = true
		wait := s.server.cfg.PingTimeout
		if late < wait/4 {
			// a larger delay means that this process was stopped: not the client's fault
			wait -= late
		}
		s.due = time.Now().Add(wait)
		s.timer.Reset(wait)
		s.queue = append(s.queue, Packet{Type: Ping})
		s.dirty = true
		s.startWriter()
	}
	s.mu.Unlock()
}

// overdue reports whether the reply to a ping is late. The lock is held.
func (s *Session) overdue() bool { return s.pinged && !time.Now().Before(s.due) }

// finish ends the session. A polling client gets the farewell, now or with its next request.
func (s *Session) finish(reason Reason, farewell ...Packet) {
	s.mu.Lock()
	if s.mode == closed {
		s.mu.Unlock()
		return
	}
	polled := s.mode != streaming
	s.mode = closed
	s.wakeReader()
	s.queue = nil
	conn, end := s.conn, ending{code: ws.CloseNormal, text: string(reason)}
	if s.ending != nil {
		end = *s.ending
	}
	s.startWriter()
	linger := polled && s.poll == nil && len(farewell) > 0
	if polled {
		s.farewell = farewell
	}
	if linger {
		s.timer.Reset(s.server.cfg.PingTimeout)
	} else {
		s.timer.Stop()
	}
	s.mu.Unlock()

	if !linger {
		s.server.forget(s)
	}
	if conn != nil {
		conn.Close(end.code, end.text)
	}
	s.handler.Closed(reason)
}
