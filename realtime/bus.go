package realtime

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"github.com/schoolbell/schoolbell/domain"
)

// Bus carries short messages between the nodes. It stores nothing: every message is either repeated
// by its sender or replaced by a newer one, so a lost message does no lasting harm.
type Bus interface {
	// Publish sends a message to everyone who is subscribed to a channel at this moment.
	Publish(ctx context.Context, channel string, message []byte) error
	// Subscribe passes on the messages of the channels until ctx ends. It reconnects by itself.
	Subscribe(ctx context.Context, channels []string, handle func(message []byte)) error
}

// allNodes is the channel that every node subscribes to, in addition to one of its own.
const allNodes = "sb:realtime:nodes"

func nodeChannel(node string) string { return "sb:realtime:node:" + node }

// message is what nodes send to each other. Nodes of different versions share a bus during an
// upgrade: members are only ever added, and unknown kinds are ignored.
type message struct {
	Kind string `json:"kind"`
	From string `json:"from"`
	// the sender's number of the request; a reply repeats it
	Request uint64    `json:"asked,omitzero"`
	School  string    `json:"school,omitzero"`
	Room    string    `json:"room,omitzero"`
	User    string    `json:"user,omitzero"`
	Members []Member  `json:"members,omitempty"`
	Status  *Status   `json:"status,omitzero"`
	Changed []Changed `json:"changed,omitempty"`
}

const (
	kindMembers = "members?"
	kindStatus  = "status?"
	kindReply   = "answer"
	kindRevoked = "revoked"
	kindChanged = "changed"
	kindHello   = "hello"
	kindBye     = "bye"
)

// replyTimeout bounds a request to the other nodes. It is short because an HTTP request or a
// client's command waits for it, and a reply from memory takes a few milliseconds.
const replyTimeout = 300 * time.Millisecond

// Member is one connection of a user in a room.
type Member struct {
	User    string `json:"user"`
	Session string `json:"session"`
	Node    string `json:"node"`
}

// Status describes one node.
type Status struct {
	Node        string     `json:"node"`
	Connections int64      `json:"connections"`
	Draining    bool       `json:"draining"`
	Busiest     []RoomSize `json:"busiest,omitempty"` // the largest rooms, at most 10
}

// RoomSize is a room and the number of one node's connections in it.
type RoomSize struct {
	School   string `json:"school"`
	Room     string `json:"room"`
	Sessions int    `json:"sessions"`
}

// pendingRequests are the requests of this node that still collect replies, by their numbers.
type pendingRequests struct {
	mu      sync.Mutex
	last    uint64
	replies map[uint64]chan message
}

// Presence lists the members of a room on all nodes. It is collected from the nodes on every call
// and stored nowhere, so a node that has crashed drops out without any clean-up.
func (h *Hub) Presence(ctx context.Context, school string, room domain.Room) ([]Member, error) {
	all := h.members(school, room)
	request := message{Kind: kindMembers, School: school, Room: room.String()}
	replies, err := h.request(ctx, request)
	for _, reply := range replies {
		all = append(all, reply.Members...)
	}
	return all, err
}

// Nodes lists all nodes, this one first.
func (h *Hub) Nodes(ctx context.Context) ([]Status, error) {
	all := []Status{h.status()}
	replies, err := h.request(ctx, message{Kind: kindStatus})
	for _, reply := range replies {
		if reply.Status != nil {
			all = append(all, *reply.Status)
		}
	}
	return all, err
}

// Revoke ends all sessions of a user at a school, on all nodes, with [CloseRevoked].
func (h *Hub) Revoke(ctx context.Context, school, user string) error {
	h.revoke(school, user)
	return h.broadcast(ctx, message{Kind: kindRevoked, School: school, User: user})
}

// broadcast sends a message to the other nodes, if there is a bus.
func (h *Hub) broadcast(ctx context.Context, m message) error {
	if h.cfg.Bus == nil {
		return nil
	}
	return h.send(ctx, allNodes, m)
}

func (h *Hub) send(ctx context.Context, channel string, m message) error {
	m.From = h.node
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return h.cfg.Bus.Publish(ctx, channel, b)
}

