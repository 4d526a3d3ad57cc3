package domain

import (
	"fmt"
	"strconv"
	"strings"
)

// Position is where one event stands in the log: a partition and the offset within it, printed
// "7:1042". All events of a school are in one partition, so for a school it works as one growing
// number. Offset -1 is before the first event.
type Position struct {
	Partition int32
	Offset    int64
}

// String returns the form used in headers, tokens and logs: "partition:offset".
func (p Position) String() string {
	return string(p.append(make([]byte, 0, 24)))
}

func (p Position) append(b []byte) []byte {
	b = append(strconv.AppendInt(b, int64(p.Partition), 10), ':')
	return strconv.AppendInt(b, p.Offset, 10)
}

// ParsePosition reads the form that String writes, and no other spelling of it.
func ParsePosition(s string) (Position, error) {
	partition, offset, ok := strings.Cut(s, ":")
	if !ok || len(s) > 31 {
		return Position{}, positionError(s)
	}
	p, err := strconv.ParseInt(partition, 10, 32)
	if err != nil || p < 0 {
		return Position{}, positionError(s)
	}
	o, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || o < -1 {
		return Position{}, positionError(s)
	}
	pos := Position{Partition: int32(p), Offset: o}
	if pos.String() != s {
		return Position{}, positionError(s)
	}
	return pos, nil
}

func positionError(s string) error {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return fmt.Errorf("position %q: want partition:offset, for example 7:1042", s)
}

// MarshalText makes a position a JSON string.
func (p Position) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (p *Position) UnmarshalText(b []byte) error {
	pos, err := ParsePosition(string(b))
	if err != nil {
		return err
	}
	*p = pos
	return nil
}
