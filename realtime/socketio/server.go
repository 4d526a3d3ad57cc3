package socketio

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/engineio"
)

// Config configures a [Server].
type Config struct {
	Engine engineio.Config
	// Access decides which pages may connect, and authenticates clients by their requests. nil
	// leaves both to the namespaces.
	Access *realtime.Access
	// ConnectTimeout is how long a client may stay without a namespace. 0 means 20 s.
	ConnectTimeout time.Duration
	// MessageRate is how many messages a client may send per second, on average. 0 means 20.
	MessageRate float64
	// MessageBurst is how many it may send at once. 0 means 100. More of them wait, and if they go on
	// to for longer than Patience, the connection is closed.
	MessageBurst int
	Patience     time.Duration // 0 means [realtime.DefaultPatience]
	Logger       *slog.Logger  // nil: none
}

func (c Config) withDefaults() Config {
	c.ConnectTimeout = cmp.Or(c.ConnectTimeout, 20*time.Second)
	c.MessageRate = cmp.Or(c.MessageRate, 20)
	c.MessageBurst = cmp.Or(c.MessageBurst, 100)
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// Namespace accepts or refuses a client by its auth payload, an object. The error is preferably a
// [*Refusal].
type Namespace func(ctx context.Context, s *Socket, auth jsontext.Value) (Accepted, error)

// Accepted is a client that a namespace has accepted.
type Accepted struct {
	Handler Handler
	// PID is what the client sends to recover its state when it reconnects; empty if there is
	// nothing to recover.
	PID string
}

// Handler serves one client in a namespace.
type Handler interface {
	// Event handles an event of the client. An error ends the connection.
	Event(ctx context.Context, e *Incoming) error
	// Next adds packets to a batch, see [engineio.Handler].
	Next(ctx context.Context, out *engineio.Batch)
	// Closed ends it: nothing can be sent any more.
	Closed(engineio.Reason)
}

// Refusal refuses a client in a namespace, with a connect_error.
type Refusal struct {
	Message string
	Data    any // for programs; nil for none
}

func (r *Refusal) Error() string { return r.Message }

// Server is the [http.Handler] of the path /socket.io/.
type Server struct {
	*engineio.Server
	cfg        Config
	namespaces map[string]Namespace
}

// New returns a server with namespaces by their names.
func New(cfg Config, namespaces map[string]Namespace) *Server {
	s := &Server{cfg: cfg.withDefaults(), namespaces: namespaces}
	if cfg.Access != nil && cfg.Engine.AllowOrigin == nil {
		cfg.Engine.AllowOrigin = cfg.Access.AllowOrigin
	}
	s.Server = engineio.New(cfg.Engine, s.accept)
	return s
}

// accept accepts a connection. Only clients that send headers or a ticket are authenticated here.
// The others count against the pre-auth limit until their first message has a token.
func (s *Server) accept(engine *engineio.Session, r *http.Request) (engineio.Handler, error) {
	c := &client{
		server: s,
		engine: engine,
		pace:   realtime.NewPace(s.cfg.MessageRate, s.cfg.MessageBurst, s.cfg.Patience),
	}
	stranger := false
	if s.cfg.Access != nil {
		switch bearer, err := s.cfg.Access.Identify(r); {
		case err == nil:
			c.identity = &bearer
		case errors.Is(err, realtime.ErrNoToken):
			stranger = true
		default:
			return nil, &engineio.Refusal{Status: realtime.StatusOf(err), Message: err.Error()}
		}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background()) // it outlives the request
	c.awaitNamespace()
	if stranger { // a client with a token or a ticket never counts as waiting
		full := realtime.CloseFull
		c.leavePreAuth = s.cfg.Access.PreAuth.Enter(r, func() {
			engine.Close(engineio.ServerClose, int(full.Code), full.Reason)
		})
	}
	return c, nil
}

// client is a connection and its namespaces.
type client struct {
	server   *Server
	engine   *engineio.Session
	identity *realtime.Identity // nil: not authenticated by its request
	pace     *realtime.Pace
	decoder  Decoder         // used by the goroutine that reads
	ctx      context.Context // ends with the connection
	cancel   context.CancelFunc

	mu           sync.Mutex
	leavePreAuth func()      // nil for bearers, and once it has entered a namespace
	sockets      []*Socket   // one in each namespace
	connectTimer *time.Timer // ends the connection; nil while it is in a namespace
	closed       bool
}

// awaitNamespace closes the connection unless the client enters a namespace in time.
func (c *client) awaitNamespace() {
	c.connectTimer = time.AfterFunc(c.server.cfg.ConnectTimeout, func() {
		c.engine.Close(engineio.ServerClose, int(realtime.CloseStale.Code),
			"no namespace was entered in time")
	})
}

// in returns the client's socket in a namespace, or nil.
func (c *client) in(namespace string) *Socket {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.sockets {
		if s.namespace == namespace {
			return s
		}
	}
	return nil
}

// Message implements [engineio.Handler].
func (c *client) Message(binary bool, data []byte) error {
	if err := c.pace.Wait(c.ctx); err != nil {
		if reason, ok := errors.AsType[realtime.Close](err); ok {
			c.engine.Close(engineio.ServerClose, int(reason.Code), reason.Reason)
		}
		return nil // else the connection has ended
	}
	take := c.decoder.Text
	if binary {
		take = c.decoder.Binary
	}
	p, err := take(data)
	if p == nil || err != nil {
		return err
	}
	socket := c.in(p.Namespace)
	switch {
	case p.Type == Connect && socket == nil:
		return c.connect(p)
	case socket == nil, p.Type == Connect, p.Type == ConnectError:
		return malformed("type %d in namespace %q", p.Type, p.Namespace)
	case p.Type == Disconnect:
		c.leave(socket, "client namespace disconnect")
		return nil
	case p.Type == Ack, p.Type == BinaryAck:
		return nil // the server never requests acknowledgements
	}
	name, args, err := p.Args()
	if err != nil {
		return err
	}
	return socket.handler.Event(c.ctx,
		&Incoming{Name: name, Args: args, Attachments: p.Attachments, socket: socket, packet: p})
}

// connect lets a namespace accept or refuse the client.
func (c *client) connect(p *Packet) error {
	enter, known := c.server.namespaces[p.Namespace]
	if !known {
		c.refuse(p.Namespace, &Refusal{Message: "Invalid namespace"})
		return nil
	}
	auth := p.Data
	if auth == nil {
		auth = jsontext.Value("{}")
	}
	socket := &Socket{client: c, namespace: p.Namespace, id: rand.Text()}
	accepted, err := enter(c.ctx, socket, auth)
	var end realtime.Close
	var refusal *Refusal
	switch {
	case errors.As(err, &end):
		// the client should reconnect, which it does only after the connection is lost
		c.engine.Close(engineio.ServerClose, int(end.Code), end.Reason)
		return nil
	case errors.As(err, &refusal):
		c.refuse(p.Namespace, refusal)
		return nil
	case err != nil:
		if c.ctx.Err() == nil {
			c.server.cfg.Logger.Warn("accept client", "namespace", p.Namespace, "error", err)
			c.engine.Close(engineio.ServerClose, int(realtime.CloseReconnect.Code),
				realtime.CloseReconnect.Reason)
		}
		return nil
	}
	socket.handler = accepted.Handler
	socket.begin(accepted.PID)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		accepted.Handler.Closed(engineio.TransportClose)
		return nil
	}
	c.sockets = append(c.sockets, socket)
	c.authenticated()
	if c.connectTimer != nil {
		c.connectTimer.Stop()
		c.connectTimer = nil
	}
	c.mu.Unlock()
	c.engine.Wake()
	return nil
}

