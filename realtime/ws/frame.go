package ws

import "encoding/binary"

// Opcode is the type of a frame.
type Opcode byte

// The opcodes of RFC 6455.
const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	CloseFrame   Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// Close codes of the RFC. What a protocol adds is next to its codec.
const (
	CloseNormal    = 1000
	CloseGoingAway = 1001
	CloseProtocol  = 1002
	CloseNoStatus  = 1005 // never sent: stands for a close frame without a code
	CloseBadText   = 1007
	ClosePolicy    = 1008
	CloseTooBig    = 1009
	CloseTryLater  = 1013
)

// AppendFrame appends one whole, unmasked frame, as servers send them. The payload may come in
// parts, so that a part that is the same for all receivers is encoded once.
func AppendFrame(dst []byte, op Opcode, payload ...[]byte) []byte {
	n := 0
	for _, part := range payload {
		n += len(part)
	}
	dst = AppendHeader(dst, op, n)
	for _, part := range payload {
		dst = append(dst, part...)
	}
	return dst
}

// AppendHeader appends the header of a whole, unmasked frame with a payload of n bytes.
func AppendHeader(dst []byte, op Opcode, n int) []byte {
	const final = 0x80
	dst = append(dst, final|byte(op))
	switch {
	case n < 126:
		return append(dst, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, 126), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, 127), uint64(n))
	}
}
