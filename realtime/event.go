package realtime

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// Event is one event of the log in the hub's memory. It is decoded when the first session needs it,
// and encoded once for each protocol and audience: fan-out to a thousand sessions costs one
// encoding. Sessions share it and must not change it.
type Event struct {
	Position domain.Position
	Type     string // the wire name, as in the record

	logged time.Time
	// the school whose ring holds it; nil when it was read from the log for one session
	home   *school
	listed bool  // it is in rings of rooms; guarded by home's lock
	size   int64 // bytes counted for it in the ring, without its frames
	frames atomic.Pointer[frame]
	framed atomic.Int64 // bytes counted for its frames; far below zero once it has left the ring

	once     sync.Once
	entry    *eventlog.Entry // nil once it is decoded
	envelope *domain.Envelope
	rooms    []domain.Room
	seen     [domain.AudienceCount]view
}

// view is what one audience sees of an event. Audiences that see the same share a number, and so
// the frames.
type view struct {
	event  domain.Event // nil: the audience sees nothing
	number domain.Audience
}

// eventOverhead is what an event costs on top of its record, in bytes: the struct, its envelope and
// its rooms.
const eventOverhead = 768

func newEvent(entry *eventlog.Entry, eventType string) *Event {
	rec := &entry.Record
	n := len(rec.Key) + len(rec.Value)
	for i := range rec.Headers {
		n += len(rec.Headers[i].Key) + len(rec.Headers[i].Value)
	}
	return &Event{
		Position: rec.Position, Type: eventType, logged: rec.Time, entry: entry,
		size: int64(2*n + eventOverhead),
	}
}

// leaveRing returns the bytes that were counted for the event in the ring. Frames that slow
// sessions still add later are no longer counted, as nothing would ever subtract them.
func (e *Event) leaveRing() int64 { return e.size + e.framed.Swap(math.MinInt64/2) }

// decoded decodes the event if needed, and reports whether it can be read. An event that cannot is
// delivered to no client; the projections park it or make a dead letter of it.
func (e *Event) decoded() bool {
	e.once.Do(func() {
		env, err := e.entry.Event()
		e.entry = nil
		if err != nil || env.Data == nil {
			return
		}
		e.envelope = env
		for _, r := range env.Data.Rooms() {
			if !slices.Contains(e.rooms, r) { // an announcement may name a class twice
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

// in returns the index of a room among the event's rooms, -1 if the event does not belong in it.
func (e *Event) in(r domain.Room) int { return slices.Index(e.rooms, r) }

// viewOf returns the most complete view that a member of several audiences has, and whether there
// is one.
func (e *Event) viewOf(of domain.Audiences) (domain.Audience, bool) {
	for a := range e.seen {
		if of.Has(domain.Audience(a)) && e.seen[a].event != nil {
			return e.seen[a].number, true
		}
	}
	return 0, false
}

// Encoding is how one protocol writes a delivery. It is a pure function, and its address identifies
// it: the frame of an event is cached with the event and shared by all connections of the protocol.
type Encoding struct {
	// PerRoom says that the bytes depend on the room through which an event is delivered.
	PerRoom bool
	// Append appends the frame of a delivery of kind [KindEvent] to dst.
	Append func(dst []byte, d *Delivery) []byte
}

// frame is an event in one encoding; an event has a linked list of them.
type frame struct {
	encoding *Encoding
	view     domain.Audience
	room     int16
	bytes    []byte
	next     *frame
}

// Frame returns the delivery in a protocol's encoding. The bytes are shared and must not be
// changed.
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
		// Two sessions that encode the same at once both add their frame: cheaper than a lock.
		f.next = e.frames.Load()
	}
	return f.bytes
}

// AppendJSON appends the event as its receiver may see it: a structured CloudEvent with its
// position. Who wrote it is for readers of the log only.
func (d *Delivery) AppendJSON(dst []byte) []byte {
	env := *d.Event.envelope
	env.Author = domain.Author{}
	env.Data = d.Event.seen[d.view].event
	dst, err := cloudevents.AppendLogged(dst, &env, d.Position.Log)
	if err != nil {
		panic(err) // it was decoded through the same catalogue
	}
	return dst
}

// AppendNotice appends a delivery that is not an event, as the protocols send it in JSON: what has
// changed, or which room was left and whether it may be joined again.
func (d *Delivery) AppendNotice(dst []byte) []byte {
	var notice any = struct {
		Room  string `json:"room"`
		Again bool   `json:"again,omitzero"`
	}{d.Room.String(), d.RightsUnavailable}
	if d.Kind == KindUpdate {
		notice = struct {
			Projection string             `json:"projection"`
			Position   domain.LogPosition `json:"position"`
		}{d.Room.ID, d.Position}
	}
	b, err := json.Marshal(notice)
	if err != nil {
		panic(err) // plain structs can always be encoded
	}
	return append(dst, b...)
}
