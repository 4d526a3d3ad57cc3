package socketio

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func value(s string) jsontext.Value {
	if s == "" {
		return nil
	}
	return jsontext.Value(s)
}

// golden are packets as the protocol's documents write them.
var golden = []struct {
	text   string
	packet Packet
}{
	{`0`, Packet{Type: Connect, Namespace: "/"}},
	{`0{"token":"123"}`, Packet{Type: Connect, Namespace: "/", Data: value(`{"token":"123"}`)}},
	{
		`0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}`,
		Packet{Type: Connect, Namespace: "/admin", Data: value(`{"sid":"oSO0OpakMV_3jnilAAAA"}`)},
	},
	{`1`, Packet{Type: Disconnect, Namespace: "/"}},
	{`1/admin,`, Packet{Type: Disconnect, Namespace: "/admin"}},
	{`2["foo"]`, Packet{Type: Event, Namespace: "/", Data: value(`["foo"]`)}},
	{`2/admin,["bar"]`, Packet{Type: Event, Namespace: "/admin", Data: value(`["bar"]`)}},
	{
		`212["foo"]`,
		Packet{Type: Event, Namespace: "/", HasID: true, ID: 12, Data: value(`["foo"]`)},
	},
	{
		`3/admin,13["bar"]`,
		Packet{Type: Ack, Namespace: "/admin", HasID: true, ID: 13, Data: value(`["bar"]`)},
	},
	{`30[]`, Packet{Type: Ack, Namespace: "/", HasID: true, Data: value(`[]`)}},
	{
		`4{"message":"Not authorized"}`,
		Packet{Type: ConnectError, Namespace: "/", Data: value(`{"message":"Not authorized"}`)},
	},
	{
		`51-["baz",{"_placeholder":true,"num":0}]`,
		Packet{
			Type: BinaryEvent, Namespace: "/",
			Data:        value(`["baz",{"_placeholder":true,"num":0}]`),
			Attachments: [][]byte{{1, 2, 3, 4}},
		},
	},
	{
		`52-/admin,["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`,
		Packet{
			Type: BinaryEvent, Namespace: "/admin", Attachments: [][]byte{{1, 2}, {3, 4}},
			Data: value(`["baz",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`),
		},
	},
	{
		`61-15["bar",{"_placeholder":true,"num":0}]`,
		Packet{
			Type: BinaryAck, Namespace: "/", HasID: true, ID: 15,
			Data: value(`["bar",{"_placeholder":true,"num":0}]`), Attachments: [][]byte{{9}},
		},
	},
	{`50-["none"]`, Packet{Type: BinaryEvent, Namespace: "/", Data: value(`["none"]`)}},
}

func TestGoldenPackets(t *testing.T) {
	t.Parallel()
	for _, g := range golden {
		require.Equal(t, g.text, string(g.packet.Append(nil)))
		var d Decoder
		p, err := d.Text([]byte(g.text))
		require.NoError(t, err, g.text)
		for i, b := range g.packet.Attachments {
			require.Nil(t, p, "%s: complete before attachment %d", g.text, i)
			p, err = d.Binary(b)
			require.NoError(t, err, g.text)
		}
		require.Empty(t, cmp.Diff(&g.packet, p), g.text)
	}
	var d Decoder
	p, err := d.Text([]byte("0/admin")) // the comma may be missing
	require.NoError(t, err)
	require.Equal(t, "/admin", p.Namespace)
}

func TestMalformedPackets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "abc", "7", "0[]", "0{", "1{}", "2", "2{}", "2[]", "2[1", "2[null]", `2[""]`,
		`2["connect"]`, `2["disconnecting"]`,
		`2abc["x"]`, `2["x"]["y"]`, `2["x",{"a":1,"a":2}]`, "2[\"\xFF\"]", "3[]", "3", "31{}", "4",
		"5", `5["x"]`, `5-["x"]`, `511-["x"]`,
		`5x-["x"]`, `299999999999999999999["x"]`, "0/" + strings.Repeat("n", maxNamespace),
	} {
		var d Decoder
		_, err := d.Text([]byte(text))
		require.ErrorIs(t, err, ErrMalformed, "%q", text)
	}
	var d Decoder
	_, err := d.Binary([]byte{1})
	require.ErrorIs(t, err, ErrMalformed, "an attachment to nothing")
	_, err = d.Text([]byte(`51-["x"]`))
	require.NoError(t, err)
	_, err = d.Text([]byte(`2["x"]`))
	require.ErrorIs(t, err, ErrMalformed, "text in place of an attachment")
}

func TestArgs(t *testing.T) {
	t.Parallel()
	name, args, err := (&Packet{Data: value(`["a\u0062c", 1 ,"2",{"3":[true]}]`)}).Args()
	require.NoError(t, err)
	require.Equal(t, "abc", name)
	require.Equal(t, []jsontext.Value{value("1"), value(`"2"`), value(`{"3":[true]}`)}, args)
	require.Equal(t, `["abc",1,"2",{"3":[true]}]`, string(array(name, args)))
	require.Equal(t, `[]`, string(array("", nil)))
}

func FuzzDecoder(f *testing.F) {
	for _, g := range golden {
		f.Add([]byte(g.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var d Decoder
		p, err := d.Text(text)
		for i := 0; err == nil && p == nil; i++ {
			require.Less(t, i, maxAttachments)
			p, err = d.Binary([]byte{byte(i)})
		}
		if err != nil {
			return
		}
		if p.Type == Event || p.Type == BinaryEvent {
			_, _, err := p.Args()
			require.NoError(t, err)
		}
		var again Decoder
		q, err := again.Text(p.Append(nil))
		require.NoError(t, err)
		for _, b := range p.Attachments {
			q, err = again.Binary(b)
			require.NoError(t, err)
		}
		require.Empty(t, cmp.Diff(p, q))
	})
}
