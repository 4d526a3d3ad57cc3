package socketio

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
)

// clientOffset is the state that the client stores for us, in the last argument of its last event:
// the position up to which it has received the log, for example "7:1042-k3f9a". If its rooms are no
// longer those of its session id, they follow, each on a line.
type clientOffset struct {
	position domain.LogPosition
	hasRooms bool // rooms replace those of the session id
	rooms    []domain.Room
}

// parseOffset parses what a client sends when it reconnects.
func parseOffset(s string) (clientOffset, error) {
	position, rooms, moved := strings.Cut(s, "\n")
	var p clientOffset
	err := p.position.UnmarshalText([]byte(position))
	if err != nil {
		return p, fmt.Errorf("read offset: %w", err)
	}
	p.hasRooms = moved
	if rooms != "" {
		p.rooms, err = parseRooms(strings.Split(rooms, "\n"))
	}
	return p, err
}

func parseRooms(names []string) ([]domain.Room, error) {
	rooms := make([]domain.Room, len(names))
	for i, name := range names {
		var err error
		if rooms[i], err = domain.ParseRoom(name); err != nil {
			return nil, err
		}
	}
	return rooms, nil
}

// offsetSuffix returns what follows the position in the last argument of each event, up to the end
// of the packet: nothing more for a client that is still in the rooms of its session id.
func offsetSuffix(sealed, rooms []domain.Room) []byte {
	if sameRooms(sealed, rooms) {
		return []byte(`"]`)
	}
	names := make([]string, len(rooms))
	for i, r := range rooms {
		names[i] = r.String()
	}
	quoted, _ := jsontext.AppendQuote(nil, "\n"+strings.Join(names, "\n")) // rooms are valid text
	return append(quoted[1:], ']')
}

func sameRooms(a, b []domain.Room) bool {
	return len(a) == len(b) &&
		!slices.ContainsFunc(a, func(r domain.Room) bool { return !slices.Contains(b, r) })
}
