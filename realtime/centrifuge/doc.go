// Package centrifuge serves the realtime hub in the JSON protocol of Centrifuge (version 2) over WebSocket, for its
// official clients in JavaScript, Dart, Swift, Kotlin, Go and Python.
//
// # What means what
//
// A channel is a room: "class:7a", "student:12", "school". The rooms of the user and of the roles are server-side
// subscriptions. A publication's data is the structured CloudEvent and its offset is the one in the log. The
// protocol has no number before 0, so 0 also stands for the place before the first event: a client that has heard nothing
// but the first event of all may hear it again. The epoch names the log, signed for the user and the school; an app that brings
// a position from the API (getState) takes the epoch from the data of the connect reply, or leaves it empty.
//
// A dashboard's channel has publications {"projection", "position"} and cannot be recovered: the newest is all there is.
//
// A subscription that cannot go on from its position is answered with recovered: false, or with error 112 when the client
// asked for that, as it does with getState.
//
// A client that connects to another school than its token's, which only operators can, names it in the connect data:
// {"school": "greenfield"}.
//
// # How a connection runs
//
// The goroutine that reads also answers. What the hub has for the connection is written by a goroutine that starts when
// the session is woken and ends when there is nothing more, so that an idle connection has one goroutine. Both write
// under the connection's own lock, so that the answer to a subscribe comes before the first publication.
package centrifuge
