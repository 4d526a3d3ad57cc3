package centrifuge

import (
	"context"
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

// Config says how connections are served. The zero value of a limit stands for its default.
type Config struct {
	Hub    *realtime.Hub
	Access *realtime.Access
	// RPC answers queries. nil: there are none. Its error is one of the package realtime, or ErrUnknownMethod.
	RPC func(ctx context.Context, identity realtime.Identity, school, method string, data jsontext.Value) (jsontext.Value, error)

	PingInterval   time.Duration // between two pings; default 25 s
	PongTimeout    time.Duration // for the answer to a ping; default 10 s
	ConnectTimeout time.Duration // for the connect command; default 10 s
	WriteTimeout   time.Duration // for a client to take what is written; default 10 s
	MaxMessage     int           // bytes in a frame from the client; default 64 KiB
	MaxCommands    int           // a second; default 100
}

// ErrUnknownMethod says that there is no such RPC.
var ErrUnknownMethod = errors.New("unknown method")

// Server serves connections. It is an [http.Handler]; Run pings them.
type Server struct {
	cfg Config

	mu      sync.Mutex
	conns   map[*conn]struct{}
	closed  bool
	running sync.WaitGroup
}

// New returns a server.
func New(cfg Config) *Server {
	def(&cfg.PingInterval, 25*time.Second)
	def(&cfg.PongTimeout, 10*time.Second)
	def(&cfg.ConnectTimeout, 10*time.Second)
	def(&cfg.MaxMessage, 64<<10)
	def(&cfg.MaxCommands, 100)
	return &Server{cfg: cfg, conns: map[*conn]struct{}{}}
}

func def[T comparable](v *T, d T) {
	if *v == *new(T) {
		*v = d
	}
}

// ServeHTTP makes a WebSocket of a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.cfg.Access.AllowOrigin(r) {
		http.Error(w, "this origin may not connect", http.StatusForbidden)
		return
	}
	if wantsProtobuf(r) {
		http.Error(w, "only the JSON protocol is spoken here", http.StatusBadRequest)
		return
	}
	identity, err := s.cfg.Access.Identify(r)
	if err != nil && !errors.Is(err, realtime.ErrNoToken) {
		http.Error(w, err.Error(), realtime.StatusOf(err))
		return
	}
	c := &conn{server: s, identity: identity}
	if c.leavePreAuth, err = s.cfg.Access.PreAuth.Enter(r); err == nil {
		err = s.enter(c)
	}
	if err != nil {
		w.Header().Set("Retry-After", "2")
		http.Error(w, err.Error(), realtime.StatusOf(err))
		return
	}
	socket, err := ws.Config{
		MaxMessage:   s.cfg.MaxMessage,
		WriteTimeout: s.cfg.WriteTimeout,
		Subprotocols: []string{"centrifuge-json"},
		CheckOrigin:  func(*http.Request) bool { return true }, // done above
	}.Accept(w, r)
	if err != nil {
		s.leave(c)
		return // it has been answered
	}
	s.attach(c, socket)
	go c.run() //nolint:contextcheck // it outlives the request
}

func wantsProtobuf(r *http.Request) bool {
	return r.URL.Query().Get("format") == "protobuf" || r.URL.Query().Get("cf_protocol") == "protobuf" ||
		slices.ContainsFunc(r.Header.Values("Sec-WebSocket-Protocol"), func(p string) bool { return strings.Contains(p, "centrifuge-protobuf") })
}

func (s *Server) enter(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.leavePreAuth()
		return realtime.ErrDraining
	}
	c.alive, c.cancel = context.WithCancel(context.Background())
	s.conns[c] = struct{}{}
	s.running.Add(1)
	return nil
}

// attach gives a connection its socket.
func (s *Server) attach(c *conn, socket *ws.Conn) {
	s.mu.Lock()
	c.socket = socket
	closed := s.closed
	s.mu.Unlock()
	if closed {
		c.close(realtime.CloseShutdown)
	}
}

// connected says that a connection has a session.
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
	c.cancel()
	s.running.Done()
}

// Run pings the connections until ctx ends; it then lets go of those that are left and waits for them.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(min(time.Second, s.cfg.PingInterval/4))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.closed = true
			for c := range s.conns {
				if c.socket != nil { // else attach closes it
					s.running.Go(func() { c.close(realtime.CloseShutdown) }) // it may have to wait for a client that does not read
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
					go c.ping() // it may have to wait for a client that does not read
				}
			}
			s.mu.Unlock()
		}
	}
}
