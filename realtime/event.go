package realtime

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Event is one event of the log as the hub keeps it: decoded when somebody first wants it, and encoded once for each
// protocol and audience. It is shared by all who hear it and immutable for them.
type Event struct {
	Position domain.Position
	Type     string // the wire name, as in the record

	logged time.Time
	home   *school // in whose ring it is; nil when it was read from the log for one session
	listed bool    // it is in rings of rooms; guarded by home's lock
	size   int64   // what it counts for in the ring, without its frames
	frames atomic.Pointer[frame]
	framed atomic.Int64 // bytes of frames that count for it besides; far below zero when it has left the ring

	once     sync.Once
	record   eventlog.Record // until it is decoded
	envelope *domain.Envelope
	rooms    []domain.Room
	seen     [domain.AudienceCount]view
}

// view is what one audience sees of an event. Audiences that see the same have the same number, and share frames.
type view struct {
	event  domain.Event // nil: nothing
	number domain.Audience
}

// eventOverhead is what an event costs besides its record: the struct, its envelope and its rooms.
const eventOverhead = 768

func newEvent(rec *eventlog.Record, eventType string) *Event {
	n := len(rec.Key) + len(rec.Value)
	for i := range rec.Headers {
		n += len(rec.Headers[i].Key) + len(rec.Headers[i].Value)
	}
	return &Event{Position: rec.Position, Type: eventType, logged: rec.Time, record: *rec, size: int64(2*n + eventOverhead)}
}

// leaveRing returns what the event has counted for in the ring. Frames that are made from now on, for those who still read
// it, count for nothing.
func (e *Event) leaveRing() int64 { return e.size + e.framed.Swap(math.MinInt64/2) }

// decoded reads the event and reports whether it could be read. What cannot is for nobody: it is parked elsewhere.
func (e *Event) decoded() bool {
	e.once.Do(func() {
		env, err := cloudevents.Decode(e.record)
		e.record = eventlog.Record{}
		if err != nil || env.Data == nil {
			return
		}
		e.envelope = env
		for _, r := range env.Data.Rooms() {
			if !slices.Contains(e.rooms, r) { // an audience may name a class twice
				e.rooms = append(e.rooms, r)
			}
		}
		e.rooms = append(e.rooms, domain.Room{Kind: domain.RoomSchool})
		for a := range e.seen {
			seen := domain.See(env.Data, domain.Audience(a))
			e.seen[a] = view{seen, domain.Audience(a)}
			for b := range a {
				if seen != nil && e.seen[b].event == seen {
					e.seen[a].number = domain.Audience(b)
					break
				}
			}
		}
	})
	return e.envelope != nil
}

// Envelope returns the whole event. Nothing of it may be sent to a client but through a [Delivery].
func (e *Event) Envelope() *domain.Envelope {
	if !e.decoded() {
		return nil
	}
	return e.envelope
}

// in returns the index of a room among the event's own, -1 when it does not belong there.
func (e *Event) in(r domain.Room) int { return slices.Index(e.rooms, r) }

// viewOf returns the best view that somebody has who belongs to several audiences.
func (e *Event) viewOf(of domain.Audiences) (domain.Audience, bool) {
	for a := range e.seen {
		if of.Has(domain.Audience(a)) && e.seen[a].event != nil {
			return e.seen[a].number, true
		}
	}
	return 0, false
}

// Encoding is how one protocol writes a delivery. It is a pure function, and its address identifies it: what it
// returns for an event is kept and shared by all connections of the protocol.
type Encoding struct {
	// PerRoom says that the bytes depend on the room through which an event is heard.
	PerRoom bool
	// Append adds the frame of a delivery of kind [KindEvent] to dst.
	Append func(dst []byte, d *Delivery) []byte
}

// frame is an event in one encoding.
type frame struct {
	encoding *Encoding
	view     domain.Audience
	room     int16
	bytes    []byte
	next     *frame
}

// Frame returns the delivery in a protocol's encoding. The bytes are shared and must not be changed.
func (d *Delivery) Frame(enc *Encoding) []byte {
	e, room := d.Event, int16(-1)
	if enc.PerRoom {
		room = d.room
	}
	head := e.frames.Load()
	for f := head; f != nil; f = f.next {
		if f.encoding == enc && f.view == d.view && f.room == room {
			return f.bytes
		}
	}
	f := &frame{encoding: enc, view: d.view, room: room, bytes: enc.Append(nil, d), next: head}
	if e.home != nil {
		if n := int64(len(f.bytes)) + 64; e.framed.Add(n) > 0 {
			e.home.partition.usedBytes.Add(n)
		}
	}
	for !e.frames.CompareAndSwap(f.next, f) {
		f.next = e.frames.Load() // two that encode the same at once both keep it; that costs some memory, no lock
	}
	return f.bytes
}

// AppendJSON adds the event, as its receiver may see it, as a structured CloudEvent with its position.
func (d *Delivery) AppendJSON(dst []byte) []byte {
	env := *d.Event.envelope
	env.Data = d.Event.seen[d.view].event
	dst, err := cloudevents.AppendLogged(dst, &env)
	if err != nil {
		panic(err) // it was decoded through the same catalogue
	}
	return dst
}
