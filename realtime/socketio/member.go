package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/catalog"
	"github.com/schoolbell/schoolbell/realtime"
	"github.com/schoolbell/schoolbell/realtime/engineio"
)

// NewRooms makes the server of Schoolbell: its one namespace is "/", whose clients are in the rooms of the hub.
func NewRooms(cfg Config, hub *realtime.Hub) *Server {
	return New(cfg, map[string]Namespace{
		"/": func(ctx context.Context, s *Socket, auth jsontext.Value) (Accepted, error) {
			m := &member{hub: hub, access: cfg.Access, socket: s}
			m.awake.Store(true) // a new session may have something
			pid, err := m.enter(ctx, auth)
			if err != nil {
				return Accepted{}, refusal(err)
			}
			return Accepted{Handler: m, PID: pid}, nil
		},
	})
}

// credentials are the auth payload. The library adds pid and offset to what the app gives.
type credentials struct {
	Token  string           `json:"token"`
	School string           `json:"school"`
	Rooms  []string         `json:"rooms"`
	From   *domain.Position `json:"from"`
	PID    string           `json:"pid"`
	Offset string           `json:"offset"`
}

// errBadAuth says that an auth payload cannot be understood.
var errBadAuth = errors.New("malformed auth payload")

// member is a client in rooms of the hub.
type member struct {
	hub     *realtime.Hub
	access  *realtime.Access
	socket  *Socket
	session *realtime.Session

	// pulling is held while deliveries are fetched or rooms change, so that what was missed in a room comes before
	// what happens in it next.
	pulling    sync.Mutex
	sealed     []domain.Room // the rooms in the session id
	suffix     []byte        // what follows the position in each event
	sentOffset int64         // the last offset that the client was told

	awake atomic.Bool // the session has something, or is not known to have nothing
}

// wake is called by the hub when the session has something.
func (m *member) wake(slot *realtime.Slot) {
	m.awake.Store(true)
	m.socket.Push(slot)
}

// enter opens the session and returns its id: the one that was brought, if the session goes on.
func (m *member) enter(ctx context.Context, payload jsontext.Value) (pid string, err error) {
	var auth credentials
	if err := json.Unmarshal(payload, &auth); err != nil {
		return "", fmt.Errorf("%w: %w", errBadAuth, err)
	}
	who, err := m.identify(ctx, auth.Token)
	if err != nil {
		return "", err
	}
	rooms, err := parseRooms(auth.Rooms)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errBadAuth, err)
	}
	if auth.School == "" {
		auth.School = who.School
	}
	fresh := realtime.Options{School: auth.School, Protocol: "socketio", Rooms: rooms, From: auth.From, Wake: m.wake}
	var lost error // why the client cannot go on where it was
	if auth.PID != "" {
		again, err := m.resume(ctx, who, auth, fresh)
		if err == nil {
			m.session, err = m.hub.Open(ctx, who, again)
		}
		if err == nil {
			m.sentOffset = again.From.Offset
			m.roomsChanged()
			return auth.PID, nil
		}
		if !errors.Is(err, realtime.ErrUnrecoverable) && !errors.Is(err, realtime.ErrForeignToken) {
			return "", err
		}
		lost, fresh.From = err, nil // from is as old as the first connection
	}
	m.session, err = m.hub.Open(ctx, who, fresh)
	if errors.Is(err, realtime.ErrUnrecoverable) {
		lost, fresh.From = err, nil
		m.session, err = m.hub.Open(ctx, who, fresh)
	}
	if err != nil {
		return "", err
	}
	position := m.session.Position()
	m.sentOffset = position.Offset
	m.sealed = m.extraRooms()
	// The library takes an equal id for a recovery: no two sessions have the same.
	pid = m.hub.Seal(who.Subject, auth.School, realtime.Resume{Position: position, Rooms: m.sealed}) + "." + m.socket.id
	m.roomsChanged()
	if lost != nil {
		m.socket.Emit("resync", object(struct {
			Reason   string          `json:"reason"`
			Position domain.Position `json:"position"`
		}{lost.Error(), position}))
		m.sendPosition() // and forget the place of before
	}
	return pid, nil
}

// identify finds out who the client is: by the token, if it sends one here, else by what its request has shown.
func (m *member) identify(ctx context.Context, token string) (realtime.Identity, error) {
	if known := m.socket.Identity(); known != nil && token == "" {
		return *known, nil
	}
	return m.access.Verify(ctx, token)
}

