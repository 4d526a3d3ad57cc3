// Package socketio serves clients of Socket.IO (protocol 5 over Engine.IO 4): the unmodified socket.io-client in a browser,
// on Node or on a phone changes only its address.
//
//	const socket = io("https://school.example", { auth: { token, rooms: ["class:7a"] } });
//	socket.on("schoolbell.attendance.marked.v1", (event) => …); // a CloudEvent
//	socket.onAny((type, event) => …);                           // any of them
//	socket.emit("join", ["student:s-12"], (answer) => …);       // {ok: true, rooms, position} or {ok: false, error}
//
// # Connecting
//
// The auth payload holds the token, and may hold rooms to be in from the start, the school (for operators of the
// platform), and from: a position, such as the API answered, after which to hear the log. It is refused with a
// connect_error whose data has a code and a reason; see realtime.Close for the numbers. A token in the address is
// refused: addresses are written to logs. A client that can send headers may send the token in one, and none here.
//
// A page of a foreign origin is refused. A request without an Origin is let as far as any other: it gets nothing before
// it has shown a token, as no cookie or address counts as one.
//
// # Events to the client
//
//   - Each event of the log in one of the client's rooms, named by its type, with the CloudEvent as the client may see it.
//   - update {projection, position}: a read model has changed, up to a position of the log.
//   - left {room, again}: the right to be in a room has gone; with again it could not be looked up, so join it again.
//   - position {position, rooms}: where the client is; after its rooms have changed, and when nothing was for it for long.
//   - resync {reason, position}: what was missed cannot be given; read the state anew.
//   - closing {code, reason}: the connection ends and is not to be tried again as it is.
//
// # Events from the client
//
// join and leave with one room or a list, join also with {from: position}; refresh with a new token. Each answers the
// acknowledgement with {ok: true, …} or {ok: false, error: {code, message}}.
//
// # Recovery
//
// The client library keeps the last argument of the last event, if it is a string, and brings it back with the session
// id (pid) of its first connection. Here that argument is the event's position in the log, and the pid is sealed by the hub:
// no node keeps anything for a client that has gone, so that any node, also one that was just started, goes on where the
// client was, and socket.recovered is true. Rooms that were joined later than at the start have to travel too: they
// follow the position in that argument, each on a line. They are a wish, not a right: the rights are checked again.
//
// # Behind a balancer
//
// A WebSocket may come to any node, and come back to any other. Long-polling is many requests of one session, which lives
// on one node: a balancer must send them all there (by the client's address; the server sets no cookie), or clients are
// told to begin with WebSocket: transports: ["websocket"].
//
// # Files
//
// packet.go is the codec; server.go and socket.go are the protocol: namespaces, acknowledgements; member.go binds the
// namespace "/" to the hub, requests.go answers join, leave and refresh, and place.go is what the client keeps for us.
package socketio
