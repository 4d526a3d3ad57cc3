package eventlog

import (
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

// Entry is a record of the log as every reader in a process sees it. It is shared among them, so
// neither the record nor the event may be changed, and an Entry must not be copied.
type Entry struct {
	Record Record
	// Duplicate says that the event is a repetition (see [Window]) and takes no effect.
	Duplicate bool

	reader *Reader
	once   sync.Once
	event  *domain.Envelope
	err    error
}

// Offset is where the record is in its partition.
func (e *Entry) Offset() int64 { return e.Record.Position.Offset }

// Event returns the decoded event, and an error when it must not be applied: because it cannot be
// read, or because its school belongs in another partition, where its order would not hold. The
// envelope is never nil; with an error it has the school, subject and id as far as they could be
// read. The first caller decodes for all.
func (e *Entry) Event() (*domain.Envelope, error) {
	e.once.Do(func() {
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
	if err == nil && partitions > 0 {
		if home := PartitionFor(event.School, partitions); home != rec.Position.Partition {
			err = fmt.Errorf(
				"record is in partition %d, but events of school %q belong in partition %d",
				rec.Position.Partition, event.School, home,
			)
		}
	}
	return event, err
}
