package plan_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan"
)

func TestQuietHours(t *testing.T) {
	t.Parallel()
	night := consumers.QuietHours{From: 20 * 60, To: 7 * 60}
	noon := consumers.QuietHours{From: 12 * 60, To: 14 * 60}
	for _, c := range []struct {
		name, zone string
		quiet      consumers.QuietHours
		at, want   string
	}{
		{"by day", "UTC", night, "2026-09-01T12:00:00Z", "2026-09-01T12:00:00Z"},
		{"in the evening", "UTC", night, "2026-09-01T20:00:00Z", "2026-09-02T07:00:00Z"},
		{"after midnight", "UTC", night, "2026-09-02T03:12:45Z", "2026-09-02T07:00:00Z"},
		{"at their end", "UTC", night, "2026-09-02T07:00:00Z", "2026-09-02T07:00:00Z"},
		{"at noon", "UTC", noon, "2026-09-02T13:59:59Z", "2026-09-02T14:00:00Z"},
		{"never", "UTC", consumers.QuietHours{}, "2026-09-02T00:00:00Z", "2026-09-02T00:00:00Z"},
		{
			"it is evening there", "America/Chicago", night, "2026-09-02T03:00:00Z",
			"2026-09-02T12:00:00Z",
		},
		{"half an hour off", "Asia/Kolkata", night, "2026-09-01T14:29:59Z", "2026-09-01T14:29:59Z"},
		{
			"half an hour off, quiet", "Asia/Kolkata", night, "2026-09-01T14:30:00Z",
			"2026-09-02T01:30:00Z",
		},
		// Clocks go forward at 02:00 on 8 March 2026 and back at 02:00 on 1 November 2026.
		{"a short night", "America/Chicago", night, "2026-03-08T04:00:00Z", "2026-03-08T12:00:00Z"},
		{"a long night", "America/Chicago", night, "2026-11-01T03:00:00Z", "2026-11-01T13:00:00Z"},
		{
			"until an hour that is skipped", "America/Chicago",
			consumers.QuietHours{From: 20 * 60, To: 150},
			"2026-03-08T05:00:00Z",
			"2026-03-08T08:00:00Z",
		},
		{
			"until an hour that occurs twice", "America/Chicago",
			consumers.QuietHours{From: 20 * 60, To: 90},
			"2026-11-01T05:00:00Z",
			"2026-11-01T06:30:00Z",
		},
		{
			"in its second occurrence", "America/Chicago",
			consumers.QuietHours{From: 20 * 60, To: 90},
			"2026-11-01T07:10:00Z", "2026-11-01T07:30:00Z",
		},
		{
			"where midnight is skipped", "Africa/Cairo",
			consumers.QuietHours{From: 22 * 60, To: 30},
			"2026-04-23T21:00:00Z", "2026-04-23T22:00:00Z",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			require.NoError(t, err)
			require.Equal(t, c.want,
				plan.AfterQuietHours(c.quiet, at, zone(t, c.zone)).UTC().Format(time.RFC3339))
		})
	}
}

// In any zone and night the result is the first minute outside the quiet hours that stepping minute
// by minute finds.
func TestQuietHoursEndWhenTheClockSaysSo(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		in := zone(t, rapid.SampledFrom([]string{
			"America/Chicago", "Europe/Paris", "Africa/Cairo",
			"Australia/Lord_Howe", "Pacific/Apia",
		}).Draw(rt, "zone"))
		q := consumers.QuietHours{
			From: consumers.Clock(rapid.IntRange(0, 1439).Draw(rt, "from")),
			To:   consumers.Clock(rapid.IntRange(0, 1439).Draw(rt, "to")),
		}
		at := time.Date(2026, 1, 1, 0, rapid.IntRange(0, 365*24*60).Draw(rt, "at"), 0, 0, time.UTC)
		want := at
		for range 3 * 24 * 60 {
			clock := want.In(in)
			m := consumers.Clock(clock.Hour()*60 + clock.Minute())
			within := q.From <= m && m < q.To
			if q.From > q.To {
				within = m >= q.From || m < q.To
			}
			if !within {
				break
			}
			want = want.Add(time.Minute)
		}
		require.Equal(rt, want.Unix(), plan.AfterQuietHours(q, at, in).Unix())
	})
}

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	require.NoError(t, err)
	return l
}
