// Command conformance serves what the public conformance suites of the Socket.IO project
// expect: a server of Engine.IO 4 that returns each message, and one of Socket.IO 5 that returns
// events and acknowledges them. Protocol and transport are those of the product.
//
//	go run ./realtime/socketio/conformance --http :3000
//
// The suites are in the repository of the project, not on npm. To run them against it, from another
// shell:
//
//	git clone --depth 1 https://github.com/socketio/socket.io
//	cd socket.io/docs/engine.io-protocol/v4-test-suite && npm ci && npm test # 25 tests
//	cd ../../socket.io-protocol/v5-test-suite && npm ci && npm test          # 32 tests
//
// The tests of this repository cover the same ground without them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/realtime/engineio"
	"github.com/schoolbell/schoolbell/realtime/socketio"
)

func main() {
	addr := flag.String("http", ":3000", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *addr); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

// The suites rely on these values.
var engine = engineio.Config{
	PingInterval: 300 * time.Millisecond,
	PingTimeout:  200 * time.Millisecond,
	MaxPayload:   1_000_000,
	AllowOrigin:  func(*http.Request) bool { return true },
}

func run(ctx context.Context, addr string) error {
	engines := engineio.New(engine,
		func(s *engineio.Session, _ *http.Request) (engineio.Handler, error) {
			return echo{s}, nil
		})
	sockets := socketio.New(socketio.Config{Engine: engine, ConnectTimeout: time.Second},
		map[string]socketio.Namespace{
			"/": enter, "/custom": enter,
		})
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", engines)
	mux.Handle("/socket.io/", sockets)
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("listen on %s: %w", addr, err)
	}
	return nil
}

// echo returns each message.
type echo struct{ session *engineio.Session }

func (e echo) Message(binary bool, data []byte) error {
	e.session.Send(engineio.Packet{Type: engineio.Message, Binary: binary, Data: data})
	return nil
}
func (echo) Next(*engineio.Batch)   {}
func (echo) Closed(engineio.Reason) {}

// enter accepts every client and emits its auth payload.
func enter(_ context.Context, s *socketio.Socket, auth jsontext.Value) (socketio.Accepted, error) {
	s.Emit("auth", auth)
	return socketio.Accepted{Handler: mirror{s}}, nil
}

// mirror returns the events "message" and acknowledges "message-with-ack" with what came.
type mirror struct{ socket *socketio.Socket }

func (m mirror) Event(_ context.Context, e *socketio.Incoming) error {
	switch e.Name {
	case "message":
		m.socket.EmitBinary("message-back", e.Attachments, e.Args...)
	case "message-with-ack":
		e.Ack(e.Attachments, e.Args...)
	}
	return nil
}
func (mirror) Next(context.Context, *engineio.Batch) {}
func (mirror) Closed(engineio.Reason)                {}
