// Package engineio is a server of the Engine.IO protocol, version 4: sessions that carry messages in both directions
// over WebSocket or over HTTP long-polling, and that move from the second to the first without losing a message. It is
// what Socket.IO runs on, and knows nothing of Schoolbell.
//
//	http ──▶ Server ──▶ Session ──▶ Handler (package socketio)
//	         handshake  transport    Message: what the client sent
//	                    heartbeat    Next: what there is to send, asked for when there is room
//	                    queue        Closed: the end
//
// Sending is pulled, not pushed: [Session.Wake] says that there is something, and the session asks [Handler.Next] for as
// much as goes into one write, as often as the client takes it. A slow client thus holds one batch and no queue. Only
// answers are queued ([Session.Send]), and a client that does not take its answers is not read from any more.
//
// An idle WebSocket session costs one goroutine, which waits for the client to say something; writing starts one for
// as long as there is something to write. Files: packet.go is the codec; server.go the door; session.go the state;
// polling.go and websocket.go the transports.
package engineio
