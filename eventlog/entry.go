package eventlog

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"github.com/schoolbell/schoolbell/domain"
)

// Headers that readers look at without decoding an event.
const (
	HeaderID     = "ce_id"
	HeaderSource = "ce_source"
	HeaderSchool = "ce_school"
	HeaderType   = "ce_type"
)

// Header returns the value of the first header of that name, empty when there is none. The string
// shares the record's memory.
func (r *Record) Header(key string) string {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			return view(r.Headers[i].Value)
		}
	}
	return ""
}

// Identity returns what makes an event unique, without decoding it, and whether the record has it
// all. Every rule on duplicates rests on this function. The strings share the record's memory.
func (r *Record) Identity() (school, source, id string, ok bool) {
	for i := range r.Headers {
		switch h := &r.Headers[i]; h.Key {
		case HeaderSource:
			source = view(h.Value)
		case HeaderID:
			id = view(h.Value)
		}
	}
	return view(r.Key), source, id, source != "" && id != ""
}

// view is a string over bytes that do not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// UnusableError is the error of a record that nobody can use, now or later: it is no event of ours,
// or is not where it belongs. Every reader passes over it by its position, so that it holds up
// nothing; the projections make a dead letter of it. Its school, key and content prove nothing.
type UnusableError struct{ Err error }

func (e *UnusableError) Error() string { return e.Err.Error() }

func (e *UnusableError) Unwrap() error { return e.Err }

// IsUnusable reports whether an error of [Entry.Event] or [Decode] is a [*UnusableError].
func IsUnusable(err error) bool {
	_, unusable := errors.AsType[*UnusableError](err)
	return unusable
}

// ErrNewer is wrapped by the error of an event whose type a newer program has changed. That one can
// read it, so it must wait and not be passed over.
var ErrNewer = errors.New("is of a newer version than this program knows")

// Entry is a record of the log as every reader in a process sees it. It is shared among them, so
// neither the record nor the event may be changed, and an Entry must not be copied. A batch that
// cannot be decoded is one unusable entry, whose record has a position and nothing else.
type Entry struct {
	Record Record
	// Duplicate says that the event is a repetition (see [Window]) and takes no effect.
	Duplicate bool
	// Conflict is set for a duplicate that is no repetition, as its content is another one.
	Conflict *ConflictError

	undecodable *UndecodableError // of a batch
	reader      *Reader
	once        sync.Once
	event       *domain.Envelope
	err         error
}

// Offset is where the record is in its partition.
func (e *Entry) Offset() int64 { return e.Record.Position.Offset }

// Last is the last offset that the entry stands for: its own, unless it is a batch that cannot be
// decoded.
func (e *Entry) Last() int64 {
	if e.undecodable != nil {
		return e.undecodable.Last
	}
	return e.Offset()
}

// Undecodable reports that the entry is a batch that cannot be decoded.
func (e *Entry) Undecodable() bool { return e.undecodable != nil }

// Event returns the decoded event, and an error when it must not be applied. An [*UnusableError]
// says that it never can be, because it cannot be read, or because its school belongs in another
// partition, where its order would not hold. The envelope is never nil; with an error it has the
// school, subject and id as far as they could be read. The first caller decodes for all.
func (e *Entry) Event() (*domain.Envelope, error) {
	e.once.Do(func() {
		if e.undecodable != nil {
			e.event = &domain.Envelope{Position: e.Record.Position}
			e.err = &UnusableError{e.undecodable}
			return
		}
		e.event, e.err = Decode(e.reader.cfg.Decode, &e.Record, e.reader.partitions.Load())
	})
	return e.event, e.err
}

// Size is about how many bytes an entry holds in memory, its decoded event included.
func (e *Entry) Size() int {
	n := len(e.Record.Key) + len(e.Record.Value) + 400 // the structs and the event's own strings
	for i := range e.Record.Headers {
		n += len(e.Record.Headers[i].Value)
	}
	return n
}

// Decode is what [Entry.Event] does, for a record that comes from elsewhere than a [Reader]. The
// partition of a record is not checked when the number of partitions is 0.
func Decode(
	decode func(Record) (*domain.Envelope, error), rec *Record, partitions int32,
) (event *domain.Envelope, err error) {
	defer func() {
		// A decoder that panics on one record must not stop every process that meets it.
		if p := recover(); p != nil {
			event, err = &domain.Envelope{
				Position: rec.Position,
			}, fmt.Errorf("decoder panicked: %v", p)
		}
	}()
	event, err = decode(*rec)
	if event == nil {
		event = &domain.Envelope{}
	}
	event.Position = rec.Position
	if partitions > 0 && (err == nil || errors.Is(err, ErrNewer)) {
		if home := PartitionFor(event.School, partitions); home != rec.Position.Partition {
			err = &UnusableError{fmt.Errorf(
				"record is in partition %d, but events of school %q belong in partition %d",
				rec.Position.Partition, event.School, home,
			)}
		}
	}
	return event, err
}
