package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/engineio"
)

// NewRooms returns Schoolbell's server. Its only namespace is "/", whose clients join rooms of the
// hub.
func NewRooms(cfg Config, hub *realtime.Hub) *Server {
	return New(cfg, map[string]Namespace{
		"/": func(ctx context.Context, s *Socket, auth jsontext.Value) (Accepted, error) {
			m := &member{hub: hub, access: cfg.Access, socket: s}
			m.awake.Store(true) // a new session may have deliveries
			pid, err := m.enter(ctx, auth)
			if err != nil {
				return Accepted{}, refusal(err)
			}
			return Accepted{Handler: m, PID: pid}, nil
		},
	})
}

// member is a client with a session of the hub.
type member struct {
	hub     *realtime.Hub
	access  *realtime.Access
	socket  *Socket
	session *realtime.Session

	// pulling is held while deliveries are fetched or rooms change, so that what was missed in a
	// room is sent before later events.
	pulling    sync.Mutex
	sealed     []domain.Room // rooms in the session id
	suffix     []byte        // of the offset in each event
	sentOffset int64         // last offset that was sent to the client

	awake atomic.Bool // the session may have deliveries
}

// wake is the session's Wake.
func (m *member) wake(slot *realtime.Slot) {
	m.awake.Store(true)
	m.socket.Push(slot)
}

// enter opens the session and returns its id: the client's own, if its session continues.
func (m *member) enter(ctx context.Context, payload jsontext.Value) (pid string, err error) {
	auth, err := parseCredentials(payload)
	if err != nil {
		return "", err
	}
	identity, err := m.identify(ctx, auth.Token)
	if err != nil {
		return "", err
	}
	if auth.School == "" {
		auth.School = identity.School
	}
	fresh := realtime.Options{
		School: auth.School, Protocol: "socketio", Rooms: auth.Rooms,
		From: auth.From, Wake: m.wake, Resuming: auth.PID != "", Key: keyOf(auth.PID),
	}
	if fresh.Key == "" {
		fresh.Key = m.socket.id
	}
	var lost error // why the client cannot continue where it was
	if auth.PID != "" {
		again, err := m.resume(ctx, identity, auth, fresh)
		if err == nil {
			m.session, err = m.hub.Open(ctx, identity, again)
		}
		if err == nil {
			m.sentOffset = again.From.Offset
			m.roomsChanged()
			return auth.PID, nil
		}
		if !errors.Is(err, realtime.ErrUnrecoverable) && !errors.Is(err, realtime.ErrForeignToken) {
			return "", err
		}
		lost, fresh.From = err, nil // the app's from dates from the first connection
	}
	m.session, err = m.hub.Open(ctx, identity, fresh)
	if errors.Is(err, realtime.ErrUnrecoverable) {
		lost, fresh.From = err, nil
		m.session, err = m.hub.Open(ctx, identity, fresh)
	}
	if err != nil {
		return "", err
	}
	position := m.session.Position()
	m.sentOffset = position.Offset
	m.sealed = m.extraRooms()
	// The library takes an equal id for a recovery, so each session must have its own.
	pid = m.hub.Seal(identity.Subject, auth.School,
		realtime.Resume{Position: position, Rooms: m.sealed}) + "." + m.socket.id
	if fresh.Key != m.socket.id {
		pid += "." + fresh.Key
	}
	m.roomsChanged()
	if lost != nil {
		m.socket.Emit("resync", object(struct {
			Reason   string             `json:"reason"`
			Position domain.LogPosition `json:"position"`
		}{lost.Error(), position}))
		m.sendPosition() // replaces the client's old offset
	}
	return pid, nil
}

// keyOf returns the part of a session id that the client's later ones repeat, by which it takes the
// place of a connection of its own that has been lost unnoticed.
func keyOf(pid string) string { return pid[strings.LastIndexByte(pid, '.')+1:] }

// identify authenticates the client by its token, or else by its request.
func (m *member) identify(ctx context.Context, token string) (realtime.Identity, error) {
	if identity := m.socket.Identity(); identity != nil && token == "" {
		return *identity, nil
	}
	return m.access.Verify(ctx, token)
}

// resume returns the options to continue where the client was.
func (m *member) resume(
	ctx context.Context, identity realtime.Identity, auth credentials, opts realtime.Options,
) (realtime.Options, error) {
	sealed, _, _ := strings.Cut(auth.PID, ".")
	resume, err := m.hub.Unseal(ctx, identity.Subject, auth.School, sealed)
	if err != nil {
		return opts, err
	}
	m.sealed = resume.Rooms
	opts.From, opts.Rooms = &resume.Position, resume.Rooms
	if auth.Offset == "" {
		return opts, nil
	}
	at, err := parseOffset(auth.Offset)
	if err != nil {
		return opts, fmt.Errorf("%w: %w", realtime.ErrForeignToken, err)
	}
	opts.From = &at.position
	if at.hasRooms {
		opts.Rooms = at.rooms
	}
	return opts, nil
}

