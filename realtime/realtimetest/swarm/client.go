package swarm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
)

// Kind is how a client connects.
type Kind string

// The kinds.
const (
	SSE        Kind = "sse"
	Centrifuge Kind = "centrifuge"
	SocketIO   Kind = "socket.io"
	Polling    Kind = "socket.io polling"
)

// Kinds are all of them.
var Kinds = []Kind{SSE, Centrifuge, SocketIO, Polling}

// Client receives one room.
type Client struct {
	Kind   Kind
	URL    string // of the server, http://…
	Token  string
	School string
	Room   string
	// after which it receives the room; offset 0 cannot be expressed in Centrifuge
	From   domain.LogPosition
	Source net.IP        // of its connections; nil leaves it to the kernel
	Once   bool          // it does not reconnect
	Pause  time.Duration // maximum pause before it reconnects; 0 means 200 ms

	// OnEvent is called with each event. It may be nil.
	OnEvent func(event []byte)

	mu     sync.Mutex
	state  State
	epoch  string // of Centrifuge
	pid    string // of Socket.IO
	offset string // of Socket.IO
}

// State is the history of a client.
type State struct {
	Offsets  []int64   // offsets, in order
	Connects int       // how often it got into its room
	Since    time.Time // when it last did; zero while it is not in
	Lost     []string  // messages that what it missed cannot be served
	Left     []string  // rooms that it is in no longer, as it was notified
	Ends     []string  // how its connections ended
}

// State returns the history of the client so far.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.state
	s.Offsets, s.Left = slices.Clip(s.Offsets), slices.Clip(s.Left)
	return s
}

// Run connects and reconnects until ctx ends. It may be called again then, and continues where the
// client was.
func (c *Client) Run(ctx context.Context) {
	c.mu.Lock()
	if c.Pause == 0 {
		c.Pause = 200 * time.Millisecond
	}
	if c.offset == "" {
		c.offset = c.From.String()
	}
	c.mu.Unlock()
	connect := map[Kind]func(context.Context) error{
		SSE: c.stream, Centrifuge: c.centrifuge, SocketIO: c.socketIO, Polling: c.poll,
	}[c.Kind]
	for {
		err := connect(ctx)
		if ctx.Err() != nil {
			return
		}
		c.mu.Lock()
		c.state.Since = time.Time{}
		c.state.Ends = append(c.state.Ends, err.Error())
		c.mu.Unlock()
		if c.Once {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(c.Pause/4 + rand.N(c.Pause*3/4)):
		}
	}
}

var errEnded = errors.New("connection ended")

// at returns the offset from which the client continues.
func (c *Client) at() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.state.Offsets); n > 0 {
		return c.state.Offsets[n-1]
	}
	return c.From.Offset
}

func (c *Client) entered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Connects++
	c.state.Since = time.Now()
}

// left takes the notice that the client is in a room no longer.
func (c *Client) left(notice []byte) error {
	var of struct {
		Room string `json:"room"`
	}
	if err := json.Unmarshal(notice, &of); err != nil {
		return fmt.Errorf("read notice of a room: %w", err)
	}
	c.leftRoom(of.Room)
	return nil
}

func (c *Client) leftRoom(room string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Left = append(c.state.Left, room)
}

func (c *Client) lost(why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Lost = append(c.state.Lost, why)
}

// received takes an event, a CloudEvent with its position.
func (c *Client) received(event []byte) error {
	var e struct {
		Position domain.LogPosition `json:"position"`
	}
	if err := json.Unmarshal(event, &e); err != nil {
		return fmt.Errorf("read event: %w", err)
	}
	if c.OnEvent != nil {
		c.OnEvent(event)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Offsets = append(c.state.Offsets, e.Position.Offset)
	return nil
}

// dial opens a connection from the client's address.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if c.Source != nil {
		d.LocalAddr = &net.TCPAddr{IP: c.Source}
	}
	return d.DialContext(ctx, network, addr)
}

func (c *Client) header() http.Header {
	return http.Header{"Authorization": {"Bearer " + c.Token}}
}

// Loopback is the i-th of many addresses of this machine, as one has only so many ports.
func Loopback(i int) net.IP { return net.IPv4(127, 0, 1, byte(1+i%200)) }
