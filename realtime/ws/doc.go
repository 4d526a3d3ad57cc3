// Package ws is the WebSocket layer (RFC 6455) under Schoolbell's realtime protocols, for a server
// with very many connections.
//
// gorilla/websocket performs the handshake and reads frames. This package adds:
//
//   - [Conn.Read] bounds a message while it is read, checks that text is UTF-8, replies to pings,
//     and ends a connection as the RFC demands for each kind of fault: with the right close code,
//     and with time for the peer to read it.
//   - [Conn.Write] takes any number of whole frames, made once by [AppendFrame] for all receivers,
//     and passes them to the kernel in one call with a deadline. One system call delivers many
//     events; gorilla's writer, prepared messages included, needs one for each.
//   - [Config.Accept] detaches the connection from the HTTP server: the handler returns, and an
//     idle connection costs a small read buffer and the goroutine that waits in Read.
//
// Messages are not compressed, and compressed frames are refused, as no extension is ever
// negotiated. So there are no decompression bombs.
//
// Package wstest has the raw-frame conformance cases that every server on this package runs. The
// first change: conn.go for reading and closing, write.go for writing.
package ws
