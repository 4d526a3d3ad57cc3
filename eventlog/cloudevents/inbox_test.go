package cloudevents_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

const markedData = `{"student_id":"s1","class_id":"7a","date":"2026-09-08","session":"day","status":"present"}`

func binary(key string, headers ...string) *eventlog.Record {
	rec := &eventlog.Record{
		Time: time.Date(2026, 9, 8, 8, 0, 0, 0, time.UTC), Key: []byte(key),
		Value: []byte(markedData),
	}
	all := append([]string{
		"ce_specversion", "1.0", "ce_id", "e1", "ce_source", "/sis",
		"ce_type", "schoolbell.attendance.marked.v1",
	}, headers...)
	for i := 0; i < len(all); i += 2 {
		rec.Headers = append(rec.Headers, eventlog.Header{Key: all[i], Value: []byte(all[i+1])})
	}
	return rec
}

func structured(key, contentType, members string) *eventlog.Record {
	rec := &eventlog.Record{
		Time: time.Date(2026, 9, 8, 8, 0, 0, 0, time.UTC), Key: []byte(key),
		Value: []byte(`{"specversion":"1.0","id":"e1","source":"/sis",` + members + `"data":` + markedData + `}`),
	}
	if contentType != "" {
		rec.Headers = []eventlog.Header{{Key: "content-type", Value: []byte(contentType)}}
	}
	return rec
}

// What the clients of other languages write is read, in both modes, with the school in the key or in
// the event.
func TestAnInboxTakesBothModes(t *testing.T) {
	t.Parallel()
	const marked = `"type":"schoolbell.attendance.marked.v1",`
	for name, rec := range map[string]*eventlog.Record{
		"binary":                 binary("north", "content-type", "application/json"),
		"no content type":        binary("north"),
		"Content-Type":           binary("north", "Content-Type", "application/json; charset=utf-8"),
		"ce_datacontenttype":     binary("north", "ce_datacontenttype", "application/json"),
		"school in a header":     binary("s1", "ce_school", "north"),
		"headers of others":      binary("north", "x", "\xff", "spring_json_header_types", "{}"),
		"extensions of others":   binary("north", "ce_partitionkey", "s1"),
		"structured":             structured("north", cloudevents.StructuredType, marked),
		"structured with school": structured("", "application/cloudevents+json; charset=UTF-8", marked+`"school":"north",`),
	} {
		e, err := cloudevents.Intake{}.ParseRecord(rec)
		require.NoError(t, err, name)
		require.Equal(t, "north", e.School, name)
		require.Equal(t, "s1", e.Subject, name)
		require.Equal(t, rec.Time, e.Time, "an event without a time has that of its record")
	}
}

const platformReason = `must not be "-": decisions about the platform are written by Schoolbell only`

func TestAnInboxRefusesWhatHTTPRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		record *eventlog.Record
		fault  domain.Fault
	}{
		"id twice": {binary("north", "ce_id", "e2"), domain.Fault{Pointer: "/id", Reason: "is there twice"}},
		"authjti": {
			binary("north", "ce_authjti", "t-1"),
			domain.Fault{Pointer: "/authjti", Reason: "is written by Schoolbell only"},
		},
		"the platform's school": {
			binary("-"),
			domain.Fault{Pointer: "/school", Reason: platformReason},
		},
		"the platform's school by attribute": {
			binary("north", "ce_school", "-"),
			domain.Fault{Pointer: "/school", Reason: platformReason},
		},
		"authsub": {
			binary("north", "ce_authsub", "kafka:other"),
			domain.Fault{Pointer: "/authsub", Reason: "is written by Schoolbell only"},
		},
		"no school": {binary(""), domain.Fault{Pointer: "/school", Reason: "is required"}},
		"reserved": {
			structured("north", cloudevents.StructuredType, `"type":"schoolbell.delivery.sent.v1",`),
			domain.Fault{Pointer: "/type", Reason: "is written by Schoolbell only"},
		},
		"unknown": {
			structured("north", cloudevents.StructuredType, `"type":"schoolbell.lunch.eaten.v1",`),
			domain.Fault{Pointer: "/type", Reason: `"schoolbell.lunch.eaten.v1" is not in the catalogue`},
		},
		"structured without content type": {
			structured("north", "", ""),
			domain.Fault{Reason: "looks like a structured event: send it with the header content-type: application/cloudevents+json"},
		},
		"batch": {
			structured("north", cloudevents.BatchType, ""),
			domain.Fault{Reason: "must be one event as application/cloudevents+json, or have its attributes in headers, not application/cloudevents-batch+json"},
		},
		"no JSON": {
			&eventlog.Record{Key: []byte("north"), Value: []byte("hello"), Headers: structured("", cloudevents.StructuredType, "").Headers},
			domain.Fault{Reason: "is not valid JSON: invalid character 'h' at start of value at byte 0"},
		},
	} {
		e, err := cloudevents.Intake{}.ParseRecord(c.record)
		invalid, ok := errors.AsType[*domain.InvalidError](err)
		require.True(t, ok, name)
		require.NotNil(t, e, name)
		require.Contains(t, invalid.Faults, c.fault, name)
	}
}