// request sends a request to all other nodes and collects the replies. It returns as soon as every
// node that counts as alive has replied; nodes that do not reply in time are left out.
func (h *Hub) request(ctx context.Context, m message) ([]message, error) {
	if h.cfg.Bus == nil {
		return nil, nil
	}
	q := &h.requests
	arriving := make(chan message, 16)
	q.mu.Lock()
	q.last++
	m.Request = q.last
	if q.replies == nil {
		q.replies = map[uint64]chan message{}
	}
	q.replies[m.Request] = arriving
	q.mu.Unlock()
	defer func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.replies, m.Request)
	}()
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	expected, maybeMore := h.peers.alive()
	if err := h.send(ctx, allNodes, m); err != nil {
		return nil, err
	}
	var replies []message
	for len(expected) > 0 || maybeMore {
		select {
		case reply := <-arriving:
			replies = append(replies, reply)
			expected = slices.DeleteFunc(expected,
				func(node string) bool { return node == reply.From })
		case <-ctx.Done():
			return replies, nil
		}
	}
	return replies, nil
}

// runBus keeps in touch with the other nodes until ctx ends.
func (h *Hub) runBus(ctx context.Context) error {
	if h.cfg.Bus == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.sendHellos(ctx) })
	g.Go(func() error { return h.listen(ctx) })
	return g.Wait()
}

// listen handles the messages of the other nodes.
func (h *Hub) listen(ctx context.Context) error {
	channels := []string{allNodes, nodeChannel(h.node)}
	return h.cfg.Bus.Subscribe(ctx, channels, func(b []byte) {
		var m message
		if err := json.Unmarshal(b, &m); err != nil || m.From == h.node {
			return
		}
		if err := h.receive(ctx, m); err != nil && !errors.Is(err, context.Canceled) {
			h.cfg.Logger.WarnContext(ctx, "reply to another node", "node", m.From, "error", err)
		}
	})
}

func (h *Hub) receive(ctx context.Context, m message) error {
	if m.Kind == kindBye {
		h.peers.forget(m.From)
		return nil
	}
	if m.From != "" && h.peers.seen(m.From) {
		// Greet a new node directly, so that it need not wait for the next round of hellos before
		// it knows whose replies to expect.
		if err := h.send(ctx, nodeChannel(m.From), message{Kind: kindHello}); err != nil {
			return err
		}
	}
	reply := message{Kind: kindReply, Request: m.Request}
	switch m.Kind {
	case kindMembers:
		room, err := domain.ParseRoom(m.Room)
		if err != nil {
			return err
		}
		reply.Members = h.members(m.School, room)
	case kindStatus:
		status := h.status()
		reply.Status = &status
	case kindReply:
		h.requests.mu.Lock()
		defer h.requests.mu.Unlock()
		select {
		case h.requests.replies[m.Request] <- m:
		default: // the request has ended: its channel is gone from the map, and nil blocks
		}
		return nil
	case kindRevoked:
		h.revoke(m.School, m.User)
		return nil
	case kindChanged:
		for _, c := range m.Changed {
			h.Changed(c)
		}
		return nil
	default: // a hello, or a kind that a newer version has added
		return nil
	}
	return h.send(ctx, nodeChannel(m.From), reply)
}

// members lists the connections in a room on this node.
func (h *Hub) members(school string, room domain.Room) []Member {
	sc := h.school(school)
	if sc == nil {
		return nil
	}
	sc.mu.RLock()
	defer sc.mu.RUnlock()
	r := sc.rooms[room]
	if r == nil {
		return nil
	}
	members := make([]Member, len(r.sessions))
	for i, s := range r.sessions {
		members[i] = Member{User: s.identity.Subject, Session: s.ID(), Node: h.node}
	}
	return members
}

// busiest is the number of rooms in a node's status.
const busiest = 10

func (h *Hub) status() Status {
	st := Status{Node: h.node, Connections: h.sessions.Load(), Draining: h.draining.Load()}
	h.eachSchool(func(sc *school) {
		for name, r := range sc.rooms {
			size := RoomSize{School: sc.name, Room: name.String(), Sessions: len(r.sessions)}
			st.Busiest = append(st.Busiest, size)
		}
	})
	slices.SortFunc(st.Busiest, func(a, b RoomSize) int { return b.Sessions - a.Sessions })
	st.Busiest = slices.Clip(st.Busiest[:min(busiest, len(st.Busiest))])
	return st
}

func (h *Hub) revoke(school, user string) {
	sc := h.school(school)
	if sc == nil {
		return
	}
	sc.mu.RLock()
	sessions := slices.Clone(sc.sessions[user])
	sc.mu.RUnlock()
	for _, s := range sessions {
		s.Close(CloseRevoked)
	}
}
