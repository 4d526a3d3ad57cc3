// Package ws is the WebSocket (RFC 6455) under Schoolbell's realtime protocols, for a server with very many of them.
//
// gorilla/websocket does the handshake and reads frames. What this package adds:
//
//   - [Conn.Read] bounds a message as it is read, checks that text is UTF-8, answers pings, and ends a connection the
//     way the RFC wants for each kind of fault: the right close code, and time for the peer to read it.
//   - [Conn.Write] takes any number of whole frames, made once by [AppendFrame] for all who get them, and passes them
//     to the kernel in one call with a deadline. Delivery costs one system call for many events; gorilla's own writer,
//     prepared messages included, costs one for each.
//   - [Config.Accept] leaves nothing of the HTTP server behind: after it the handler returns, and an idle connection
//     costs a small read buffer and the goroutine that waits in Read.
//
// Messages are not compressed: a compressed frame is a fault, as no extension is ever agreed on, so there is no
// compressed bomb.
//
// Package wstest has the raw-frame cases that each server on this package runs.
package ws
