package cloudevents_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/delivery"
	"github.com/schoolbell/schoolbell/eventlog"
	"github.com/schoolbell/schoolbell/eventlog/cloudevents"
)

func marked() *domain.Envelope {
	return &domain.Envelope{
		ID: "0198c1f0-5a5e-7d1c-9d37-6f1f2a3b4c5d", Source: "/sis/north", Type: attendance.TypeMarked,
		School: "north", Subject: "s-1", Time: time.Date(2026, 9, 1, 7, 45, 0, 0, time.UTC),
		CorrelationID: "import-7", Actor: "u-17",
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		Data: &attendance.Marked{
			StudentID: "s-1", ClassID: "c-4b", Date: domain.NewDate(2026, 9, 1), Session: "am",
			Status: attendance.AbsentExcused, Reason: "appointment",
		},
	}
}

func TestDecodeReturnsWhatEncodeWrote(t *testing.T) {
	t.Parallel()
	rec, err := cloudevents.Encode(marked())
	require.NoError(t, err)
	got, err := cloudevents.Decode(rec)
	require.NoError(t, err)
	require.Equal(t, marked(), got)
}

func TestP9_GarbageInTheLogIsToldApart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		spoil func(*eventlog.Record)
		want  string
	}{
		"no headers":            {func(r *eventlog.Record) { r.Headers = nil }, "/specversion must be 1.0; /id is required; /source is required; /type is required"},
		"no value":              {func(r *eventlog.Record) { r.Value = nil }, "/data is required"},
		"no key":                {func(r *eventlog.Record) { r.Key = nil }, `/school is required; /school must be the record's key, ""`},
		"another's key":         {func(r *eventlog.Record) { r.Key = []byte("south") }, `/school must be the record's key, "south"`},
		"value that is no JSON": {func(r *eventlog.Record) { r.Value = []byte("\x00\x01") }, "/data is not valid JSON: invalid character '\\x00' at start of value at byte 0"},
		"value cut off":         {func(r *eventlog.Record) { r.Value = r.Value[:20] }, "/data is not valid JSON: unexpected EOF"},
		"header twice": {func(r *eventlog.Record) {
			r.Headers = append(r.Headers, eventlog.Header{Key: "ce_id", Value: []byte("x")})
		}, "/id is there twice"},
		"header that is not UTF-8": {func(r *eventlog.Record) { r.Headers[1].Value = []byte("\xff") }, "/id must be printable text"},
	} {
		rec, err := cloudevents.Encode(marked())
		require.NoError(t, err)
		test.spoil(&rec)
		rec.Position = domain.Position{Partition: 3, Offset: 7}
		e, err := cloudevents.Decode(rec)
		var invalid *domain.InvalidError
		require.ErrorAs(t, err, &invalid, name)
		require.True(t, eventlog.IsUnusable(err), name)
		require.ErrorContains(t, err, test.want, name)
		require.Equal(t, rec.Position, e.Position)
		require.Equal(t, string(rec.Key), e.School, "its school is read, so that it can be parked")
	}
}

func TestATypeOfTheFutureIsToldFromABadEvent(t *testing.T) {
	t.Parallel()
	rec, err := cloudevents.Encode(marked())
	require.NoError(t, err)
	rec.Headers[3].Value = []byte("schoolbell.attendance.marked.v2")
	e, err := cloudevents.Decode(rec)
	require.ErrorIs(t, err, cloudevents.ErrUnknownType)
	require.ErrorIs(t, err, eventlog.ErrNewer)
	require.False(t, eventlog.IsUnusable(err), "a newer program can use it")
	require.Equal(t, "s-1", e.Subject)
	require.Equal(t, "north", e.School)

	rec.Headers[1].Value = nil // its id
	_, err = cloudevents.Decode(rec)
	require.True(t, eventlog.IsUnusable(err), "no version has events without an id")
}

