package wstest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime/ws"
)

// Server is the server under test.
type Server struct {
	URL        string
	Header     http.Header
	Greetings  int    // messages that the server sends first
	Message    string // a text that the server replies to; it should contain a multi-byte character
	Reply      string // how the reply begins
	MaxMessage int    // the largest message that the server takes
}

// expectation is what the server must send, in order. Other data frames are ignored.
type expectation struct {
	pongs []string
	reply bool
	codes []int // the close codes that are right; none: the connection stays open
}

type testCase struct {
	name  string
	want  expectation
	send  [][]byte
	slice bool // the bytes arrive one by one
}

// Run runs all cases, each on a connection of its own.
func Run(t *testing.T, s Server) {
	t.Helper()
	for _, c := range slices.Concat(s.messages(), s.faults(), s.closes()) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			client := s.Dial(t)
			if c.slice {
				for _, b := range c.send {
					for i := range b {
						client.Send(b[i : i+1])
					}
				}
			} else {
				client.Send(c.send...)
			}
			s.expect(t, client, c.want)
		})
	}
}

func (s Server) expect(t *testing.T, c *Client, want expectation) {
	for _, payload := range want.pongs {
		f := c.awaitFrame(t, func(f Frame) bool { return f.Op == ws.Pong })
		require.Equal(t, payload, string(f.Payload))
	}
	if want.reply {
		c.awaitFrame(t, func(f Frame) bool {
			return f.Op == ws.Text &&
				strings.HasPrefix(string(f.Payload), s.Reply)
		})
	}
	if want.codes == nil {
		return
	}
	f := c.awaitFrame(t, func(f Frame) bool { return f.Op == ws.CloseFrame })
	code := ws.CloseNoStatus
	if len(f.Payload) >= 2 {
		code = int(f.Payload[0])<<8 | int(f.Payload[1])
	}
	require.Contains(t, want.codes, code, "close %q", f.Payload)
	_, err := c.Next()
	require.True(t, errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET),
		"want the end after a close frame: %v", err)
}

func (c *Client) awaitFrame(t *testing.T, match func(Frame) bool) Frame {
	for {
		f, err := c.Next()
		require.NoError(t, err)
		if match(f) {
			return f
		}
		require.Contains(t, []ws.Opcode{ws.Text, ws.Binary}, f.Op, "unexpected control frame %q",
			f.Payload)
	}
}

// Expectations of many cases.
var (
	reply   = expectation{reply: true}
	fault   = closedBy(ws.CloseProtocol)
	badText = closedBy(ws.CloseBadText)
	tooBig  = closedBy(ws.CloseTooBig)
)

func closedBy(codes ...int) expectation { return expectation{codes: codes} }

// adder returns a function that appends a case.
func adder(cases *[]testCase) func(name string, want expectation, send ...[]byte) {
	return func(name string, want expectation, send ...[]byte) {
		*cases = append(*cases, testCase{name: name, want: want, send: send})
	}
}

// messages returns cases of whole and fragmented messages, and of pings in between.
func (s Server) messages() (cases []testCase) {
	add := adder(&cases)
	whole, half := Masked(ws.Text, s.Message), len(s.Message)/2
	long := strings.Repeat("p", 125)
	pieces := [][]byte{Fragment(ws.Text, "")}
	for i := range len(s.Message) {
		pieces = append(pieces, Fragment(ws.Continuation, s.Message[i:i+1]))
	}
	pieces = append(pieces, Masked(ws.Continuation, ""))
	var pings [][]byte
	var pongs []string
	for i := range 100 {
		pings = append(pings, Masked(ws.Ping, fmt.Sprint(i)))
		pongs = append(pongs, fmt.Sprint(i))
	}
	add("text", reply, whole)
	cases = append(cases,
		testCase{"text whose bytes arrive one by one", reply, [][]byte{whole}, true})
	add("text in two fragments", reply, Fragment(ws.Text, s.Message[:half]),
		Masked(ws.Continuation, s.Message[half:]))
	add("text in fragments of one byte, with empty ones", reply, pieces...)
	add("ping without payload", expectation{pongs: []string{""}}, Masked(ws.Ping, ""))
	add("ping with the longest payload", expectation{pongs: []string{long}}, Masked(ws.Ping, long))
	add("ping that is not text", expectation{pongs: []string{"\x00\xFF"}},
		Masked(ws.Ping, "\x00\xFF"))
	add("many pings", expectation{pongs: pongs}, pings...)
	add("ping between fragments", expectation{pongs: []string{"now"}, reply: true},
		Fragment(ws.Text, s.Message[:half]), Masked(ws.Ping, "now"),
		Masked(ws.Continuation, s.Message[half:]))
	add("unsolicited pong", reply, Masked(ws.Pong, "here"), whole)
	return cases
}

