package socketio

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"
)

// Type is the type of a packet.
type Type byte

// The packet types.
const (
	Connect Type = iota
	Disconnect
	Event
	Ack
	ConnectError
	BinaryEvent
	BinaryAck
)

// Packet is the unit of the protocol. Binary data is not part of the JSON: each piece is an
// attachment, with a placeholder in its place.
type Packet struct {
	Type      Type
	Namespace string // "/" is the default
	ID        int64  // of the acknowledgement, with HasID
	HasID     bool
	// an object for Connect and ConnectError, an array for events and acknowledgements
	Data        jsontext.Value
	Attachments [][]byte
}

// ErrMalformed says that bytes are not a packet, or not one that is allowed at this point.
var ErrMalformed = errors.New("malformed packet")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Append appends a packet without its attachments, which follow as binary messages.
func (p *Packet) Append(dst []byte) []byte {
	dst = append(dst, '0'+byte(p.Type))
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		dst = append(strconv.AppendInt(dst, int64(len(p.Attachments)), 10), '-')
	}
	if p.Namespace != "/" {
		dst = append(append(dst, p.Namespace...), ',')
	}
	if p.HasID {
		dst = strconv.AppendInt(dst, p.ID, 10)
	}
	return append(dst, p.Data...)
}

// Limits of what a client may send.
const (
	maxAttachments = 10
	maxNamespace   = 128
)

// Decoder assembles packets from messages. The zero value is ready to use.
type Decoder struct {
	pending *Packet // incomplete: attachments are missing
	missing int
}

// Text takes a text message and returns its packet, or nil if attachments are still to come. The
// packet's data is a part of b.
func (d *Decoder) Text(b []byte) (*Packet, error) {
	if d.pending != nil {
		return nil, malformed("text instead of an attachment")
	}
	p, attachments, err := parse(b)
	if err != nil {
		return nil, err
	}
	if attachments > 0 {
		p.Data = bytes.Clone(p.Data)
		d.pending, d.missing = p, attachments
		return nil, nil
	}
	return p, nil
}

// Binary takes an attachment and returns the packet once it is complete.
func (d *Decoder) Binary(b []byte) (*Packet, error) {
	p := d.pending
	if p == nil {
		return nil, malformed("attachment without a packet")
	}
	p.Attachments = append(p.Attachments, b)
	if d.missing--; d.missing > 0 {
		return nil, nil
	}
	d.pending = nil
	return p, nil
}

// parse parses the text of a packet, and the number of its attachments.
func parse(b []byte) (p *Packet, attachments int, err error) {
	if len(b) == 0 || b[0] < '0' || b[0] > '0'+byte(BinaryAck) {
		return nil, 0, malformed("unknown type %.20q", b)
	}
	p = &Packet{Type: Type(b[0] - '0'), Namespace: "/"}
	b = b[1:]
	if p.Type == BinaryEvent || p.Type == BinaryAck {
		n, rest := digits(b)
		attachments, err = strconv.Atoi(string(n))
		if err != nil || attachments > maxAttachments || len(rest) == 0 || rest[0] != '-' {
			return nil, 0, malformed("attachments %.20q", b)
		}
		b = rest[1:]
	}
	if len(b) > 0 && b[0] == '/' {
		var name []byte
		name, b, _ = bytes.Cut(b, []byte{','})
		if len(name) > maxNamespace {
			return nil, 0, malformed("namespace is longer than %d bytes", maxNamespace)
		}
		p.Namespace = string(name)
	}
	if n, rest := digits(b); len(n) > 0 {
		if p.ID, err = strconv.ParseInt(string(n), 10, 64); err != nil {
			return nil, 0, malformed("id %.30q", n)
		}
		p.HasID, b = true, rest
	}
	p.Data = b
	return p, attachments, p.check()
}

func digits(b []byte) (n, rest []byte) {
	i := 0
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return b[:i], b[i:]
}

// check returns an error if a packet of its type cannot have its data.
func (p *Packet) check() error {
	if len(p.Data) == 0 {
		p.Data = nil
		if p.Type == Connect || p.Type == Disconnect {
			return nil
		}
		return malformed("type %d without data", p.Type)
	}
	if !p.Data.IsValid() {
		return malformed("data is not JSON")
	}
	ok := false
	switch p.Type {
	case Connect, ConnectError:
		ok = p.Data.Kind() == '{'
	case Event, BinaryEvent:
		ok = p.Data.Kind() == '[' && p.named()
	case Ack, BinaryAck:
		ok = p.Data.Kind() == '[' && p.HasID
	case Disconnect:
	}
	if !ok {
		return malformed("type %d with data %.40q", p.Type, p.Data)
	}
	return nil
}

// reserved names have a meaning for the client libraries.
var reserved = map[string]bool{
	"connect": true, "connect_error": true, "disconnect": true, "disconnecting": true,
	"newListener": true, "removeListener": true,
}

// named reports whether an event's first element is a name, which may also be a number.
func (p *Packet) named() bool {
	name, _, err := p.Args()
	return err == nil && name != "" && !reserved[name]
}

// Args splits an event's data into its name and its arguments.
func (p *Packet) Args() (name string, args []jsontext.Value, err error) {
	values, err := elements(p.Data)
	if err != nil || len(values) == 0 {
		return "", nil, malformed("event without a name")
	}
	switch first := values[0]; first.Kind() {
	case '"':
		text, err := jsontext.AppendUnquote(nil, first)
		if err != nil {
			return "", nil, malformed("name %.40q", first)
		}
		name = string(text)
	case '0':
		name = string(first)
	default:
		return "", nil, malformed("name %.40q", first)
	}
	return name, values[1:], nil
}

// elements returns the values of a JSON array.
func elements(array jsontext.Value) ([]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(array))
	if _, err := d.ReadToken(); err != nil {
		return nil, fmt.Errorf("read array: %w", err)
	}
	var values []jsontext.Value
	for d.PeekKind() != ']' {
		v, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("read array: %w", err)
		}
		values = append(values, v.Clone())
	}
	return values, nil
}

// array returns a JSON array of a name, unless it is empty, and values.
func array(name string, values []jsontext.Value) jsontext.Value {
	b := []byte{'['}
	if name != "" {
		b, _ = jsontext.AppendQuote(b, name) // invalid UTF-8 is replaced
	}
	for _, v := range values {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, v...)
	}
	return append(b, ']')
}
