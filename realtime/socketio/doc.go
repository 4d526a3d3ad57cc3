// Package socketio serves clients of Socket.IO (protocol 5 over Engine.IO 4). An unmodified
// socket.io-client, in a browser, on Node or on a phone, only needs the address.
//
//	const socket = io("https://school.example", { auth: { token, rooms: ["class:7a"] } });
//	socket.on("schoolbell.attendance.marked.v1", (event) => …); // a CloudEvent
//	socket.onAny((type, event) => …);                           // any of them
//	socket.emit("join", ["student:s-12"], (reply) => …);        // {ok: true, rooms, position} or {ok: false, error}
//
// # Connecting
//
// The auth payload has the token, and may have rooms to join at once (a list, or a text with a room on
// each line or after each comma, as not every client can send a list), the school (for operators of
// the platform), and from: a position, as in API responses, after which events are delivered. A
// refusal is a connect_error whose data has a code and a reason; see [realtime.Close] for the
// codes. A token in the URL is refused: URLs end up in logs. A client that can send headers may
// send its token there instead.
//
// Pages of foreign origins are refused. A request without an Origin may connect like any other: no
// client receives anything before it has shown a token, and no cookie or address replaces one.
//
// # Events to the client
//
//   - Each event of the log in one of the client's rooms: its name is the event type, its argument
//     the CloudEvent as this client may see it.
//   - update {projection, position}: a projection has reached a position of the log.
//   - left {room, again}: the right to a room was withdrawn, or was none when the client connected; with
//     again it could not be looked up, so join the room again.
//   - position {position, rooms}: sent after the rooms have changed, and after a long time without
//     an event for the client.
//   - resync {reason, position}: what was missed cannot be served; read the state from the API.
//   - closing {code, reason}: the connection ends, and the same attempt would fail again.
//
// # Events from the client
//
// join and leave with one room or a list, join also with {from: position}; refresh with a new
// token. Each is acknowledged with {ok: true, …} or {ok: false, error: {code, message}}.
//
// # Recovery
//
// The client library remembers the last argument of the last event, if it is a string, and sends it
// with the session id (pid) of its first connection when it reconnects. Here that argument is the
// event's position in the log, and the pid is sealed by the hub. It also names the connection that it
// replaces, which may not have noticed that it is lost. So no node stores anything for a
// client that is gone, and any node, even one that has just started, continues where the client
// was, with socket.recovered true. Rooms that were joined later have to travel as well: they follow
// the position in that argument, each on a line. They are a request and not a right: rights are
// checked again.
//
// # Behind a load balancer
//
// A WebSocket may connect to any node, and reconnect to any other. Long-polling is many requests of
// one session, which lives on one node: the balancer must send them all there (by the client's
// address; the server sets no cookie), or clients must start with WebSocket: transports:
// ["websocket"].
//
// # Where to make the first change
//
// packet.go is the codec; server.go and socket.go are the protocol with its namespaces and
// acknowledgements; member.go binds the namespace "/" to the hub, requests.go serves join, leave
// and refresh, and offset.go is what the client stores for us.
package socketio
