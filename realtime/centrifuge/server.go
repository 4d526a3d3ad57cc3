package centrifuge

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Config configures a [Server]. The zero value of a limit means its default.
type Config struct {
	Hub    *realtime.Hub
	Access *realtime.Access
	// RPC runs queries. nil: there are none. Its errors are those of the package realtime,
	// ErrUnknownMethod, or a BadRequest.
	RPC func(ctx context.Context, identity realtime.Identity, school, method string,
		data jsontext.Value) (jsontext.Value, error)

	PingInterval   time.Duration // between pings; default 25 s
	PongTimeout    time.Duration // for the reply to a ping; default 10 s
	ConnectTimeout time.Duration // from the handshake to a successful connect command; default 10 s
	WriteTimeout   time.Duration // for the client to take what is written; default 10 s
	MaxMessage     int           // bytes of a frame from the client; default 64 KiB
	// of a client: commands per second, and at once; default 100. More of them wait, and if they go
	// on to for longer than Patience, the connection is closed.
	CommandRate, CommandBurst int
	Patience                  time.Duration // default [realtime.DefaultPatience]
}

// ErrUnknownMethod says that there is no RPC of that name.
var ErrUnknownMethod = errors.New("unknown method")

// BadRequest is the error of an RPC whose data is wrong. It says what, and is sent to the client, who
// does not try the same again.
type BadRequest string

// Error implements error.
func (b BadRequest) Error() string { return string(b) }

// Server serves connections. It is an [http.Handler]; [Server.Run] must run while it is used.
type Server struct {
	cfg Config

	node string // names this server in connect replies

	mu      sync.Mutex
	conns   map[*conn]struct{}
	streams map[string]*conn // those whose commands come in requests of their own, by their ids
	closed  bool
	running sync.WaitGroup
}

// New returns a server.
func New(cfg Config) *Server {
	cfg.PingInterval = cmp.Or(cfg.PingInterval, 25*time.Second)
	cfg.PongTimeout = cmp.Or(cfg.PongTimeout, 10*time.Second)
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, 10*time.Second)
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, 10*time.Second)
	cfg.MaxMessage = cmp.Or(cfg.MaxMessage, 64<<10)
	cfg.CommandRate = cmp.Or(cfg.CommandRate, 100)
	cfg.CommandBurst = cmp.Or(cfg.CommandBurst, 100)
	return &Server{cfg: cfg, node: rand.Text(), conns: map[*conn]struct{}{}, streams: map[string]*conn{}}
}

// ServeHTTP upgrades a request to a WebSocket.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.cfg.Access.AllowOrigin(r) {
		http.Error(w, "connections from this origin are not allowed", http.StatusForbidden)
		return
	}
	identity, err := s.cfg.Access.Identify(r)
	if err != nil && !errors.Is(err, realtime.ErrNoToken) {
		http.Error(w, err.Error(), realtime.StatusOf(err))
		return
	}
	stranger := err != nil
	wire, opcode, subprotocol := webSocketJSON, ws.Text, "centrifuge-json"
	if wantsProtobuf(r) {
		wire, opcode, subprotocol = webSocketProtobuf, ws.Binary, "centrifuge-protobuf"
	}
	c := s.newConn(identity, wire)
	if err := s.enter(c); err != nil {
		w.Header().Set("Retry-After", "2")
		http.Error(w, err.Error(), realtime.StatusOf(err))
		return
	}
	socket, err := ws.Config{
		MaxMessage:   s.cfg.MaxMessage,
		WriteTimeout: s.cfg.WriteTimeout,
		Subprotocols: []string{subprotocol},
		CheckOrigin:  func(*http.Request) bool { return true }, // done above
	}.Accept(w, r)
	if err != nil {
		s.leave(c)
		return // Accept has responded
	}
	s.attach(c, socket)
	if stranger { // a client with a token or a ticket never counts as waiting
		c.leavePreAuth = s.cfg.Access.PreAuth.Enter(r, func() { c.close(realtime.CloseFull) })
	}
	go c.run(socket, opcode) //nolint:contextcheck // it outlives the request
}

func (s *Server) newConn(identity realtime.Identity, wire *wire) *conn {
	return &conn{
		server: s, identity: identity, leavePreAuth: func() {}, wire: wire,
		pace: realtime.NewPace(float64(s.cfg.CommandRate), s.cfg.CommandBurst, s.cfg.Patience),
	}
}

func wantsProtobuf(r *http.Request) bool {
	return r.URL.Query().Get("format") == "protobuf" ||
		r.URL.Query().Get("cf_protocol") == "protobuf" ||
		slices.ContainsFunc(r.Header.Values("Sec-WebSocket-Protocol"),
			func(p string) bool { return strings.Contains(p, "centrifuge-protobuf") })
}

func (s *Server) enter(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return realtime.ErrDraining
	}
	c.alive, c.cancel = context.WithCancel(context.Background())
	s.conns[c] = struct{}{}
	if c.id != "" {
		s.streams[c.id] = c
	}
	s.running.Add(1)
	return nil
}

// attach sets what a connection is written to.
func (s *Server) attach(c *conn, to link) {
	s.mu.Lock()
	c.link = to
	closed := s.closed
	s.mu.Unlock()
	if closed {
		c.close(realtime.CloseShutdown)
	}
}

// connected notes that a connection has a session, from when on it is pinged.
func (s *Server) connected(c *conn) {
	c.leavePreAuth()
	c.leavePreAuth = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	c.pinged = time.Now()
}

func (s *Server) leave(c *conn) {
	if c.leavePreAuth != nil {
		c.leavePreAuth()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	delete(s.streams, c.id)
	c.cancel()
	s.running.Done()
}

// Run pings the connections until ctx ends. It then closes those that are still open with
// [realtime.CloseShutdown], and waits until they have ended.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(min(time.Second, s.cfg.PingInterval/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.closed = true
			for c := range s.conns {
				if c.link != nil { // else attach closes it
					// may wait for a client that does not read
					s.running.Go(func() { c.close(realtime.CloseShutdown) })
				}
				c.cancel()
			}
			s.mu.Unlock()
			s.running.Wait()
			return nil
		case now := <-tick.C:
			s.mu.Lock()
			for c := range s.conns {
				if !c.pinged.IsZero() && now.Sub(c.pinged) >= s.cfg.PingInterval {
					c.pinged = now
					go c.ping() // may wait for a client that does not read
				}
			}
			s.mu.Unlock()
		}
	}
}
