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

// Bus carries short messages between the nodes. What is lost is asked for again, so it keeps nothing.
type Bus interface {
	// Publish sends a message to all who listen to a channel at the moment.
	Publish(ctx context.Context, channel string, message []byte) error
	// Subscribe hands on the messages of the channels until ctx ends. It reconnects by itself.
	Subscribe(ctx context.Context, channels []string, handle func(message []byte)) error
}

// allNodes is the channel that every node hears; besides, each hears one of its own.
const allNodes = "sb:realtime:nodes"

func nodeChannel(node string) string { return "sb:realtime:node:" + node }

// message is what nodes say to each other.
type message struct {
	Kind    string    `json:"kind"`
	From    string    `json:"from"`
	Request uint64    `json:"asked,omitzero"` // the number of the question that is asked or answered
	School  string    `json:"school,omitzero"`
	Room    string    `json:"room,omitzero"`
	User    string    `json:"user,omitzero"`
	Members []Member  `json:"members,omitempty"`
	Status  *Status   `json:"status,omitzero"`
	Changed []Changed `json:"changed,omitempty"`
}

const (
	kindMembers  = "members?"
	kindStatus   = "status?"
	kindReply    = "answer"
	kindRevoked  = "revoked"
	kindChanged  = "changed"
	kindHello    = "hello"
	kindBye      = "bye"
	replyTimeout = 300 * time.Millisecond // what a node says after that is not waited for
)

// Member is somebody in a room: one connection of a user.
type Member struct {
	User    string `json:"user"`
	Session string `json:"session"`
	Node    string `json:"node"`
}

// Status is what a node says of itself.
type Status struct {
	Node        string     `json:"node"`
	Connections int64      `json:"connections"`
	Draining    bool       `json:"draining"`
	Busiest     []RoomSize `json:"busiest,omitempty"`
}

// RoomSize is a room and how many connections of one node are in it.
type RoomSize struct {
	School   string `json:"school"`
	Room     string `json:"room"`
	Sessions int    `json:"sessions"`
}

// pendingRequests are those that this node waits to be answered.
type pendingRequests struct {
	mu      sync.Mutex
	last    uint64
	replies map[uint64]chan message
}

// Presence lists who is in a room, on all nodes. Nothing is kept anywhere: the nodes are asked, so that one which has
// died is not in the answer any more.
func (h *Hub) Presence(ctx context.Context, school string, room domain.Room) ([]Member, error) {
	all := h.members(school, room)
	answers, err := h.request(ctx, message{Kind: kindMembers, School: school, Room: room.String()})
	for _, a := range answers {
		all = append(all, a.Members...)
	}
	return all, err
}

// Nodes lists the nodes, this one first.
func (h *Hub) Nodes(ctx context.Context) ([]Status, error) {
	all := []Status{h.status()}
	answers, err := h.request(ctx, message{Kind: kindStatus})
	for _, a := range answers {
		if a.Status != nil {
			all = append(all, *a.Status)
		}
	}
	return all, err
}

// Revoke ends all sessions of a user at a school, on all nodes.
func (h *Hub) Revoke(ctx context.Context, school, user string) error {
	h.revoke(school, user)
	return h.broadcast(ctx, message{Kind: kindRevoked, School: school, User: user})
}

// broadcast sends a message to the other nodes, if there are any.
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

// request puts a question to all other nodes and gathers their answers. A node that does not answer in time is left out; when
// all that are known to be alive have answered, no others are waited for.
func (h *Hub) request(ctx context.Context, m message) ([]message, error) {
	if h.cfg.Bus == nil {
		return nil, nil
	}
	q := &h.requests
	came := make(chan message, 16)
	q.mu.Lock()
	q.last++
	m.Request = q.last
	if q.replies == nil {
		q.replies = map[uint64]chan message{}
	}
	q.replies[m.Request] = came
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
	var answers []message
	for len(expected) > 0 || maybeMore {
		select {
		case a := <-came:
			answers = append(answers, a)
			expected = slices.DeleteFunc(expected, func(node string) bool { return node == a.From })
		case <-ctx.Done():
			return answers, nil
		}
	}
	return answers, nil
}

// runBus speaks with the other nodes.
func (h *Hub) runBus(ctx context.Context) error {
	if h.cfg.Bus == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.sendHellos(ctx) })
	g.Go(func() error { return h.listen(ctx) })
	return g.Wait()
}

// listen answers the other nodes.
func (h *Hub) listen(ctx context.Context) error {
	return h.cfg.Bus.Subscribe(ctx, []string{allNodes, nodeChannel(h.node)}, func(b []byte) {
		var m message
		if err := json.Unmarshal(b, &m); err != nil || m.From == h.node {
			return
		}
		if err := h.receive(ctx, m); err != nil && !errors.Is(err, context.Canceled) {
			h.cfg.Logger.WarnContext(ctx, "another node cannot be answered", "error", err)
		}
	})
}

func (h *Hub) receive(ctx context.Context, m message) error {
	if m.Kind == kindBye {
		h.peers.forget(m.From)
		return nil
	}
	if m.From != "" && h.peers.seen(m.From) { // it knows of this node at once, and not with the next hello
		if err := h.send(ctx, nodeChannel(m.From), message{Kind: kindHello}); err != nil {
			return err
		}
	}
	reply := message{Kind: kindReply, Request: m.Request}
	switch m.Kind {
	case kindHello:
		return nil
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
		default:
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
	default:
		return nil // of a newer node
	}
	return h.send(ctx, nodeChannel(m.From), reply)
}

// members lists who is in a room on this node.
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

// busiest is how many rooms a node names.
const busiest = 10

func (h *Hub) status() Status {
	st := Status{Node: h.node, Connections: h.sessions.Load(), Draining: h.draining.Load()}
	h.eachSchool(func(sc *school) {
		for name, r := range sc.rooms {
			st.Busiest = append(st.Busiest, RoomSize{School: sc.name, Room: name.String(), Sessions: len(r.sessions)})
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
