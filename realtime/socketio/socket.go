package socketio

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/engineio"
)

// Socket is a client in one namespace.
type Socket struct {
	client    *client
	namespace string
	id        string
	handler   Handler

	entered   bool // the client has been told that it is in
	greetings [][]engineio.Packet
}

// Emit sends an event. Before the client is told that it is in, events wait for that.
func (s *Socket) Emit(name string, args ...jsontext.Value) {
	s.send(Packet{Type: Event, Data: array(name, args)})
}

// Identity is who the client is by the headers of its request; nil when they do not say.
func (s *Socket) Identity() *realtime.Identity { return s.client.identity }

// Push sends what the handler has, and ends the turn before it waits.
func (s *Socket) Push(slot *realtime.Slot) { s.client.engine.Push(slot) }

// Close ends the connection. A client that is not to come back is told so, in the one way that its library heeds.
func (s *Socket) Close(why realtime.Close) {
	if !why.Reconnect() {
		s.Emit("closing", object(struct {
			Code   uint16 `json:"code"`
			Reason string `json:"reason"`
		}{why.Code, why.Reason}))
		s.send(Packet{Type: Disconnect})
	}
	s.client.engine.Close(engineio.ServerClose, int(why.Code), why.Reason)
}

// begin tells the client that it is in, and then what it was to hear on entering.
func (s *Socket) begin(pid string) {
	s.entered = true
	s.send(Packet{Type: Connect, Data: object(struct {
		SID string `json:"sid"`
		PID string `json:"pid,omitzero"`
	}{s.id, pid})})
	for _, greeting := range s.greetings {
		s.client.engine.Send(greeting...)
	}
	s.greetings = nil
}

func (s *Socket) send(p Packet) {
	p.Namespace = s.namespace
	if !s.entered {
		s.greetings = append(s.greetings, packets(p))
		return
	}
	s.client.send(p)
}

// sendEncoded sends the text of a packet of the main namespace.
func (s *Socket) sendEncoded(packet []byte) {
	s.client.engine.Send(engineio.Packet{Type: engineio.Message, Data: packet})
}

// Incoming is an event of a client.
type Incoming struct {
	Name        string
	Args        []jsontext.Value
	Attachments [][]byte // for the placeholders in Args

	socket *Socket
	packet *Packet
}

// Ack answers the event, if the client wants an answer. With attachments, args hold their placeholders.
func (e *Incoming) Ack(attachments [][]byte, args ...jsontext.Value) {
	if e.packet.HasID {
		e.socket.send(Packet{
			Type: withAttachments(Ack, attachments), ID: e.packet.ID, HasID: true,
			Data: array("", args), Attachments: attachments,
		})
	}
}

// EmitBinary is Emit with attachments, for which args hold placeholders.
func (s *Socket) EmitBinary(name string, attachments [][]byte, args ...jsontext.Value) {
	s.send(Packet{Type: withAttachments(Event, attachments), Data: array(name, args), Attachments: attachments})
}

func withAttachments(t Type, attachments [][]byte) Type {
	switch {
	case len(attachments) == 0:
		return t
	case t == Event:
		return BinaryEvent
	default:
		return BinaryAck
	}
}
