package wstest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
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
	send  [][]byte
	slice bool // the bytes arrive one by one
	want  expectation
}

// Run runs all cases, each on a connection of its own.
func Run(t *testing.T, s Server) {
	t.Helper()
	for _, c := range s.cases() {
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

func (s Server) cases() []testCase {
	var (
		reply    = expectation{reply: true}
		fault    = expectation{codes: []int{ws.CloseProtocol}}
		badText  = expectation{codes: []int{ws.CloseBadText}}
		tooBig   = expectation{codes: []int{ws.CloseTooBig}}
		whole    = Masked(ws.Text, s.Message)
		half     = len(s.Message) / 2
		pieces   = [][]byte{Fragment(ws.Text, "")}
		long     = strings.Repeat("p", 125)
		pings    [][]byte
		pongs    []string
		closedBy = func(codes ...int) expectation { return expectation{codes: codes} }
	)
	for i := range len(s.Message) {
		pieces = append(pieces, Fragment(ws.Continuation, s.Message[i:i+1]))
	}
	pieces = append(pieces, Masked(ws.Continuation, ""))
	for i := range 100 {
		pings = append(pings, Masked(ws.Ping, fmt.Sprint(i)))
		pongs = append(pongs, fmt.Sprint(i))
	}

	cases := []testCase{
		{name: "text", send: [][]byte{whole}, want: reply},
		{name: "text whose bytes arrive one by one", send: [][]byte{whole}, slice: true,
			want: reply},
		{name: "text in two fragments",
			send: [][]byte{Fragment(ws.Text, s.Message[:half]),
				Masked(ws.Continuation, s.Message[half:])}, want: reply},
		{name: "text in fragments of one byte, with empty ones", send: pieces, want: reply},
		{name: "ping without payload", send: [][]byte{Masked(ws.Ping, "")},
			want: expectation{pongs: []string{""}}},
		{name: "ping with the longest payload", send: [][]byte{Masked(ws.Ping, long)},
			want: expectation{pongs: []string{long}}},
		{name: "ping that is not text", send: [][]byte{Masked(ws.Ping, "\x00\xFF")},
			want: expectation{pongs: []string{"\x00\xFF"}}},
		{name: "many pings", send: pings, want: expectation{pongs: pongs}},
		{
			name: "ping between fragments",
			send: [][]byte{Fragment(ws.Text, s.Message[:half]), Masked(ws.Ping, "now"),
				Masked(ws.Continuation, s.Message[half:])},
			want: expectation{pongs: []string{"now"}, reply: true},
		},
		{name: "unsolicited pong", send: [][]byte{Masked(ws.Pong, "here"), whole},
			want: reply},

		{name: "reserved bit 1: compressed without agreement",
			send: [][]byte{raw(final|rsv1|byte(ws.Text), s.Message)}, want: fault},
		{name: "reserved bit 2", send: [][]byte{raw(final|rsv2|byte(ws.Text), s.Message)},
			want: fault},
		{name: "reserved bit 3", send: [][]byte{raw(final|rsv3|byte(ws.Text), s.Message)},
			want: fault},
		{name: "reserved bit on a ping", send: [][]byte{raw(final|rsv1|byte(ws.Ping), "")},
			want: fault},
		{name: "reserved bit on a close",
			send: [][]byte{raw(final|rsv3|byte(ws.CloseFrame), closing(1000, ""))}, want: fault},
		{name: "reserved bit on a continuation",
			send: [][]byte{Fragment(ws.Text, "4"), raw(final|rsv1, "x")}, want: fault},

		{name: "fragmented ping",
			send: [][]byte{Fragment(ws.Ping, "a"), Masked(ws.Continuation, "b")}, want: fault},
		{name: "fragmented close", send: [][]byte{Fragment(ws.CloseFrame, closing(1000, ""))},
			want: fault},
		{name: "ping that is too long", send: [][]byte{Masked(ws.Ping, long+"p")}, want: fault},
		{name: "close that is too long", send: [][]byte{Masked(ws.CloseFrame, closing(1000, long))},
			want: fault},

		{name: "continuation of nothing", send: [][]byte{Masked(ws.Continuation, "x"), whole},
			want: fault},
		{name: "text inside a fragmented text", send: [][]byte{Fragment(ws.Text, "4a"), whole},
			want: fault},
		{name: "binary inside a fragmented text",
			send: [][]byte{Fragment(ws.Text, "4a"), Masked(ws.Binary, "b")}, want: fault},

		{name: "unmasked text", send: [][]byte{ws.AppendFrame(nil, ws.Text, []byte(s.Message))},
			want: fault},
		{name: "unmasked ping", send: [][]byte{ws.AppendFrame(nil, ws.Ping)}, want: fault},

		{name: "text that is not UTF-8", send: [][]byte{Masked(ws.Text, "4\xFF")}, want: badText},
		{name: "text that breaks off", send: [][]byte{Masked(ws.Text, "4\xE2\x82")}, want: badText},
		{name: "text with an overlong form", send: [][]byte{Masked(ws.Text, "4\xC0\xAF")},
			want: badText},
		{name: "text with half a surrogate pair", send: [][]byte{Masked(ws.Text, "4\xED\xA0\x80")},
			want: badText},
		{name: "text beyond Unicode", send: [][]byte{Masked(ws.Text, "4\xF4\x90\x80\x80")},
			want: badText},
		{name: "text in fragments that is not UTF-8",
			send: [][]byte{Fragment(ws.Text, "4\xE2"), Masked(ws.Continuation, "(\xA1")},
			want: badText},

		{name: "close", send: [][]byte{Masked(ws.CloseFrame, closing(1000, "bye"))},
			want: closedBy(1000)},
		{name: "close without a code", send: [][]byte{Masked(ws.CloseFrame, "")},
			want: closedBy(ws.CloseNoStatus, 1000)},
		{name: "close with half a code", send: [][]byte{Masked(ws.CloseFrame, "\x03")},
			want: closedBy(ws.CloseProtocol, ws.CloseNoStatus)},
		{name: "close whose reason is not UTF-8",
			send: [][]byte{Masked(ws.CloseFrame, closing(1000, "\xFF"))},
			want: closedBy(ws.CloseProtocol, ws.CloseBadText)},
		{name: "close, then text", send: [][]byte{Masked(ws.CloseFrame, closing(1001, "")), whole},
			want: closedBy(1001)},
		{name: "close inside a fragmented text",
			send: [][]byte{Fragment(ws.Text, "4a"), Masked(ws.CloseFrame, closing(1000, ""))},
			want: closedBy(1000)},

		{name: "text that is too large",
			send: [][]byte{Masked(ws.Text, strings.Repeat("x", s.MaxMessage+1))}, want: tooBig},
		{name: "text that claims to be too large",
			send: [][]byte{claim(final|byte(ws.Text), 1<<62)}, want: tooBig},
		{name: "text of a negative length", send: [][]byte{claim(final|byte(ws.Text), 1<<63)},
			want: closedBy(ws.CloseTooBig, ws.CloseProtocol)},
		{
			name: "fragments that are too large together",
			send: [][]byte{Fragment(ws.Text, strings.Repeat("x", s.MaxMessage)),
				Masked(ws.Continuation, "x")},
			want: tooBig,
		},
	}
	for _, op := range []byte{0x3, 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF} {
		cases = append(cases, testCase{name: fmt.Sprintf("opcode %X", op),
			send: [][]byte{raw(final|op, "x")}, want: fault})
	}
	for _, code := range []uint16{3000, 3999, 4000, 4999, 1003, 1011} {
		cases = append(cases, testCase{
			name: fmt.Sprintf("close code %d", code),
			send: [][]byte{Masked(ws.CloseFrame, closing(code, ""))},
			want: closedBy(int(code)),
		})
	}
	for _, code := range []uint16{0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535} {
		cases = append(cases, testCase{
			name: fmt.Sprintf("close code %d, which is none", code),
			send: [][]byte{Masked(ws.CloseFrame, closing(code, ""))},
			want: fault,
		})
	}
	return cases
}