// extraRooms returns the rooms that the hub does not join by itself.
func (m *member) extraRooms() []domain.Room {
	own := m.session.Identity().School == m.session.School()
	return slices.DeleteFunc(m.session.Rooms(), func(r domain.Room) bool {
		return own && (r.Kind == domain.RoomUser || r.Kind == domain.RoomRole)
	})
}

// roomsChanged renews the suffix of offsets after the session's rooms have changed.
func (m *member) roomsChanged() { m.suffix = offsetSuffix(m.sealed, m.extraRooms()) }

// positionArgs returns the arguments of a position event.
func (m *member) positionArgs() []jsontext.Value {
	position := m.session.Position()
	m.sentOffset = position.Offset
	rooms := []string{}
	for _, r := range m.session.Rooms() {
		rooms = append(rooms, r.String())
	}
	last := m.appendOffset(nil, position)
	return []jsontext.Value{
		object(struct {
			Position domain.LogPosition `json:"position"`
			Rooms    []string           `json:"rooms"`
		}{position, rooms}),
		last[1 : len(last)-1], // without the comma and the closing bracket
	}
}

func (m *member) sendPosition() { m.socket.Emit("position", m.positionArgs()...) }

// appendOffset appends the end of an event's packet: the argument that the library remembers.
func (m *member) appendOffset(dst []byte, at domain.LogPosition) []byte {
	return append(at.Append(append(dst, `,"`...)), m.suffix...)
}

// encoding encodes the packet of an event up to its last argument, which differs between clients.
var encoding = &realtime.Encoding{Append: func(dst []byte, d *realtime.Delivery) []byte {
	dst = append(append(append(dst, `2["`...), newestType[d.Event.Type]...), `",`...)
	return d.AppendJSON(dst)
}}

// newestType maps event types to the name under which they are sent: that of the newest version,
// like their data.
var newestType = func() map[string]string {
	types := map[string]string{}
	for _, f := range catalog.Facts() {
		newest, _ := catalog.Upcast(&f, f.New())
		types[f.Type] = newest.Type
	}
	return types
}()

// maxUnreported is how many records the log may grow without an event for a client before it is
// sent its position. Otherwise it might reconnect with an offset that is no longer served.
const maxUnreported = 5000

var deliveries = sync.Pool{New: func() any { return new([]realtime.Delivery) }}

// Next implements [Handler].
func (m *member) Next(ctx context.Context, out *engineio.Batch) {
	slot, _ := out.Slot().(*realtime.Slot)
	if !m.pulling.TryLock() {
		slot.Release()
		m.pulling.Lock()
	}
	defer m.pulling.Unlock()
	pooled := deliveries.Get().(*[]realtime.Delivery)
	defer deliveries.Put(pooled)
	var last [64]byte
	for !out.Full() && m.awake.Swap(false) {
		batch, err := m.session.Next(ctx, slot, (*pooled)[:0])
		if reason := (realtime.Close{}); errors.As(err, &reason) {
			m.socket.Close(reason)
			return
		}
		if err != nil || len(batch) == 0 {
			break
		}
		m.awake.Store(true)
		before := out.Len()
		for i := range batch {
			d := &batch[i]
			if d.Kind == realtime.KindEvent {
				out.Text(d.Frame(encoding), m.appendOffset(last[:0], d.Position))
				m.sentOffset = d.Position.Offset
			} else {
				m.notice(out, d)
			}
		}
		m.session.Sent(batch, out.Len()-before)
		clear(batch)
		*pooled = batch
	}
	if m.session.Position().Offset-m.sentOffset > maxUnreported {
		m.add(out, "position", m.positionArgs()...)
	}
}

// notice adds a delivery that is not an event of the log.
func (m *member) notice(out *engineio.Batch, d *realtime.Delivery) {
	if d.Kind == realtime.KindUpdate {
		m.add(out, "update", d.AppendNotice(nil))
		return
	}
	m.roomsChanged()
	m.add(out, "left", d.AppendNotice(nil))
	m.add(out, "position", m.positionArgs()...)
}

func (m *member) add(out *engineio.Batch, name string, args ...jsontext.Value) {
	p := Packet{Type: Event, Namespace: m.socket.namespace, Data: array(name, args)}
	out.Text(p.Append(nil))
}

// Closed implements [Handler].
func (m *member) Closed(engineio.Reason) { m.session.End() }

// refusal returns the error with which an error of enter refuses the client.
func refusal(err error) error {
	reason := realtime.CloseOf(err)
	if errors.Is(err, errBadAuth) {
		reason = realtime.CloseBadRequest
	}
	if reason == realtime.CloseInternal {
		return err
	}
	if reason.Reconnect() && reason != realtime.CloseExpired { // an expired token would fail again
		return reason
	}
	return &Refusal{Message: reason.Reason, Data: struct {
		Code   uint16 `json:"code"`
		Detail string `json:"detail"`
	}{reason.Code, err.Error()}}
}
