// Package realtime pushes the events of the log to the rooms of the clients that are connected to
// this node.
//
// # What it promises
//
// A client that resumes from a position receives every later event of its rooms, once and in order,
// on any node and after any restart, or learns that this is not possible (P6). No client receives
// anything of another school, of a room that is not theirs, or a part of an event that is not meant
// for them (P10). Memory does not grow with slow clients.
//
// # How data runs
//
// A [Hub] tails every partition of the log once. It drops duplicates as every reader of the log
// does, holds recent events in one ring per school and in one per occupied room, and has a
// scheduler wake the sessions of those rooms. A [Session] is a cursor, the offset up to which its
// client has received the log, and has no queue: [Session.Next] looks up what comes after the
// cursor in the rings of its rooms; for a session that has fallen behind those, in its school's
// ring; behind that, in the log itself. A session more than Config.MaxLag records behind is closed
// with [CloseResync]: its client reads the state from the API and continues from the position of
// that response.
//
// The hub also finds out which sessions' rights an event may have changed, loads those again once
// the read models have reached the event, and takes the sessions out of rooms that are no longer
// theirs ([KindLeft]).
//
// # How a transport works with it
//
// A protocol is an [Encoding], a pure function from a delivery to bytes, and a thin transport
// around it:
//
//	s, err := hub.Open(ctx, identity, realtime.Options{Protocol: "mine", Wake: c.wake, …})
//	defer s.End()
//	…
//	func (c *conn) wake(slot *realtime.Slot) { // called only after Next has returned nothing
//		var batch []realtime.Delivery
//		for {
//			batch, err := c.session.Next(ctx, slot, batch[:0])
//			if err != nil { … close with the reason if it is a realtime.Close … }
//			if len(batch) == 0 { return } // asleep
//			for i := range batch {
//				buf = append(buf, batch[i].Frame(encoding)...) // encoded once for all sessions
//			}
//			err = c.socket.Push(buf, slot) // one write, with a deadline
//			c.session.Sent(batch, len(buf))
//		}
//	}
//
// After Open the transport starts by itself, with go c.wake(nil); Wake is not called before Next
// has returned nothing. Deliveries of other kinds than [KindEvent] have no frame: the transport
// writes them itself.
//
// Wake runs in one of a few goroutines for all sessions, as many as there are cores. As long as it
// need not wait, it writes there, which costs little more than the write itself. Before it waits,
// for a client that does not read, for a lock or for the log, it releases its [Slot]: from then on
// the goroutine is its own, and another one serves the other sessions. So a connection has a
// goroutine for writing exactly while its client is slow, and no other session waits for that
// client.
//
// Rooms are joined and left with [Session.Join] and [Session.Leave]; a join with a position returns
// what was missed in that room. For protocols with one position for the whole session,
// [Options].From and Rooms restore it at Open, so that nothing in between is lost. [Hub.Seal] makes
// session ids that any node can read back with [Hub.Unseal].
//
// # Where to make the first change
//
// Who may be in a room: rights.go. What of an event they see: SeenBy in domain/<context>. Why
// connections end: close.go. A new protocol: a folder next to sse.
package realtime
