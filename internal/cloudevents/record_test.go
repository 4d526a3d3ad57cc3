package cloudevents_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/internal/cloudevents"
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
