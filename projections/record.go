package projections

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Decode reads an event from its record. When it fails, the envelope still holds the school,
// subject and id as far as they could be read.
type Decode func(eventlog.Record) (*domain.Envelope, error)

// entry is a record of the log as the engine works with it.
type entry struct {
	record eventlog.Record
	event  *domain.Envelope // never nil
	// why it cannot be folded, if that is clear without trying; of a duplicate a conflict only
	fault       error
	duplicate   bool
	otherSchool bool  // of a school that is not wanted; the event is not decoded
	undecodable bool  // there is no record: a batch, or the rest of a stretch
	last        int64 // the last offset that it stands for
}

func (e *entry) offset() int64 { return e.record.Position.Offset }

// unusable says that nobody can use the record, now or later (see [eventlog.UnusableError]).
func (e *entry) unusable() bool { return e.fault != nil && eventlog.IsUnusable(e.fault) }

// newEntry makes an entry of a decoded record. Events are shared with other readers of the log, so
// one whose time has to be changed is copied.
func newEntry(rec *eventlog.Record, event *domain.Envelope, fault error) entry {
	// As exact as stores are, so that a row is the same before it is stored and after.
	if exact := event.Time.UTC().Truncate(time.Microsecond); exact != event.Time {
		c := *event
		c.Time = exact
		event = &c
	}
	return entry{record: *rec, event: event, fault: fault, last: rec.Position.Offset}
}

// concerns reports whether a record may be an event of a school.
func concerns(rec *eventlog.Record, school string) bool {
	return string(rec.Key) == school || rec.Header(eventlog.HeaderSchool) == school
}

// subject is what the event is parked under if it cannot be folded. One whose subject cannot be
// read gets a subject of its own, as no later event can be known to depend on it.
func (e *entry) subject() SubjectKey {
	key := SubjectKey{School: e.event.School, Subject: e.event.Subject}
	if key.Subject == "" && e.event.Data != nil {
		key.Subject = e.event.Data.Subject()
	}
	if key.School == "" {
		key.School = string(e.record.Key)
	}
	if key.Subject == "" {
		key.Subject = "record " + e.record.Position.String()
	}
	key.School, key.Subject = sanitize(key.School, domain.MaxIDLength),
		sanitize(key.Subject, domain.MaxIDLength)
	return key
}

// sanitize returns a text that every store accepts: valid UTF-8 without NUL, of at most limit
// bytes.
func sanitize(s string, limit int) string {
	if len(s) <= limit && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}
