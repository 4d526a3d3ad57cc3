package centrifuge_test

import (
	"testing"

	"github.com/centrifugal/protocol"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	rt "github.com/schoolbell/schoolbell/realtime/realtimetest"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

// delimited is a message as clients send it: after its length.
func delimited(t *testing.T, commands ...*protocol.Command) string {
	t.Helper()
	var frame []byte
	for _, cmd := range commands {
		body, err := cmd.MarshalVT()
		require.NoError(t, err)
		frame = protowire.AppendBytes(frame, body)
	}
	return string(frame)
}

func TestProtobufFrames(t *testing.T) {
	t.Parallel()
	n := rt.Start(t, nil, nil)
	server := wstest.Server{URL: serve(t, n.Hub, nil) + "?format=protobuf"}
	connect := &protocol.Command{Id: 1, Connect: &protocol.ConnectRequest{Token: "head admin"}}
	c := server.Dial(t)
	c.Send(wstest.Masked(ws.Binary, delimited(t, connect,
		&protocol.Command{Id: 2, Subscribe: &protocol.SubscribeRequest{Channel: "class:7a"}},
		&protocol.Command{}, // a pong
		&protocol.Command{Id: 3, Subscribe: &protocol.SubscribeRequest{Channel: "kitchen"}})))
	next := func() *protocol.Reply {
		t.Helper()
		f, err := c.Next()
		require.NoError(t, err)
		require.Equal(t, ws.Binary, f.Op, "%q", f.Payload)
		body, length := protowire.ConsumeBytes(f.Payload)
		require.Equal(t, len(f.Payload), length)
		var r protocol.Reply
		require.NoError(t, r.UnmarshalVT(body))
		return &r
	}
	first := next()
	require.EqualValues(t, 1, first.Id)
	require.True(t, first.Connect.Pong && first.Connect.Ping > 0)
	require.Contains(t, first.Connect.Subs, "user:head")
	require.JSONEq(t, `{"position":"1:-1","epoch":"`+n.EpochFor("head", rt.School)+`"}`,
		string(first.Connect.Data))
	subscribed := next()
	require.True(t, subscribed.Subscribe.Recoverable && subscribed.Subscribe.Positioned)
	require.EqualValues(t, 102, next().Error.Code)
	rt.Publish(t, n.Log, rt.School, "0", rt.Notice("0", "7b"))
	at := rt.Publish(t, n.Log, rt.School, "1", rt.Notice("1", "7a"))
	push := next().Push
	require.Equal(t, "class:7a", push.Channel)
	require.EqualValues(t, at.Offset, push.Pub.Offset)
	require.Contains(t, string(push.Pub.Data), `"position":"`+at.String()+`"`)

	// What is no command is a bad request, at whatever place.
	valid := delimited(t, connect)
	for _, frame := range []string{
		"\x05", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\xff\xff\xff\x0f",
		valid[:len(valid)-1], valid + "\x01", "\x02\x22\x05", `{"id":1,"connect":{}}`,
	} {
		c := server.Dial(t)
		c.Send(wstest.Masked(ws.Binary, frame))
		expectEnd(t, c, "\x0d\xadbad request")
	}
	c = server.Dial(t)
	c.Send(wstest.Masked(ws.Text, valid))
	expectEnd(t, c, "\x0d\xadbad request")
}

// expectEnd waits for the close frame.
func expectEnd(t *testing.T, c *wstest.Client, payload string) {
	t.Helper()
	for {
		f, err := c.Next()
		require.NoError(t, err)
		if f.Op == ws.CloseFrame {
			require.Equal(t, payload, string(f.Payload))
			return
		}
	}
}
