package engineio

import (
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

// Config says how a server treats its clients.
type Config struct {
	// PingInterval is how long after the last sign of life a client is asked for another. 0 means 25 s.
	PingInterval time.Duration
	// PingTimeout is how long the client may take to answer. 0 means 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout is how long a client may take to move to WebSocket. 0 means 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout is how long a write may wait for a client that does not read. 0 means 10 s.
	WriteTimeout time.Duration
	// MaxPayload bounds one message and one request, in bytes. 0 means 100,000.
	MaxPayload int
	// MaxSessions bounds the sessions of this node, whoever they belong to. 0 means 50,000.
	MaxSessions int
	// AllowOrigin decides by its Origin whether a request may connect. nil allows those of the same host, and those
	// without one.
	AllowOrigin func(*http.Request) bool
}

func (c Config) withDefaults() Config {
	setDefault(&c.PingInterval, 25*time.Second)
	setDefault(&c.PingTimeout, 20*time.Second)
	setDefault(&c.UpgradeTimeout, 10*time.Second)
	setDefault(&c.WriteTimeout, 10*time.Second)
	setDefault(&c.MaxPayload, 100_000)
	setDefault(&c.MaxSessions, 50_000)
	if c.AllowOrigin == nil {
		c.AllowOrigin = sameOrigin
	}
	return c
}

func setDefault[T comparable](v *T, fallback T) {
	if *v == *new(T) {
		*v = fallback
	}
}

// Validate reports everything that is wrong.
func (c Config) Validate() error {
	var errs []error
	for name, d := range map[string]time.Duration{
		"ping interval": c.PingInterval, "ping timeout": c.PingTimeout,
		"upgrade timeout": c.UpgradeTimeout, "write timeout": c.WriteTimeout,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s %s: must not be negative", name, d))
		}
	}
	if c.MaxPayload < 0 {
		errs = append(errs, fmt.Errorf("max payload %d: must not be negative", c.MaxPayload))
	}
	if c.MaxSessions < 0 {
		errs = append(errs, fmt.Errorf("max sessions %d: must not be negative", c.MaxSessions))
	}
	return errors.Join(errs...)
}

// Handler is the protocol above, one for each session.
type Handler interface {
	// Message takes one message. Messages come one at a time and in order. An error ends the session.
	Message(binary bool, data []byte) error
	// Next adds what there is to send until there is nothing more or the batch is full. It is called after
	// [Session.Wake], with each ping, and as long as it fills batches; by one goroutine at a time.
	Next(out *Batch)
	// Closed is the end. Nothing is called afterwards, but a Message or Next may still be running.
	Closed(Reason)
}

// Refusal is an error that a server answers to a handshake with.
type Refusal struct {
	Status  int
	Message string
}

func (r *Refusal) Error() string { return r.Message }

// Server is the http.Handler of the protocol's path.
type Server struct {
	cfg    Config
	accept func(*Session, *http.Request) (Handler, error)
	ws     ws.Config

	running sync.WaitGroup // requests that open or upgrade, and goroutines beyond those of the HTTP server

	mu       sync.Mutex // may be held when a session's is taken, not the other way round
	sessions map[string]*Session
	opening  int
	stopped  bool
}

// New makes a server. accept is called with each new session and returns what handles it; an error, best a [*Refusal],
// turns the client away.
func New(cfg Config, accept func(*Session, *http.Request) (Handler, error)) *Server {
	cfg = cfg.withDefaults()
	return &Server{
		cfg:    cfg,
		accept: accept,
		ws: ws.Config{
			MaxMessage:   cfg.MaxPayload,
			WriteTimeout: cfg.WriteTimeout,
			CheckOrigin:  func(*http.Request) bool { return true }, // done in ServeHTTP for both transports
		},
		sessions: map[string]*Session{},
	}
}

// problem is an error as the protocol writes it in the body of an answer.
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

// ServeHTTP answers everything below the protocol's path.
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

// enter counts a request that starts something among what runs, unless the server has been shut down.
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

// open makes a session and its handler, and starts its heartbeat.
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
	session.handler = handler
	session.start()
	s.sessions[session.id] = session
	stopped := s.stopped
	s.mu.Unlock()
	if stopped { // meanwhile, so that Shutdown has not seen the session
		session.Close(ServerClose, ws.CloseGoingAway, "shutdown")
	}
	return session, nil
}

func (s *Server) forget(session *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, session.id)
}

// handshake is the data of the open packet.
func (s *Server) handshake(session *Session, upgrades ...string) Packet {
	data, err := json.Marshal(struct {
		ID           string   `json:"sid"`
		Upgrades     []string `json:"upgrades"`
		PingInterval int64    `json:"pingInterval"`
		PingTimeout  int64    `json:"pingTimeout"`
		MaxPayload   int      `json:"maxPayload"`
	}{session.id, upgrades, s.cfg.PingInterval.Milliseconds(), s.cfg.PingTimeout.Milliseconds(), s.cfg.MaxPayload})
	if err != nil {
		panic(err) // a struct of numbers and strings
	}
	return Packet{Type: Open, Data: data}
}

// Len is the number of sessions.
func (s *Server) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Shutdown turns new sessions away, closes those that there are and waits until they have ended. When ctx ends before,
// it returns its error.
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

// sameOrigin reports that a request comes from a page of the host that is asked, or from none.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
