// Package centrifuge serves the realtime hub in the protocol of Centrifuge (version 2): in protobuf for
// its official clients in Dart, Swift, Java and Kotlin, in JSON or protobuf for those in JavaScript, Go
// and Python. Where a network blocks WebSockets, the client for JavaScript receives by a response that
// does not end (http_stream, sse), and sends commands in requests of their own.
//
// # Mapping
//
// A channel is a room: "class:7a", "student:12", "school". The rooms of the user and of the roles
// are server-side subscriptions. A publication's data is the structured CloudEvent, and its offset
// is the event's offset in the log. The protocol has no number below 0, so 0 also stands for the
// beginning of the log: a client that has received only the very first event may receive it twice.
// The epoch names the log, signed for the user and the school; an app that has a position from the
// API (getState) takes the epoch from the data of the connect reply, or the name of the log that stands
// behind the position, or leaves it empty.
//
// A dashboard's channel has publications {"projection", "position"} and cannot be recovered: only
// the newest matters.
//
// A subscription that cannot continue from its position gets recovered: false, or error 112 if the
// client requested that, as it does with getState.
//
// A client that connects to another school than its token's, which only operators may, names it in
// the connect data: {"school": "greenfield"}.
//
// # How data runs
//
// The goroutine that reads a connection also replies to its commands. Deliveries are written by a
// goroutine of the hub's scheduler while the session has any, so an idle connection costs one
// goroutine. Both write under the connection's lock, so that the reply to a subscribe precedes the
// first publication.
//
// # Where to make the first change
//
// A new command: its types in protocol.go, its case in [conn.dispatch] in commands.go, and its form in
// protobuf.go. A new transport: a [wire] and a [link], as in emulation.go.
package centrifuge
