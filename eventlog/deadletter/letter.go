package deadletter

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Kind is where a record was refused, which decides what a retry can do.
type Kind string

// The kinds.
const (
	Inbox Kind = "inbox" // not valid, or not allowed there: a retry validates it again
	Log   Kind = "log"   // not an event of ours: no reader uses it, now or later
	Plan  Kind = "plan"  // no delivery could be planned: a retry plans it again
	// Conflict is an event of the log whose id another event has: only the earlier one counts.
	Conflict Kind = "conflict"
)

const (
	// Lifetime is how long letters are stored.
	Lifetime = 30 * 24 * time.Hour
	// DailyLimit is how many letters of a school are stored on a day.
	DailyLimit = 10_000
	// PlaceLimit is how many letters of a partition of a topic are stored on a day, whatever schools
	// their records name.
	PlaceLimit = 2 * DailyLimit

	// maxRecord is the size up to which a record is stored with its letter: 100 times an event.
	maxRecord = 64 << 10
	// maxText bounds each text that a letter takes from a record.
	maxText = 2000
	// maxFaults is how many faults of a record are stored.
	maxFaults = 100
)

// Letter is one record that cannot be used, or all the records of a batch that cannot be decoded.
type Letter struct {
	ID       int64           `json:"id"`
	Kind     Kind            `json:"kind"`
	Topic    string          `json:"topic,omitzero"` // empty for the log
	Position domain.Position `json:"position"`
	Last     int64           `json:"last,omitzero"` // the last offset of a batch that cannot be decoded
	School   string          `json:"school"`
	EventID  string          `json:"event_id"`
	Type     string          `json:"type"`
	Faults   []domain.Fault  `json:"faults"`
	At       time.Time       `json:"at"`
	Record   *Record         `json:"record,omitzero"` // nil when it is too large or unreadable
}

// Record is a record as its producer wrote it. In JSON its bytes are base64.
type Record struct {
	Time    time.Time         `json:"time"`
	Key     []byte            `json:"key"`
	Headers []eventlog.Header `json:"headers"`
	Value   []byte            `json:"value"` // nil is a tombstone
}

// Reason is all that is wrong, in one line.
func (l *Letter) Reason() string {
	var b strings.Builder
	for i, f := range l.Faults {
		if i > 0 {
			b.WriteString("; ")
		}
		if f.Pointer != "" {
			b.WriteString(f.Pointer + " ")
		}
		b.WriteString(f.Reason)
	}
	return b.String()
}

// Of makes a letter of a record and why it was refused. The school is taken from its key, the id and
// type from its headers; a caller that knows better sets them.
func Of(kind Kind, topic string, rec *eventlog.Record, why error) Letter {
	return Letter{
		Kind: kind, Topic: topic, Position: rec.Position, Last: rec.Position.Offset,
		School:  string(rec.Key),
		EventID: rec.Header(eventlog.HeaderID),
		Type:    rec.Header(eventlog.HeaderType),
		Faults:  FaultsOf(why),
		Record:  &Record{Time: rec.Time, Key: rec.Key, Headers: rec.Headers, Value: rec.Value},
	}
}

// FaultsOf returns what an error says is wrong: the faults of an invalid event, else its text.
func FaultsOf(why error) []domain.Fault {
	if invalid, ok := errors.AsType[*domain.InvalidError](why); ok {
		return invalid.Faults
	}
	return []domain.Fault{{Reason: why.Error()}}
}

// AsLogged returns the record as a reader gets it.
func (r *Record) AsLogged(at domain.Position) eventlog.Record {
	return eventlog.Record{
		Position: at, Time: r.Time, Key: r.Key, Headers: r.Headers,
		Value: r.Value,
	}
}

func (r *Record) size() int {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// encode returns the record's form in the table, nil when it is not stored.
func (r *Record) encode() ([]byte, error) {
	if r == nil || r.size() > maxRecord {
		return nil, nil
	}
	return json.Marshal(r, json.FormatNilSliceAsNull(true), jsontext.AllowInvalidUTF8(true))
}

func decodeRecord(b []byte) (*Record, error) {
	if b == nil {
		return nil, nil
	}
	r := &Record{}
	return r, json.Unmarshal(b, r, jsontext.AllowInvalidUTF8(true))
}

// storable makes a text that the database accepts: it takes neither zero bytes nor broken UTF-8,
// both of which occur in what cannot be read.
func storable(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

func storableFaults(all []domain.Fault) ([]byte, error) {
	list := make([]domain.Fault, 0, min(len(all), maxFaults))
	for _, f := range all[:min(len(all), maxFaults)] {
		list = append(list, domain.Fault{Pointer: storable(f.Pointer), Reason: storable(f.Reason)})
	}
	return json.Marshal(list)
}
