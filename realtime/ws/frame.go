package ws

import "encoding/binary"

// Opcode says what a frame holds.
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

// Close codes that Schoolbell sends. Those below 4000 are the RFC's own; what a protocol adds is beside its codec.
const (
	CloseNormal      = 1000
	CloseGoingAway   = 1001
	CloseProtocol    = 1002
	CloseUnsupported = 1003
	CloseNoStatus    = 1005 // never sent: stands for a close frame without a code
	CloseBadText     = 1007
	ClosePolicy      = 1008
	CloseTooBig      = 1009
	CloseInternal    = 1011
	CloseRestart     = 1012
	CloseTryLater    = 1013
)

// AppendFrame writes one whole, unmasked frame, as a server sends it. The payload may come in parts, so that what is
// the same for all receivers is encoded only once.
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

// AppendHeader writes the header of a whole, unmasked frame, whose payload of n bytes is to follow.
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
