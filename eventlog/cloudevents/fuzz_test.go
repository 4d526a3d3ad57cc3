package cloudevents_test

import (
	"bytes"
	"net/http"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

// requireSameAgain checks that an event which was taken survives being written and read.
func requireSameAgain(t *testing.T, e *domain.Envelope) {
	t.Helper()
	require.NotNil(t, e.Data)
	rec, err := cloudevents.Encode(e)
	require.NoError(t, err)
	again, err := cloudevents.Decode(rec)
	require.NoError(t, err)
	again.Type = e.Type // an older version is written as the newest
	require.Empty(t, cmp.Diff(e, again))

	structured, err := cloudevents.AppendStructured(nil, e)
	require.NoError(t, err)
	require.True(t, utf8.Valid(structured))
	require.False(t, bytes.ContainsRune(structured, '\n'), "an event is one line of NDJSON")
}

func fuzzIntake(f *testing.F, contentType string) {
	f.Fuzz(func(t *testing.T, body []byte) {
		intake := cloudevents.Intake{School: "northfield", Now: now}
		events, err := intake.Parse(http.Header{"Content-Type": {contentType}}, body)
		if err != nil {
			require.NotEmpty(t, err.Error())
			require.Empty(t, events)
			return
		}
		for _, e := range events {
			require.Equal(t, "northfield", e.School)
			requireSameAgain(t, e)
		}
	})
}

func FuzzStructured(f *testing.F) {
	for _, golden := range goldens(f) {
		f.Add(golden)
	}
	f.Add([]byte(`{"specversion":"1.0","data":{"a":[[[{}]]]},"data":1,"x":null}`))
	fuzzIntake(f, cloudevents.StructuredType)
}

func FuzzBatch(f *testing.F) {
	var all [][]byte
	for _, golden := range goldens(f) {
		all = append(all, golden)
		f.Add([]byte("[" + string(golden) + "]"))
	}
	f.Add([]byte("[" + string(bytes.Join(all, []byte(","))) + "]"))
	f.Add([]byte(`[[],{},null,5`))
	fuzzIntake(f, cloudevents.BatchType)
}

func FuzzBinary(f *testing.F) {
	for _, golden := range goldens(f) {
		rec := published(f, golden)
		values := map[string]string{}
		for _, h := range rec.Headers {
			values[h.Key] = string(h.Value)
		}
		f.Add(values["ce_id"], values["ce_source"], values["ce_type"], values["ce_time"],
			values["ce_subject"], rec.Value)
	}
	f.Fuzz(func(t *testing.T, id, source, eventType, eventTime, subject string, data []byte) {
		header := http.Header{
			"Content-Type": {
				"application/json",
			}, "Ce-Specversion": {"1.0"}, "Ce-Id": {id}, "Ce-Source": {source},
			"Ce-Type": {eventType}, "Ce-Time": {eventTime}, "Ce-Subject": {subject},
		}
		events, err := cloudevents.Intake{School: "northfield", Now: now}.Parse(header, data)
		if err == nil {
			requireSameAgain(t, events[0])
		}
	})
}

func FuzzRecord(f *testing.F) {
	for _, golden := range goldens(f) {
		rec := published(f, golden)
		for _, h := range rec.Headers {
			if h.Key == "ce_type" {
				f.Add(string(h.Value), "ce_id", []byte("e"), rec.Value)
			}
		}
	}
	f.Fuzz(func(t *testing.T, eventType, key string, value, data []byte) {
		rec := eventlog.Record{
			Key:   []byte("northfield"),
			Time:  time.Unix(1_700_000_000, 0).UTC(),
			Value: data,
			Headers: []eventlog.Header{
				{Key: "ce_specversion", Value: []byte("1.0")},
				{Key: "ce_source", Value: []byte("/sis")},
				{Key: "ce_type", Value: []byte(eventType)},
				{Key: key, Value: value},
			},
		}
		e, err := cloudevents.Decode(rec)
		require.NotNil(t, e)
		require.Equal(t, "northfield", e.School)
		if err == nil {
			requireSameAgain(t, e)
		}
	})
}
