package socketio_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/socketio"
	"github.com/schoolbell/schoolbell/realtime/ws"
	"github.com/schoolbell/schoolbell/realtime/wstest"
)

// mirror is a namespace that emits its auth payload and returns every event.
type mirror struct{ *socketio.Socket }

func enterMirror(
	_ context.Context, s *socketio.Socket, auth jsontext.Value,
) (socketio.Accepted, error) {
	switch string(auth) {
	case `{"refuse":1}`:
		return socketio.Accepted{},
			&socketio.Refusal{Message: "not today", Data: map[string]int{"code": 3500}}
	case `{"refuse":2}`:
		return socketio.Accepted{}, realtime.CloseShutdown
	case `{"refuse":3}`:
		return socketio.Accepted{}, errors.New("the database is away")
	}
	s.Emit("auth", auth)
	return socketio.Accepted{Handler: mirror{s}}, nil
}

func (m mirror) Event(_ context.Context, e *socketio.Incoming) error {
	switch e.Name {
	case "message":
		m.EmitBinary("message-back", e.Attachments, e.Args...)
	case "message-with-ack":
		e.Ack(e.Attachments, e.Args...)
	case "close":
		m.Close(realtime.CloseRevoked)
	}
	return nil
}
func (mirror) Next(context.Context, *engineio.Batch) {}
func (mirror) Closed(engineio.Reason)                {}

// serve starts a server and returns the address of its WebSockets.
func serve(t *testing.T, server *socketio.Server) wstest.Server {
	t.Helper()
	front := httptest.NewServer(server)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wstest.Timeout)
		defer cancel()
		require.NoError(t, server.Shutdown(ctx))
		front.Close()
	})
	return wstest.Server{URL: "ws" + strings.TrimPrefix(front.URL, "http") +
		"/socket.io/?EIO=4&transport=websocket", Greetings: 1}
}

func mirrors(t *testing.T, cfg socketio.Config) wstest.Server {
	t.Helper()
	return serve(t,
		socketio.New(cfg, map[string]socketio.Namespace{"/": enterMirror, "/custom": enterMirror}))
}

// exchange sends text messages and expects others back.
func exchange(t *testing.T, c *wstest.Client, send []string, want ...string) {
	t.Helper()
	for _, s := range send {
		c.Send(wstest.Masked(ws.Text, s))
	}
	for _, s := range want {
		f, err := c.Next()
		require.NoError(t, err)
		if prefix, open := strings.CutSuffix(s, "…"); open {
			require.True(t, strings.HasPrefix(string(f.Payload), prefix), "%q: want %q", f.Payload,
				s)
		} else {
			require.Equal(t, s, string(f.Payload))
		}
	}
}

func expectClose(t *testing.T, c *wstest.Client, code uint16) {
	t.Helper()
	f, err := c.Next()
	require.NoError(t, err)
	require.Equal(t, ws.CloseFrame, f.Op, "%q", f.Payload)
	if code > 0 {
		require.Equal(t, code, uint16(f.Payload[0])<<8|uint16(f.Payload[1]))
	}
}

func TestNamespaces(t *testing.T) {
	t.Parallel()
	s := mirrors(t, socketio.Config{})
	c := s.Dial(t)
	exchange(t, c, []string{"40"}, `40{"sid":"…`, `42["auth",{}]`)
	exchange(t, c, []string{"40/custom"}, `40/custom,{"sid":"…`, `42/custom,["auth",{}]`)
	exchange(t, c, []string{"40/random"}, `44/random,{"message":"Invalid namespace"}`)
	exchange(t, c, []string{"41/custom", `42["message","to the main one"]`},
		`42["message-back","to the main one"]`)
	exchange(t, c, []string{`40/custom,{"token":"abc"}`}, `40/custom,{"sid":"…`,
		`42/custom,["auth",{"token":"abc"}]`)
	exchange(t, c, []string{`42/custom,7["message-with-ack",1]`}, `43/custom,7[1]`)
	exchange(t, c, []string{"41", `42/custom,["message",2]`}, `42/custom,["message-back",2]`)
}

