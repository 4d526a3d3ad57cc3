package engineio

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Config configures a [Server].
type Config struct {
	// PingInterval is the time from a pong to the next ping. 0 means 25 s.
	PingInterval time.Duration
	// PingTimeout is how long the client may take to reply to a ping. 0 means 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout bounds an upgrade from long-polling to WebSocket. 0 means 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout is how long a write may wait for a client that does not read; then the session
	// ends. 0 means 10 s.
	WriteTimeout time.Duration
	// MaxPayload bounds one message and one request, in bytes. 0 means 100,000.
	MaxPayload int
	// MaxSessions bounds the sessions of this node, of all users together. 0 means 50,000.
	MaxSessions int
	// AllowOrigin decides by its Origin whether a request may connect. nil allows the same host and
	// requests without an Origin.
	AllowOrigin func(*http.Request) bool
}

func (c Config) withDefaults() Config {
	c.PingInterval = cmp.Or(c.PingInterval, 25*time.Second)
	c.PingTimeout = cmp.Or(c.PingTimeout, 20*time.Second)
	c.UpgradeTimeout = cmp.Or(c.UpgradeTimeout, 10*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.MaxPayload = cmp.Or(c.MaxPayload, 100_000)
	c.MaxSessions = cmp.Or(c.MaxSessions, 50_000)
	if c.AllowOrigin == nil {
		c.AllowOrigin = sameOrigin
	}
	return c
}

// Handler is the protocol above, with one value per session.
type Handler interface {
	// Message takes one message. Messages come one at a time and in order. An error ends the
	// session.
	Message(binary bool, data []byte) error
	// Next appends to the batch until there is nothing more to send or the batch is full. It is
	// called after [Session.Wake], with each ping, and again as long as it fills batches; by one
	// goroutine at a time.
	Next(out *Batch)
	// Closed ends the session. Nothing is called afterwards, but Message or Next may still be
	// running.
	Closed(Reason)
}

// Refusal is an error that refuses a handshake with an HTTP status.
type Refusal struct {
	Status  int
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Server is the [http.Handler] of the protocol's path.
type Server struct {
	cfg    Config
	accept func(*Session, *http.Request) (Handler, error)
	ws     ws.Config

	// requests that open or upgrade, and goroutines beyond those of the HTTP server
	running sync.WaitGroup

	mu       sync.Mutex // may be held when a session's is taken, not the other way round
	sessions map[string]*Session
	opening  int
	stopped  bool
}

// New returns a server. accept is called with each new session and returns its handler; an error,
// preferably a [*Refusal], refuses the client.
func New(cfg Config, accept func(*Session, *http.Request) (Handler, error)) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg:    cfg,
		accept: accept,
		ws: ws.Config{
			MaxMessage:   cfg.MaxPayload,
			WriteTimeout: cfg.WriteTimeout,
			// done in ServeHTTP for both transports
			CheckOrigin: func(*http.Request) bool { return true },
		},
		sessions: map[string]*Session{},
	}
}

// problem is an error as the protocol writes it into the body of a response.
type problem struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	status  int
}

// The errors of the protocol.
var (
	unknownTransport = &problem{0, "Transport unknown", http.StatusBadRequest}
	unknownSession   = &problem{1, "Session ID unknown", http.StatusBadRequest}
	badMethod        = &problem{2, "Bad handshake method", http.StatusBadRequest}
	badRequest       = &problem{3, "Bad request", http.StatusBadRequest}
	forbidden        = &problem{4, "Forbidden", http.StatusForbidden}
	unknownVersion   = &problem{5, "Unsupported protocol version", http.StatusBadRequest}
	tooLarge         = &problem{3, "Payload too large", http.StatusRequestEntityTooLarge}
	unavailable      = &problem{3, "Too many sessions", http.StatusServiceUnavailable}
)

func (p *problem) write(w http.ResponseWriter) {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of a number and a string
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(p.status)
	_, _ = w.Write(body)
}

// ServeHTTP serves all requests of the protocol.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Origin")
	if !s.cfg.AllowOrigin(r) {
		forbidden.write(w)
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		if r.Method == http.MethodOptions {
			w.Header().Set("Access-Control-Allow-Methods", "GET, POST")
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			w.Header().Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	query := r.URL.Query()
	switch transport := query.Get("transport"); {
	case transport != "polling" && transport != "websocket":
		unknownTransport.write(w)
	case query.Get("EIO") != "4":
		unknownVersion.write(w)
	case query.Get("sid") != "":
		s.serveSession(w, r, query.Get("sid"), transport)
	case r.Method != http.MethodGet:
		badMethod.write(w)
	case !s.enter():
		unavailable.write(w)
	case transport == "websocket":
		defer s.running.Done()
		s.openWebSocket(w, r)
	default:
		defer s.running.Done()
		s.openPolling(w, r)
	}
}

// enter counts a request that starts a session or an upgrade, unless the server was shut down.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.running.Add(1)
	}
	return !s.stopped
}

func (s *Server) serveSession(w http.ResponseWriter, r *http.Request, id, transport string) {
	s.mu.Lock()
	session := s.sessions[id]
	s.mu.Unlock()
	switch {
	case session == nil:
		unknownSession.write(w)
	case transport == "websocket" && !s.enter():
		unavailable.write(w)
	case transport == "websocket":
		defer s.running.Done()
		session.serveUpgrade(w, r)
	case r.Method == http.MethodGet:
		session.servePoll(w, r)
	case r.Method == http.MethodPost:
		session.servePost(w, r)
	default:
		badRequest.write(w)
	}
}

// open creates a session with its handler, and starts its heartbeat.
func (s *Server) open(r *http.Request) (*Session, *problem) {
	s.mu.Lock()
	full := len(s.sessions)+s.opening >= s.cfg.MaxSessions
	if !full {
		s.opening++
	}
	s.mu.Unlock()
	if full {
		return nil, unavailable
	}
	session := &Session{server: s, id: rand.Text()}
	handler, err := s.accept(session, r)
	s.mu.Lock()
	s.opening--
	if err != nil {
		s.mu.Unlock()
		refusal := &Refusal{http.StatusForbidden, forbidden.Message}
		errors.As(err, &refusal)
		return nil, &problem{forbidden.Code, refusal.Message, refusal.Status}
	}
	ending := session.start(handler)
	s.sessions[session.id] = session
	stopped := s.stopped
	s.mu.Unlock()
	switch {
	case ending != nil: // the handler was given the session, and has closed it
		session.finish(ending.reason, Packet{Type: Close})
	case stopped: // in between, so that Shutdown has not seen the session
		session.Close(ServerClose, ws.CloseGoingAway, "shutdown")
	}
	return session, nil
}

func (s *Server) forget(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session.id)
}

// handshake returns the open packet.
func (s *Server) handshake(session *Session, upgrades ...string) Packet {
	data, err := json.Marshal(struct {
		ID           string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{
		session.id, upgrades, s.cfg.PingInterval.Milliseconds(), s.cfg.PingTimeout.Milliseconds(),
		s.cfg.MaxPayload,
	})
	if err != nil {
		panic(err) // a struct of numbers and strings
	}
	return Packet{Type: Open, Data: data}
}

// Len returns the number of sessions.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Shutdown refuses new sessions, closes the open ones and waits until they have ended. If ctx ends
// before that, it returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.stopped = true
	open := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		open = append(open, session)
	}
	s.mu.Unlock()
	for _, session := range open {
		session.Close(ServerClose, ws.CloseGoingAway, "shutdown")
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close sessions: %w", ctx.Err())
	}
}

// sameOrigin reports whether a request comes from a page of the same host, or from no page.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
