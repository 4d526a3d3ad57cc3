// Package realtime pushes the events of the log to the rooms of the clients that are connected to this node.
//
// # What it promises
//
// A client that resumes from a position gets every later event of its rooms, once and in order, on any node and after
// any restart; or it is told that it cannot (P6). Nobody hears another school, a room that is not theirs, or of an
// event what is not for them (P10). Memory does not grow with slow clients.
//
// # How data runs
//
// A [Hub] tails every partition of the log once. It drops duplicates as every reader of the log does, keeps recent
// events in one ring per school and in one per room that somebody is in, and wakes the sessions of those rooms, each in
// its turn. A [Session] is a cursor, the offset up to which its client has heard the log, and has no queue:
// [Session.Next] looks up what comes after it, in the rings of its rooms; if it has fallen behind them, in its school's
// ring; behind that, in the log itself. One that is more than Config.MaxLag records behind is closed with [CloseResync]:
// its client reads the state anew and goes on from the position that the API answered.
//
// The hub also learns which of a session's rights an event may have changed, loads them again once the read models know
// of the event, and takes the session out of the rooms that are no longer its own ([KindLeft]).
//
// # How a transport works with it
//
// A protocol is an [Encoding], a pure function from a delivery to bytes, and a thin transport around it:
//
//	s, err := hub.Open(ctx, identity, realtime.Options{Protocol: "mine", Wake: c.wake, …})
//	defer s.End()
//	…
//	func (c *conn) wake(turn *realtime.Turn) { // called only after Next has returned nothing
//		var batch []realtime.Delivery
//		for {
//			batch, err := c.session.Next(ctx, turn, batch[:0])
//			if err != nil { … close with the reason if it is a realtime.Close … }
//			if len(batch) == 0 { return } // asleep
//			for i := range batch {
//				buf = append(buf, batch[i].Frame(encoding)...) // an event's frame is encoded once for all
//			}
//			err = c.socket.Push(buf, turn) // one write, with a deadline
//			c.session.Sent(batch, len(buf))
//		}
//	}
//
// After Open, the transport itself begins, with go c.wake(nil); Wake is not called before Next has returned nothing.
// Deliveries of other kinds than [KindEvent] have no frame: the transport writes them itself.
//
// Wake runs in one of a few goroutines for all sessions, as many as there are cores. As long as it does not have to wait
// it writes there, which costs little more than the write itself. Before it waits, for a client that does not read, for
// a lock or for the log, it ends its [Slot]: the goroutine is its own from then on, and another takes its place. So a
// connection has a goroutine for writing exactly while its client is slow, and nobody else waits for that client.
//
// Rooms are joined and left with [Session.Join] and [Session.Leave]; a join with a position returns what was missed in
// that room. For protocols with one position for the whole session, [Options].From and Rooms restore it at Open, so that
// nothing between is lost. [Hub.Seal] makes session ids that any node can read back with [Hub.Unseal].
//
// # Where to begin
//
// Who may be in a room: rights.go. What of an event they see: SeenBy in domain/<context>. Why connections end: close.go.
// A new protocol: a folder beside sse.
package realtime