func TestMessages(t *testing.T) {
	t.Parallel()
	c := mirrors(t, socketio.Config{}).Dial(t)
	exchange(t, c, []string{`40{"token":"123"}`}, `40{"sid":"…`, `42["auth",{"token":"123"}]`)
	exchange(t, c, []string{`42["message",1,"2",{"3":[true]}]`},
		`42["message-back",1,"2",{"3":[true]}]`)
	exchange(t, c, []string{`42456["message-with-ack",1,"2",{"3":[false]}]`},
		`43456[1,"2",{"3":[false]}]`)

	const placeholders = `{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]`
	binary := func(text string) {
		c.Send(wstest.Masked(ws.Text, text), wstest.Masked(ws.Binary, "\x01\x02"),
			wstest.Masked(ws.Binary, "\x03"))
	}
	binary(`452-["message",` + placeholders)
	exchange(t, c, nil, `452-["message-back",`+placeholders, "\x01\x02", "\x03")
	binary(`452-789["message-with-ack",` + placeholders)
	exchange(t, c, nil, `462-789[`+placeholders, "\x01\x02", "\x03")
}

func TestWhatEndsAConnection(t *testing.T) {
	t.Parallel()
	s := mirrors(t,
		socketio.Config{
			ConnectTimeout: 50 * time.Millisecond,
			MessageRate:    50, MessageBurst: 10, Patience: 50 * time.Millisecond,
		})
	enter := func() *wstest.Client {
		c := s.Dial(t)
		exchange(t, c, []string{"40"}, `40…`, `42["auth",{}]`)
		return c
	}
	for _, text := range []string{
		"4abc", "42{}", `42abc["message-with-ack",1]`, "40", "44{}",
		`42/custom,["message"]`, `41/custom,`,
	} {
		c := enter()
		exchange(t, c, []string{text})
		expectClose(t, c, 0)
	}
	c := enter()
	c.Send(wstest.Masked(ws.Binary, "attachment to nothing"))
	expectClose(t, c, 0)

	c = s.Dial(t) // without a word
	expectClose(t, c, realtime.CloseStale.Code)
	c = enter()
	exchange(t, c, []string{"41"}) // and then nothing
	expectClose(t, c, realtime.CloseStale.Code)

	c = enter()
	for range 50 { // and so on, for longer than the server's patience lasts
		exchange(t, c, []string{`42["unheard"]`})
	}
	expectClose(t, c, realtime.CloseTooManyCalls.Code)

	c = enter()
	exchange(t, c, []string{`42["close"]`}, `42["closing",{"code":3503,"reason":"access revoked"}]`,
		"41")
	expectClose(t, c, realtime.CloseRevoked.Code)
}

// What is sent at once is served, however much it is.
func TestABurstIsServed(t *testing.T) {
	t.Parallel()
	c := mirrors(t, socketio.Config{MessageRate: 1000, MessageBurst: 10}).Dial(t)
	exchange(t, c, []string{"40"}, `40…`, `42["auth",{}]`)
	for i := range 300 {
		c.Send(wstest.Masked(ws.Text, fmt.Sprintf(`42%d["message-with-ack"]`, i)))
	}
	for i := range 300 {
		exchange(t, c, nil, fmt.Sprintf(`43%d[]`, i))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := mirrors(t, socketio.Config{})
	exchange(t, s.Dial(t), []string{`40{"refuse":1}`},
		`44{"message":"not today","data":{"code":3500}}`)
	c := s.Dial(t)
	exchange(t, c, []string{`40{"refuse":2}`}) // the client should reconnect, which takes a close
	expectClose(t, c, realtime.CloseShutdown.Code)
	c = s.Dial(t)
	exchange(t, c, []string{`40{"refuse":3}`})
	expectClose(t, c, realtime.CloseReconnect.Code)
}

func TestRawFrames(t *testing.T) {
	t.Parallel()
	s := mirrors(t, socketio.Config{Engine: engineio.Config{MaxPayload: 10_000}})
	s.Message, s.Reply, s.MaxMessage = `40{"token":"grüße"}`, `42["auth",{"token":"grüße"}]`, 10_000
	wstest.Run(t, s)
}
