package socketio

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/realtime"
)

// ackPayload is the argument of an acknowledgement.
type ackPayload struct {
	OK       bool                `json:"ok"`
	Rooms    []string            `json:"rooms,omitzero"`
	Position *domain.LogPosition `json:"position,omitzero"`
	Error    *ackError           `json:"error,omitzero"`
}

// ackError refuses a request, with a code for programs and a message for people.
type ackError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// errBadRequest says that a request is malformed.
var errBadRequest = errors.New("malformed request")

// Event serves a request of the client.
func (m *member) Event(ctx context.Context, e *Incoming) error {
	var a ackPayload
	var err error
	switch e.Name {
	case "join":
		err = m.join(ctx, e)
	case "leave":
		err = m.leave(e)
	case "refresh":
		err = m.refresh(ctx, e)
	default:
		err = fmt.Errorf("%w: unknown event %.40q", errBadRequest, e.Name)
	}
	if err != nil {
		a.Error = &ackError{Code: code(err), Message: err.Error()}
		if a.Error.Code == unavailable {
			a.Error.Message = realtime.Explain(err)
		}
	} else {
		position := m.session.Position()
		a = ackPayload{OK: true, Position: &position, Rooms: []string{}}
		for _, r := range m.session.Rooms() {
			a.Rooms = append(a.Rooms, r.String())
		}
	}
	e.Ack(nil, object(a))
	return nil
}

// unavailable is the code of requests that may succeed when repeated.
const unavailable = "unavailable"

func code(err error) string {
	switch {
	case errors.Is(err, errBadRequest):
		return "bad_request"
	case errors.Is(err, realtime.ErrInvalidToken):
		return "invalid_token"
	case errors.Is(err, realtime.ErrDenied):
		return "denied"
	case errors.Is(err, realtime.ErrTooManyRooms):
		return "too_many_rooms"
	case errors.Is(err, realtime.ErrUnrecoverable):
		return "unrecoverable"
	case errors.Is(err, realtime.ErrExpired):
		return "expired"
	default:
		return unavailable
	}
}

// roomsOf parses the first argument of a request: a room, or a list of rooms.
func roomsOf(e *Incoming) ([]domain.Room, error) {
	if len(e.Args) == 0 {
		return nil, fmt.Errorf("%w: a room is required", errBadRequest)
	}
	rooms, err := readRooms(e.Args[0])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadRequest, err)
	}
	return rooms, nil
}

// join joins rooms, all or none. With {from}, the events since then are sent before any later ones.
func (m *member) join(ctx context.Context, e *Incoming) error {
	rooms, err := roomsOf(e)
	if err != nil {
		return err
	}
	var options struct {
		From *domain.LogPosition `json:"from"`
	}
	if len(e.Args) > 1 && json.Unmarshal(e.Args[1], &options) != nil {
		return fmt.Errorf("%w: from is a position, for example 7:1042-k3f9a", errBadRequest)
	}
	m.pulling.Lock()
	defer m.pulling.Unlock()
	before := m.session.Rooms()
	var missed []realtime.Delivery
	for i, room := range rooms {
		joined, err := m.session.Join(ctx, room, options.From)
		if err == nil {
			missed, err = merge(missed, joined.Missed)
		}
		if err != nil {
			for _, r := range rooms[:i+1] {
				if !slices.Contains(before, r) {
					m.session.Leave(r)
				}
			}
			return err
		}
	}
	m.roomsChanged()
	m.emitMissed(missed)
	m.sendPosition()
	return nil
}

// emitMissed sends the missed events of rooms that were joined from a position. Their own positions
// are older than the session's, which the client must not lose, so they carry the session's as
// their offset.
func (m *member) emitMissed(missed []realtime.Delivery) {
	position := m.session.Position()
	for i := range missed {
		frame := missed[i].Frame(encoding)
		m.socket.sendEncoded(m.appendOffset(append([]byte(nil), frame...), position))
	}
}

// maxMissed bounds the events that one request may return. The hub bounds them per room, but there
// may be many rooms.
const maxMissed = 2000

// merge merges two lists in the order of the log. An event in both is returned once.
func merge(a, b []realtime.Delivery) ([]realtime.Delivery, error) {
	if len(a)+len(b) > maxMissed {
		return nil, fmt.Errorf("%w: more than %d events were missed in these rooms",
			realtime.ErrUnrecoverable, maxMissed)
	}
	out := make([]realtime.Delivery, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		x, y := a[0].Position.Offset, b[0].Position.Offset
		if y < x {
			out, b = append(out, b[0]), b[1:]
			continue
		}
		if x == y {
			b = b[1:]
		}
		out, a = append(out, a[0]), a[1:]
	}
	return append(append(out, a...), b...), nil
}

// leave leaves rooms, except the bearer's own.
func (m *member) leave(e *Incoming) error {
	rooms, err := roomsOf(e)
	if err != nil {
		return err
	}
	m.pulling.Lock()
	defer m.pulling.Unlock()
	for _, room := range rooms {
		if slices.Contains(m.extraRooms(), room) {
			m.session.Leave(room)
		}
	}
	m.roomsChanged()
	m.sendPosition()
	return nil
}

// refresh takes a newer token, as a string or as {token}.
func (m *member) refresh(ctx context.Context, e *Incoming) error {
	var token string
	if len(e.Args) > 0 && json.Unmarshal(e.Args[0], &token) != nil {
		var wrapped struct {
			Token string `json:"token"`
		}
		if json.Unmarshal(e.Args[0], &wrapped) == nil {
			token = wrapped.Token
		}
	}
	identity, err := m.access.Verify(ctx, token)
	if err != nil {
		return err
	}
	return m.session.Refresh(identity)
}
