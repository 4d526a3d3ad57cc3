package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// LogID is the short name of a log, behind every position that leaves the program: "7:1042-k3f9a".
// Offsets of one log mean nothing in another: one that was made again, restored older, or moved.
type LogID string

// logIDLength is how many characters a LogID has: 25 bits, so two logs rarely share one.
const logIDLength = 5

// logIDDigits are 32 letters and digits that are not mistaken for each other.
const logIDDigits = "0123456789abcdefghjkmnpqrstvwxyz"

// ErrOtherLog is wrapped by the error of a position that belongs to another log.
var ErrOtherLog = errors.New("belongs to another log")

// LogIDOf returns the short name of the topic with an id, in a generation of it: how many times an
// operator has accepted that the topic was set back, after which its offsets mean other records.
func LogIDOf(topicID string, generation int32) LogID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint32([]byte(topicID), uint32(generation)))
	var id [logIDLength]byte
	for i := range id {
		id[i] = logIDDigits[sum[i]&31]
	}
	return LogID(id[:])
}

// At returns a position as clients see it.
func (id LogID) At(p Position) LogPosition { return LogPosition{p, id} }

// Parse reads a position that a client sent, with or without the name of its log: without one it
// means this log. The error wraps [ErrOtherLog] when it names another.
func (id LogID) Parse(s string) (Position, error) {
	var p LogPosition
	if err := p.UnmarshalText([]byte(s)); err != nil {
		return Position{}, err
	}
	return p.In(id)
}

// LogPosition is a position with the name of its log, as clients see it: "7:1042-k3f9a". Without a
// name it means the log that it is read in.
type LogPosition struct {
	Position
	Log LogID
}

// In returns the position in the log with a name. The error wraps [ErrOtherLog] when it belongs to
// another one.
func (p LogPosition) In(id LogID) (Position, error) {
	if p.Log != "" && p.Log != id {
		return Position{}, fmt.Errorf("position %s %w than %s: the log was set back, made again "+
			"or moved since, so read the current state and go on from its position", p,
			ErrOtherLog, id)
	}
	return p.Position, nil
}

// String returns the form used in headers, bodies and messages: "partition:offset-log".
func (p LogPosition) String() string { return string(p.Append(make([]byte, 0, 32))) }

// Append appends what String returns.
func (p LogPosition) Append(b []byte) []byte {
	b = p.append(b)
	if p.Log != "" {
		b = append(append(b, '-'), p.Log...)
	}
	return b
}

// MarshalText makes the position a JSON string.
func (p LogPosition) MarshalText() ([]byte, error) { return p.Append(nil), nil }

// UnmarshalText reads a position with or without the name of a log.
func (p *LogPosition) UnmarshalText(b []byte) error {
	s := string(b)
	bare, log := s, LogID("")
	// The offset may be -1, and "7:-12345" has no log.
	if cut := len(s) - logIDLength - 1; cut > 0 && s[cut] == '-' && s[cut-1] != ':' {
		bare, log = s[:cut], LogID(s[cut+1:])
		if !log.valid() {
			return positionError(s)
		}
	}
	at, err := ParsePosition(bare)
	if err != nil {
		return positionError(s)
	}
	*p = LogPosition{at, log}
	return nil
}

func (id LogID) valid() bool {
	for _, c := range []byte(id) {
		if c < '0' || c > '9' && c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}
