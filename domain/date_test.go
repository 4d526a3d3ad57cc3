package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/schoolbell/schoolbell/domain"
)

func TestDatesThatExist(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"0001-01-01", "1900-02-28", "2000-02-29", "2021-08-31", "2024-02-29",
		"9999-12-31",
	} {
		d, err := domain.ParseDate(s)
		require.NoError(t, err)
		require.Equal(t, s, d.String())
	}
	for _, s := range []string{
		"", "2021-8-31", "2021-08-32", "2021-00-10", "2021-13-01", "2021-02-29", "1900-02-29",
		"0000-01-01", "2021/08/31",
		"21-08-31", "2021-08-31T00:00:00Z", "2021-08-3１", "-021-08-31", "2021-+8-31",
	} {
		_, err := domain.ParseDate(s)
		require.Error(t, err, s)
	}
}

func TestDatesAgreeWithTheCalendar(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(-60_000_000_000, 200_000_000_000).Draw(t, "seconds"),
			0).UTC()
		days := rapid.IntRange(-10_000, 10_000).Draw(t, "days")
		d := domain.DateOf(at)
		require.Equal(t, at.Format(time.DateOnly), d.String())
		require.Equal(t, at.Weekday(), d.Weekday())
		require.Equal(t, at.AddDate(0, 0, days).Format(time.DateOnly), d.AddDays(days).String())
		require.Equal(t, d, domain.DateFromUnixDays(d.UnixDays()))
		require.Equal(t, at.Format("2006-01")+"-01", d.Month().String())
		require.Equal(t, days > 0, d < d.AddDays(days))
	})
}

func TestADateIsTheOneOnTheClock(t *testing.T) {
	t.Parallel()
	evening := time.Date(2026, 9, 1, 23, 30, 0, 0, time.FixedZone("", -5*3600))
	require.Equal(t, "2026-09-01", domain.DateOf(evening).String())
	require.Equal(t, "2026-09-02", domain.DateOf(evening.UTC()).String())
}

func TestNoDate(t *testing.T) {
	t.Parallel()
	var d domain.Date
	require.True(t, d.IsZero())
	require.Empty(t, d.String())
	require.NoError(t, d.UnmarshalText([]byte("2021-08-31")))
	require.NoError(t, d.UnmarshalText(nil))
	require.True(t, d.IsZero())
}
