package centrifuge

import (
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/ws"
)

// format is one of the two forms of the protocol's messages.
type format interface {
	// parse reads the commands of a client's message.
	parse(message []byte, handle func(*command) error) error
	// appendReply appends the reply to a command; an empty one is a ping, which the client returns.
	appendReply(dst []byte, r *reply) []byte
	appendPush(dst []byte, p *push) []byte
}

// push is a message that responds to no command. One of its parts is set.
type push struct {
	channel     string
	data        []byte // of a publication, in JSON
	offset      int64  // of a publication that can be recovered, else -1
	unsubscribe *ending
	disconnect  *ending
}

type ending struct {
	code   uint32
	reason string
}

// wire is how a transport writes: messages of a format, in frames of its own.
type wire struct {
	format
	frame    func(dst, message []byte) []byte
	encoding *realtime.Encoding // of events
	ping     []byte
}

var (
	webSocketJSON = newWire(jsonFormat{}, func(dst, message []byte) []byte {
		return ws.AppendFrame(dst, ws.Text, message)
	})
	webSocketProtobuf = newWire(protobufFormat{}, func(dst, message []byte) []byte {
		return ws.AppendFrame(dst, ws.Binary, message)
	})
)

func newWire(f format, frame func(dst, message []byte) []byte) *wire {
	w := &wire{format: f, frame: frame}
	w.ping = w.appendReply(nil, &reply{})
	w.encoding = &realtime.Encoding{PerRoom: true, Append: w.appendEvent}
	return w
}

// appendReply appends the frame of a reply.
func (w *wire) appendReply(dst []byte, r *reply) []byte {
	return w.frame(dst, w.format.appendReply(nil, r))
}

// appendPush appends the frame of a push.
func (w *wire) appendPush(dst []byte, p *push) []byte {
	return w.frame(dst, w.format.appendPush(make([]byte, 0, 128+len(p.data)), p))
}

// appendEvent appends the push of an event to a channel.
func (w *wire) appendEvent(dst []byte, d *realtime.Delivery) []byte {
	return w.appendPush(dst, &push{
		channel: d.Room.String(), data: d.AppendJSON(make([]byte, 0, 1024)),
		offset: int64(wireOffset(d.Position)),
	})
}

// appendDelivery appends the push of a delivery of any kind.
func (w *wire) appendDelivery(dst []byte, d *realtime.Delivery) []byte {
	p := push{channel: d.Room.String(), offset: -1}
	switch d.Kind {
	case realtime.KindEvent:
		return append(dst, d.Frame(w.encoding)...)
	case realtime.KindUpdate:
		p.data = d.AppendNotice(nil)
	default:
		// From 2500 on the client subscribes again by itself, from its last offset.
		p.unsubscribe = &ending{2000, "access revoked"}
		if d.RightsUnavailable {
			p.unsubscribe = &ending{2500, "rights cannot be looked up"}
		}
	}
	return w.appendPush(dst, &p)
}
