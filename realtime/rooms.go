package realtime

import (
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
)

// ParseRooms reads rooms that are separated by commas or lines. An id may have commas of its own: one
// after which no room begins belongs to the id before it, so "class:7a,b,class:8" is two rooms. A room
// that is named twice is returned once.
func ParseRooms(text string) ([]domain.Room, error) {
	var rooms []domain.Room
	for line := range strings.Lines(text) {
		for _, name := range splitRooms(strings.TrimSpace(line)) {
			room, err := domain.ParseRoom(name)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(rooms, room) {
				rooms = append(rooms, room)
			}
		}
	}
	return rooms, nil
}

// splitRooms splits a line at the commas before which a room ends.
func splitRooms(line string) []string {
	var names []string
	for part := range strings.SplitSeq(line, ",") {
		switch name := strings.TrimSpace(part); {
		case len(names) == 0 || name == string(domain.RoomSchool) || strings.Contains(name, ":"):
			names = append(names, name)
		case name != "":
			names[len(names)-1] += "," + part
		}
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}
