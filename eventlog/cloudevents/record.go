package cloudevents

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
)

// Decode reads an event from the log. Its error is an *[eventlog.UnusableError], around a
// *[domain.InvalidError] with everything that is wrong or around [ErrUnknownType]; or it wraps
// [eventlog.ErrNewer], if a newer program can read the event. The envelope is returned all the same,
// with the school, subject and id as far as they could be read. An event without a time has that
// of its record, and one without the school attribute belongs to the record's key.
func Decode(rec eventlog.Record) (*domain.Envelope, error) {
	d := newDecoder(false)
	defer d.release()
	r := raw{data: rec.Value, hasData: rec.Value != nil, time: rec.Time}
	for i := range rec.Headers {
		h := &rec.Headers[i]
		a := unknownAttribute
		if len(h.Key) > 3 && h.Key[:3] == "ce_" {
			a = attributeNamed(h.Key[3:])
		} else if h.Key == "content-type" {
			a = dataContentType
		}
		if a == unknownAttribute {
			continue
		}
		if r.values[a] != nil {
			d.faults.Add(a.pointer(), "is there twice")
			continue
		}
		r.values[a] = nonNil(h.Value)
	}
	named := r.values[school]
	r.values[school] = rec.Key
	e, err := d.event(&r)
	e.Position = rec.Position
	if named != nil && string(named) != string(rec.Key) {
		d.faults.Add("/school", "must be the record's key, %.80q", rec.Key)
	}
	if c := codecs[e.Type]; c != nil && c.fact.Reserved && !domain.IsOwnSource(e.Source) {
		d.faults.Add("/source", "is not Schoolbell's, and only Schoolbell writes this type")
	}
	newer := errors.Is(err, eventlog.ErrNewer)
	if faults := d.faults.Err(); faults != nil && (err == nil || newer) {
		err, newer = faults, false // what is wrong outside its data is so in every version
	}
	if err == nil || newer {
		return e, err
	}
	return e, &eventlog.UnusableError{Err: err}
}

func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Encode makes the record of an event, without a position. Its data must be of a type in the
// catalogue; the record carries the newest version's name, also when the event was published in an
// older one.
func Encode(e *domain.Envelope) (eventlog.Record, error) {
	c, err := codecOf(e)
	if err != nil {
		return eventlog.Record{}, err
	}
	w := recordWriter{headers: make([]eventlog.Header, 0, 14), buf: make([]byte, 0, 256)}
	w.add("ce_specversion", "1.0")
	w.add("ce_id", e.ID)
	w.add("ce_source", e.Source)
	w.add("ce_type", c.fact.Type)
	start := len(w.buf)
	w.buf = formatTime(w.buf, e.Time)
	w.header("ce_time", start)
	w.add("ce_subject", e.Data.Subject())
	w.add("ce_school", e.School)
	w.addOptional("ce_causationid", e.CausationID)
	w.addOptional("ce_correlationid", e.CorrelationID)
	w.addOptional("ce_actor", e.Actor)
	w.addOptional("ce_traceparent", e.TraceParent)
	w.addOptional("ce_tracestate", e.TraceState)
	w.addOptional("ce_authsub", e.Author.Subject)
	w.addOptional("ce_authjti", e.Author.TokenID)
	w.add("content-type", jsonType)
	return eventlog.Record{
		Time:    e.Time,
		Key:     []byte(e.School),
		Headers: w.headers,
		Value:   c.plan.append(make([]byte, 0, 192), reflect.ValueOf(e.Data).Elem()),
	}, nil
}

// codecOf finds how the data of an event is written.
func codecOf(e *domain.Envelope) (*codec, error) {
	c := newest[reflect.TypeOf(e.Data)]
	if c == nil {
		return nil, fmt.Errorf("encode event %q: data of type %T: %w", e.ID, e.Data, ErrUnknownType)
	}
	return c, nil
}

// recordWriter collects headers whose values lie in one buffer.
type recordWriter struct {
	headers []eventlog.Header
	buf     []byte
}

func (w *recordWriter) add(key, value string) {
	start := len(w.buf)
	w.buf = append(w.buf, value...)
	w.header(key, start)
}

func (w *recordWriter) addOptional(key, value string) {
	if value != "" {
		w.add(key, value)
	}
}

func (w *recordWriter) header(key string, start int) {
	w.headers = append(w.headers,
		eventlog.Header{Key: key, Value: w.buf[start:len(w.buf):len(w.buf)]})
}
