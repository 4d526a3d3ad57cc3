package projections

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Decode reads an event from its record. When it fails, the envelope still holds the school,
// subject and id as far as they could be read.
type Decode func(eventlog.Record) (*domain.Envelope, error)

// entry is a record of the log as the engine works with it.
type entry struct {
	record      eventlog.Record
	event       *domain.Envelope // never nil
	fault       error            // why it cannot be folded, if that is clear without trying
	duplicate   bool
	otherSchool bool // of a school that is not wanted; the event is not decoded
}

func (e *entry) offset() int64 { return e.record.Position.Offset }

// newEntry decodes a record. With a partition count of 0 it is not checked whether the record is in
// the partition of its school.
func newEntry(decode Decode, rec eventlog.Record, partitions int32) entry {
	event, err := decodeSafely(decode, rec)
	if event == nil {
		event = &domain.Envelope{}
	}
	event.Position = rec.Position
	// as precise as stores are, so that a row read back equals the row written
	event.Time = event.Time.UTC().Truncate(time.Microsecond)
	if err == nil && partitions > 0 {
		if home := eventlog.PartitionFor(event.School, partitions); home != rec.Position.Partition {
			err = fmt.Errorf("record is in partition %d, and events of school %q belong in "+
				"partition %d", rec.Position.Partition, event.School, home)
		}
	}
	return entry{record: rec, event: event, fault: err}
}

func decodeSafely(decode Decode, rec eventlog.Record) (e *domain.Envelope, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("decoder panicked: %v", p)
		}
	}()
	return decode(rec)
}

// identity finds what makes an event unique, without decoding it. The strings are views of the
// record and must not outlive it.
func identity(rec *eventlog.Record) (school, source, id string, ok bool) {
	for i := range rec.Headers {
		switch h := &rec.Headers[i]; h.Key {
		case "ce_source":
			source = stringView(h.Value)
		case "ce_id":
			id = stringView(h.Value)
		}
	}
	return stringView(rec.Key), source, id, source != "" && id != ""
}

// concerns reports whether a record may be an event of a school.
func concerns(rec *eventlog.Record, school string) bool {
	if string(rec.Key) == school {
		return true
	}
	for i := range rec.Headers {
		if rec.Headers[i].Key == "ce_school" && string(rec.Headers[i].Value) == school {
			return true
		}
	}
	return false
}

// stringView is a string over bytes that do not change.
func stringView(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

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