func TestP9_WhatIsNoEventOfOursIsUnusable(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*eventlog.Record){
		"a type of another system": func(r *eventlog.Record) {
			r.Headers[3].Value = []byte("com.example.attendance.v1")
		},
		"a fact that no version has": func(r *eventlog.Record) {
			r.Headers[3].Value = []byte("schoolbell.attendance.forgotten.v1")
		},
		"a tombstone":            func(r *eventlog.Record) { r.Value = nil },
		"a line typed by hand":   func(r *eventlog.Record) { r.Headers = nil },
		"a key that is not ours": func(r *eventlog.Record) { r.Key = nil },
		"a reserved fact of a stranger": func(r *eventlog.Record) {
			r.Headers[2].Value = []byte("/sis")
		},
	} {
		rec, err := cloudevents.Encode(&domain.Envelope{
			ID: "e", Source: "schoolbell/deliveries", School: "north",
			Time: time.Unix(1_700_000_000, 0).UTC(), Data: &delivery.Delivered{
				DeliveryID: "d", Channel: "sms", Recipient: "g-1", Provider: "twilio",
			},
		})
		require.NoError(t, err)
		_, err = cloudevents.Decode(rec)
		require.NoError(t, err)
		spoil(&rec)
		_, err = cloudevents.Decode(rec)
		require.True(t, eventlog.IsUnusable(err), "%s: %v", name, err)
	}
}

func TestTheLogToleratesWhatANewerProducerAdds(t *testing.T) {
	t.Parallel()
	rec, err := cloudevents.Encode(marked())
	require.NoError(t, err)
	rec.Value = append([]byte(`{"added":{"later":[1,2,3]},`), rec.Value[1:]...)
	rec.Headers = append(rec.Headers, eventlog.Header{Key: "ce_added", Value: []byte("x")},
		eventlog.Header{Key: "other", Value: nil})
	got, err := cloudevents.Decode(rec)
	require.NoError(t, err)
	require.Equal(t, marked(), got)
}

func TestALabelMayBeANumber(t *testing.T) {
	t.Parallel()
	rec, err := cloudevents.Encode(&domain.Envelope{
		ID: "e", Source: "/sis", School: "north", Time: time.Unix(1_700_000_000, 0).UTC(),
		Data: &assessment.ResultsPublished{ClassID: "c", Year: "2026", Term: "1"},
	})
	require.NoError(t, err)
	rec.Value = []byte(`{"class_id":"c","year":2026,"term":1.0}`)
	got, err := cloudevents.Decode(rec)
	require.NoError(t, err)
	require.Equal(t, &assessment.ResultsPublished{ClassID: "c", Year: "2026", Term: "1"}, got.Data)
}

// The log has scores that were accepted before they were decimals of four digits. They are rounded, and
// none of them becomes invalid by it.
func TestOlderScoresAreRounded(t *testing.T) {
	t.Parallel()
	rec, err := cloudevents.Encode(&domain.Envelope{
		ID: "e", Source: "/sis", School: "north", Time: time.Unix(1_700_000_000, 0).UTC(),
		Data: &assessment.Scheduled{
			AssessmentID: "a", ClassID: "c", SubjectName: "maths", Title: "Quiz",
			MaxScore: domain.DecimalUnit, On: domain.NewDate(2026, 9, 1), Year: "2026", Term: "1",
		},
	})
	require.NoError(t, err)
	for written, want := range map[string]domain.Decimal{
		"33.33335": 33_3334, "0.00000001": 1, "1000000": domain.MaxScore * domain.DecimalUnit,
	} {
		rec.Value = []byte(`{"assessment_id":"a","class_id":"c","subject":"maths","title":"Quiz","max_score":` +
			written + `,"on":"2026-09-01","year":"2026","term":"1"}`)
		got, err := cloudevents.Decode(rec)
		require.NoError(t, err, written)
		require.Equal(t, want, got.Data.(*assessment.Scheduled).MaxScore, written)
	}
}

func TestEncodeRefusesWhatIsNotInTheCatalogue(t *testing.T) {
	t.Parallel()
	_, err := cloudevents.Encode(&domain.Envelope{ID: "e"})
	require.ErrorIs(t, err, cloudevents.ErrUnknownType)
	_, err = cloudevents.Encode(&domain.Envelope{ID: "e", Data: &attendance.MarkedV0{}})
	require.ErrorIs(t, err, cloudevents.ErrUnknownType, "an older version is not written any more")
}

func BenchmarkDecode(b *testing.B) {
	rec, err := cloudevents.Encode(marked())
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cloudevents.Decode(rec); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	e := marked()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cloudevents.Encode(e); err != nil {
			b.Fatal(err)
		}
	}
}