// faults returns cases in which the client violates the protocol or the size limit.
func (s Server) faults() (cases []testCase) {
	add := adder(&cases)
	whole, long := Masked(ws.Text, s.Message), strings.Repeat("p", 125)
	add("reserved bit 1: compressed without agreement", fault,
		raw(final|rsv1|byte(ws.Text), s.Message))
	add("reserved bit 2", fault, raw(final|rsv2|byte(ws.Text), s.Message))
	add("reserved bit 3", fault, raw(final|rsv3|byte(ws.Text), s.Message))
	add("reserved bit on a ping", fault, raw(final|rsv1|byte(ws.Ping), ""))
	add("reserved bit on a close", fault, raw(final|rsv3|byte(ws.CloseFrame), closing(1000, "")))
	add("reserved bit on a continuation", fault, Fragment(ws.Text, "4"), raw(final|rsv1, "x"))

	add("fragmented ping", fault, Fragment(ws.Ping, "a"), Masked(ws.Continuation, "b"))
	add("fragmented close", fault, Fragment(ws.CloseFrame, closing(1000, "")))
	add("ping that is too long", fault, Masked(ws.Ping, long+"p"))
	add("close that is too long", fault, Masked(ws.CloseFrame, closing(1000, long)))

	add("continuation of nothing", fault, Masked(ws.Continuation, "x"), whole)
	add("text inside a fragmented text", fault, Fragment(ws.Text, "4a"), whole)
	add("binary inside a fragmented text", fault, Fragment(ws.Text, "4a"), Masked(ws.Binary, "b"))

	add("unmasked text", fault, ws.AppendFrame(nil, ws.Text, []byte(s.Message)))
	add("unmasked ping", fault, ws.AppendFrame(nil, ws.Ping))

	add("text that is not UTF-8", badText, Masked(ws.Text, "4\xFF"))
	add("text that breaks off", badText, Masked(ws.Text, "4\xE2\x82"))
	add("text with an overlong form", badText, Masked(ws.Text, "4\xC0\xAF"))
	add("text with half a surrogate pair", badText, Masked(ws.Text, "4\xED\xA0\x80"))
	add("text beyond Unicode", badText, Masked(ws.Text, "4\xF4\x90\x80\x80"))
	add("text in fragments that is not UTF-8", badText, Fragment(ws.Text, "4\xE2"),
		Masked(ws.Continuation, "(\xA1"))

	add("text that is too large", tooBig, Masked(ws.Text, strings.Repeat("x", s.MaxMessage+1)))
	add("text that claims to be too large", tooBig, claim(final|byte(ws.Text), 1<<62))
	add("text of a negative length", closedBy(ws.CloseTooBig, ws.CloseProtocol),
		claim(final|byte(ws.Text), 1<<63))
	add("fragments that are too large together", tooBig,
		Fragment(ws.Text, strings.Repeat("x", s.MaxMessage)), Masked(ws.Continuation, "x"))
	for _, op := range []byte{0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		add(fmt.Sprintf("opcode %X", op), fault, raw(final|op, "x"))
	}
	return cases
}

// closes returns cases in which the client closes the connection.
func (s Server) closes() (cases []testCase) {
	add := adder(&cases)
	whole := Masked(ws.Text, s.Message)
	add("close", closedBy(1000), Masked(ws.CloseFrame, closing(1000, "bye")))
	add("close without a code", closedBy(ws.CloseNoStatus, 1000), Masked(ws.CloseFrame, ""))
	add("close with half a code", closedBy(ws.CloseProtocol, ws.CloseNoStatus),
		Masked(ws.CloseFrame, "\x03"))
	add("close whose reason is not UTF-8", closedBy(ws.CloseProtocol, ws.CloseBadText),
		Masked(ws.CloseFrame, closing(1000, "\xFF")))
	add("close, then text", closedBy(1001), Masked(ws.CloseFrame, closing(1001, "")), whole)
	add("close inside a fragmented text", closedBy(1000), Fragment(ws.Text, "4a"),
		Masked(ws.CloseFrame, closing(1000, "")))
	for _, code := range []uint16{3000, 3999, 4000, 4999, 1003, 1011} {
		add(fmt.Sprintf("close code %d", code), closedBy(int(code)),
			Masked(ws.CloseFrame, closing(code, "")))
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535} {
		add(fmt.Sprintf("invalid close code %d", code), fault,
			Masked(ws.CloseFrame, closing(code, "")))
	}
	return cases
}