// authenticated frees the client's place in the pre-auth limit. The lock is held.
func (c *client) authenticated() {
	if c.leavePreAuth != nil {
		c.leavePreAuth()
		c.leavePreAuth = nil
	}
}

func (c *client) refuse(namespace string, r *Refusal) {
	c.send(Packet{Type: ConnectError, Namespace: namespace, Data: object(struct {
		Message string `json:"message"`
		Data    any    `json:"data,omitzero"`
	}{r.Message, r.Data})})
}

// leave removes the client from a namespace. If that was the last one, it may enter another in
// time.
func (c *client) leave(s *Socket, reason engineio.Reason) {
	c.mu.Lock()
	// Cloned, since Next may be iterating over the old list.
	c.sockets = slices.DeleteFunc(slices.Clone(c.sockets), func(x *Socket) bool { return x == s })
	if len(c.sockets) == 0 && !c.closed {
		c.awaitNamespace()
	}
	c.mu.Unlock()
	s.handler.Closed(reason)
}

// Next implements [engineio.Handler]: it asks each namespace in turn.
func (c *client) Next(out *engineio.Batch) {
	c.mu.Lock()
	sockets := c.sockets
	c.mu.Unlock()
	for _, s := range sockets {
		s.handler.Next(c.ctx, out)
	}
}

// Closed implements [engineio.Handler].
func (c *client) Closed(reason engineio.Reason) {
	c.cancel()
	c.mu.Lock()
	c.closed = true
	c.authenticated()
	sockets := c.sockets
	c.sockets = nil
	if c.connectTimer != nil {
		c.connectTimer.Stop()
	}
	c.mu.Unlock()
	for _, s := range sockets {
		s.handler.Closed(reason)
	}
}

func (c *client) send(p Packet) {
	c.engine.Send(packets(p)...)
}

// packets returns the messages that carry a packet and its attachments.
func packets(p Packet) []engineio.Packet {
	out := []engineio.Packet{{Type: engineio.Message, Data: p.Append(nil)}}
	for _, data := range p.Attachments {
		out = append(out, engineio.Packet{Type: engineio.Message, Binary: true, Data: data})
	}
	return out
}

// object returns a value as JSON.
func object(v any) jsontext.Value {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own structs can always be encoded
	}
	return b
}
