package engineio

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Type is the type of a packet, its first byte.
type Type byte

// The packet types.
const (
	Open    Type = '0'
	Close   Type = '1'
	Ping    Type = '2'
	Pong    Type = '3'
	Message Type = '4'
	Upgrade Type = '5'
	Noop    Type = '6'
)

// Packet is the unit of the protocol. Only messages can be binary.
type Packet struct {
	Type   Type
	Binary bool
	Data   []byte
}

// ErrMalformed says that bytes are not a packet.
var ErrMalformed = errors.New("malformed packet")

// separator stands between the packets of one long-polling request or response.
const separator = 0x1E

// Decode decodes the packet of a text frame. Its data is a part of b.
func Decode(b []byte) (Packet, error) {
	if len(b) == 0 || b[0] < byte(Open) || b[0] > byte(Noop) {
		return Packet{}, fmt.Errorf("packet %.20q: %w", b, ErrMalformed)
	}
	return Packet{Type: Type(b[0]), Data: b[1:]}, nil
}

// DecodePayload decodes the packets of a long-polling request, up to the first that is malformed.
// There, a binary message is written as "b" and base64.
func DecodePayload(b []byte) iter.Seq2[Packet, error] {
	return func(yield func(Packet, error) bool) {
		if !utf8.Valid(b) {
			yield(Packet{}, fmt.Errorf("payload is not UTF-8: %w", ErrMalformed))
			return
		}
		for part := range bytes.SplitSeq(b, []byte{separator}) {
			p, err := decodePart(part)
			if !yield(p, err) || err != nil {
				return
			}
		}
	}
}

func decodePart(part []byte) (Packet, error) {
	if len(part) == 0 || part[0] != 'b' {
		return Decode(part)
	}
	data, err := base64.StdEncoding.AppendDecode([]byte{}, part[1:])
	if err != nil {
		return Packet{}, fmt.Errorf("binary packet: %w: %w", ErrMalformed, err)
	}
	return Packet{Type: Message, Binary: true, Data: data}, nil
}

// Batch collects packets for one write: WebSocket frames, or the body of a response to a poll.
type Batch struct {
	polling bool
	buf     []byte
	slot    ws.Slot
}

// Slot is what a handler releases before it waits. It may be nil.
func (b *Batch) Slot() ws.Slot { return b.slot }

// batchSize is the intended size of one write, in bytes. The last packet may exceed it.
const batchSize = 32 << 10

// Full reports whether the batch must be sent before more is added.
func (b *Batch) Full() bool { return len(b.buf) >= batchSize }

// Len returns the size of the batch in bytes.
func (b *Batch) Len() int { return len(b.buf) }

// Text adds a text message. It may come in parts, so that a part that is the same for all receivers
// is encoded once.
func (b *Batch) Text(parts ...[]byte) { b.add(Message, parts...) }

// Binary adds a binary message.
func (b *Batch) Binary(data []byte) {
	if !b.polling {
		b.buf = ws.AppendFrame(b.buf, ws.Binary, data)
		return
	}
	b.separate()
	b.buf = base64.StdEncoding.AppendEncode(append(b.buf, 'b'), data)
}

func (b *Batch) packet(p Packet) {
	if p.Binary {
		b.Binary(p.Data)
	} else {
		b.add(p.Type, p.Data)
	}
}

func (b *Batch) add(t Type, parts ...[]byte) {
	if b.polling {
		b.separate()
	} else {
		n := 1
		for _, part := range parts {
			n += len(part)
		}
		b.buf = ws.AppendHeader(b.buf, ws.Text, n)
	}
	b.buf = append(b.buf, byte(t))
	for _, part := range parts {
		b.buf = append(b.buf, part...)
	}
}

func (b *Batch) separate() {
	if len(b.buf) > 0 {
		b.buf = append(b.buf, separator)
	}
}