// resume says how to go on where the client was.
func (m *member) resume(ctx context.Context, who realtime.Identity, auth credentials, opts realtime.Options) (realtime.Options, error) {
	sealed, _, _ := strings.Cut(auth.PID, ".")
	resume, err := m.hub.Unseal(ctx, who.Subject, auth.School, sealed)
	if err != nil {
		return opts, err
	}
	m.sealed = resume.Rooms
	opts.Resuming, opts.From, opts.Rooms = true, &resume.Position, resume.Rooms
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

// extraRooms are the rooms of the session that the hub does not join by itself.
func (m *member) extraRooms() []domain.Room {
	own := m.session.Identity().School == m.session.School()
	return slices.DeleteFunc(m.session.Rooms(), func(r domain.Room) bool {
		return own && (r.Kind == domain.RoomUser || r.Kind == domain.RoomRole)
	})
}

// roomsChanged takes note of the rooms that the session is in now.
func (m *member) roomsChanged() { m.suffix = offsetSuffix(m.sealed, m.extraRooms()) }

// positionArgs is the event that tells a client where it is.
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
			Position domain.Position `json:"position"`
			Rooms    []string        `json:"rooms"`
		}{position, rooms}),
		last[1 : len(last)-1], // between the comma and the end
	}
}

func (m *member) sendPosition() { m.socket.Emit("position", m.positionArgs()...) }

// appendOffset is the end of an event's packet: the argument that the library keeps.
func (m *member) appendOffset(dst []byte, at domain.Position) []byte {
	dst = strconv.AppendInt(append(dst, `,"`...), int64(at.Partition), 10)
	dst = strconv.AppendInt(append(dst, ':'), at.Offset, 10)
	return append(dst, m.suffix...)
}

// encoding is the packet of an event up to its last argument.
var encoding = &realtime.Encoding{Append: func(dst []byte, d *realtime.Delivery) []byte {
	dst = append(append(append(dst, `2["`...), newestType[d.Event.Type]...), `",`...)
	return d.AppendJSON(dst)
}}

// newestType finds the name under which events of a type are sent: that of its newest version, as is their data.
var newestType = func() map[string]string {
	types := map[string]string{}
	for _, f := range catalog.Facts() {
		newest, _ := catalog.Upcast(&f, f.New())
		types[f.Type] = newest.Type
	}
	return types
}()

// maxUnreported is how far the log may go on without anything for a client before it is told, so that it does not come
// back with a place that is no longer served.
const maxUnreported = 5000

var deliveries = sync.Pool{New: func() any { return new([]realtime.Delivery) }}

// Next adds what the session has to hear.
func (m *member) Next(ctx context.Context, out *engineio.Batch) {
	slot, _ := out.Slot().(*realtime.Slot)
	if !m.pulling.TryLock() {
		slot.End()
		m.pulling.Lock()
	}
	defer m.pulling.Unlock()
	kept := deliveries.Get().(*[]realtime.Delivery)
	defer deliveries.Put(kept)
	var last [64]byte
	for !out.Full() && m.awake.Swap(false) {
		batch, err := m.session.Next(ctx, slot, (*kept)[:0])
		if why := (realtime.Close{}); errors.As(err, &why) {
			m.socket.Close(why)
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
		*kept = batch
	}
	if m.session.Position().Offset-m.sentOffset > maxUnreported {
		m.add(out, "position", m.positionArgs()...)
	}
}

// notice adds a delivery that is not an event of the log.
func (m *member) notice(out *engineio.Batch, d *realtime.Delivery) {
	if d.Kind == realtime.KindUpdate {
		m.add(out, "update", object(struct {
			Projection string          `json:"projection"`
			Position   domain.Position `json:"position"`
		}{d.Room.ID, d.Position}))
		return
	}
	m.roomsChanged()
	m.add(out, "left", object(struct {
		Room  string `json:"room"`
		Again bool   `json:"again,omitzero"`
	}{d.Room.String(), d.RightsUnavailable}))
	m.add(out, "position", m.positionArgs()...)
}

func (m *member) add(out *engineio.Batch, name string, args ...jsontext.Value) {
	p := Packet{Type: Event, Namespace: m.socket.namespace, Data: array(name, args)}
	out.Text(p.Append(nil))
}

// Closed takes the client out of the hub.
func (m *member) Closed(engineio.Reason) { m.session.End() }

// refusal is how a client is told why it is not let in.
func refusal(err error) error {
	why := realtime.CloseOf(err)
	if errors.Is(err, errBadAuth) {
		why = realtime.CloseBadRequest
	}
	if why == realtime.CloseInternal {
		return err
	}
	if why.Reconnect() && why != realtime.CloseExpired { // with the same token it would fail again
		return why
	}
	return &Refusal{Message: why.Reason, Data: struct {
		Code   uint16 `json:"code"`
		Detail string `json:"detail"`
	}{why.Code, err.Error()}}
}
