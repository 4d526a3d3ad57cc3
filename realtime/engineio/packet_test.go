package engineio

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// golden are packets as the protocol's documents write them.
var golden = []struct {
	name    string
	packets []Packet
	payload string   // the body of a long-polling request or response
	frames  [][]byte // the frames of a WebSocket, from the server
}{
	{"ping", []Packet{{Type: Ping, Data: []byte{}}}, "2", [][]byte{{0x81, 1, '2'}}},
	{
		"probe",
		[]Packet{{Type: Pong, Data: []byte("probe")}},
		"3probe",
		[][]byte{{0x81, 6, '3', 'p', 'r', 'o', 'b', 'e'}},
	},
	{
		"message",
		[]Packet{{Type: Message, Data: []byte("€")}},
		"4€",
		[][]byte{{0x81, 4, '4', 0xE2, 0x82, 0xAC}},
	},
	{
		"messages",
		[]Packet{{Type: Message, Data: []byte("a")}, {Type: Message, Data: []byte("b")}},
		"4a\x1e4b",
		[][]byte{{0x81, 2, '4', 'a'}, {0x81, 2, '4', 'b'}},
	},
	{
		"text and binary",
		[]Packet{
			{Type: Message, Data: []byte("hello")},
			{Type: Message, Binary: true, Data: []byte{1, 2, 3, 4}},
		},
		"4hello\x1ebAQIDBA==",
		[][]byte{{0x81, 6, '4', 'h', 'e', 'l', 'l', 'o'}, {0x82, 4, 1, 2, 3, 4}},
	},
	{"empty message", []Packet{{Type: Message, Data: []byte{}}}, "4", [][]byte{{0x81, 1, '4'}}},
}

func TestGoldenPackets(t *testing.T) {
	t.Parallel()
	for _, g := range golden {
		poll, stream := Batch{polling: true}, Batch{}
		for _, p := range g.packets {
			poll.packet(p)
			stream.packet(p)
		}
		require.Equal(t, g.payload, string(poll.buf), g.name)
		require.Equal(t, bytes.Join(g.frames, nil), stream.buf, g.name)

		var got []Packet
		for p, err := range DecodePayload([]byte(g.payload)) {
			require.NoError(t, err, g.name)
			got = append(got, p)
		}
		require.Empty(t, cmp.Diff(g.packets, got), g.name)
	}
}

func TestMalformedPackets(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		"", "7", "abc", "4a\x1e", "\x1e4a", "4a\x1eb!", "bAQI",
		"4\xFF",
	} {
		var last error
		for _, err := range DecodePayload([]byte(payload)) {
			last = err
		}
		require.ErrorIs(t, last, ErrMalformed, "%q", payload)
	}
}

func TestTextComesInParts(t *testing.T) {
	t.Parallel()
	for _, polling := range []bool{true, false} {
		whole, parts := Batch{polling: polling}, Batch{polling: polling}
		whole.Text([]byte("one two"))
		parts.Text([]byte("one"), nil, []byte(" two"))
		require.Equal(t, whole.buf, parts.buf)
	}
}

func FuzzDecodePayload(f *testing.F) {
	for _, g := range golden {
		f.Add([]byte(g.payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var packets []Packet
		for p, err := range DecodePayload(payload) {
			if err != nil {
				return
			}
			packets = append(packets, p)
		}
		again := Batch{polling: true}
		for _, p := range packets {
			again.packet(p)
		}
		var got []Packet
		for p, err := range DecodePayload(again.buf) {
			require.NoError(t, err)
			got = append(got, p)
		}
		require.Empty(t, cmp.Diff(packets, got))
	})
}
