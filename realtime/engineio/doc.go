// Package engineio is a server of the Engine.IO protocol, version 4: sessions that carry messages
// in both directions over WebSocket or over HTTP long-polling, and that upgrade from the second to
// the first without losing a message. Socket.IO runs on top of it. The package knows nothing of
// Schoolbell.
//
// # How data runs
//
//	http ──▶ Server ──▶ Session ──▶ Handler (package socketio)
//	         handshake  transport    Message: a message of the client
//	                    heartbeat    Next: fill a batch, when there is room for one
//	                    queue        Closed: the end
//
// Sending is pulled, not pushed: [Session.Wake] says that there is something to send, and the
// session calls [Handler.Next] for one write at a time, as fast as the client takes it. A slow
// client so costs one batch and no queue. Only replies are queued ([Session.Send]), and a client
// that does not take its replies is no longer read from.
//
// An idle WebSocket session costs one goroutine, which waits for messages; another exists only
// while there is something to write.
//
// # Where to make the first change
//
// packet.go is the codec, server.go the entry, session.go the state, polling.go and websocket.go
// the transports.
package engineio
