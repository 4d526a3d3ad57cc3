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

	entered   bool // the Connect packet was sent
	greetings [][]engineio.Packet
}

// Emit sends an event. Events before the Connect packet are held back until it was sent.
func (s *Socket) Emit(name string, args ...jsontext.Value) {
	s.send(Packet{Type: Event, Data: array(name, args)})
}

// Identity returns who the client is by its request, nil if that has neither token nor ticket.
func (s *Socket) Identity() *realtime.Identity { return s.client.identity }

// Push sends what the handler has, and releases the slot before it waits.
func (s *Socket) Push(slot *realtime.Slot) { s.client.engine.Push(slot) }

// Close closes the connection. If the client must not reconnect, it is also sent a Disconnect
// packet, which is the only thing that stops its library from reconnecting.
func (s *Socket) Close(reason realtime.Close) {
	if !reason.Reconnect() {
		s.Emit("closing", object(struct {
			Code   uint16 `json:"code"`
			Reason string `json:"reason"`
		}{reason.Code, reason.Reason}))
		s.send(Packet{Type: Disconnect})
	}
	s.client.engine.Close(engineio.ServerClose, int(reason.Code), reason.Reason)
}

// begin sends the Connect packet, and then the events that were held back for it.
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

// sendEncoded sends the text of a packet of the default namespace.
func (s *Socket) sendEncoded(packet []byte) {
	s.client.engine.Send(engineio.Packet{Type: engineio.Message, Data: packet})
}

// Incoming is an event from a client.
type Incoming struct {
	Name        string
	Args        []jsontext.Value
	Attachments [][]byte // for the placeholders in Args

	socket *Socket
	packet *Packet
}

// Ack acknowledges the event, if the client requested that. With attachments, args hold their
// placeholders.
func (e *Incoming) Ack(attachments [][]byte, args ...jsontext.Value) {
	if e.packet.HasID {
		e.socket.send(Packet{
			Type: withAttachments(Ack, attachments), ID: e.packet.ID, HasID: true,
			Data: array("", args), Attachments: attachments,
		})
	}
}

// EmitBinary is Emit with attachments, for which args hold the placeholders.
func (s *Socket) EmitBinary(name string, attachments [][]byte, args ...jsontext.Value) {
	s.send(Packet{
		Type: withAttachments(Event, attachments), Data: array(name, args),
		Attachments: attachments,
	})
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
