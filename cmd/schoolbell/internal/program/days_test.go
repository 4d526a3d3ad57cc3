package program

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/internal/devstack/devtest"
	"github.com/schoolbell/schoolbell/internal/postgres"
)

// Each row is one moment, and the day that it is then at a school.
func TestADayIsThatOfTheSchoolsClock(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), `SET ROLE schoolbell_jobs`)
	require.NoError(t, err)
	for school, zone := range map[string]string{
		"island": "Pacific/Kiritimati", "auckland": "Pacific/Auckland", "west": "America/Los_Angeles",
		"manila": "Asia/Manila", "berlin": "Europe/Berlin",
	} {
		_, err = conn.Exec(t.Context(), `INSERT INTO schoolbell.school_settings
			(school, version, valid_from, settings, actor)
			VALUES ($1, 3, '2020-01-01', jsonb_build_object('time_zone', $2::text, 'year_from', 2), 'a')`,
			school, zone)
		require.NoError(t, err)
	}
	days := newDays(devtest.Pool(t, url, postgres.API), settingsMaxAge)
	for _, is := range []struct{ school, at, day string }{
		{"island", "2026-11-27T09:59:59Z", "2026-11-27"},
		{"island", "2026-11-27T10:00:00Z", "2026-11-28"},
		{"nowhere", "2026-11-27T23:59:59Z", "2026-11-27"}, // no settings: UTC
		{"manila", "2026-11-26T16:00:00Z", "2026-11-27"},
		// A register of the morning in Auckland, which has summer time then and none in June.
		{"auckland", "2026-11-26T11:00:00Z", "2026-11-27"},
		{"auckland", "2026-06-10T11:59:59Z", "2026-06-10"},
		{"auckland", "2026-06-10T12:00:00Z", "2026-06-11"},
		// A fee that is due on the 27th is not overdue in California before the 28th begins there.
		{"west", "2026-11-28T00:30:00Z", "2026-11-27"},
		{"west", "2026-11-28T08:00:00Z", "2026-11-28"},
		// Days of 23 and of 25 hours.
		{"west", "2026-03-09T06:59:59Z", "2026-03-08"},
		{"west", "2026-03-09T07:00:00Z", "2026-03-09"},
		{"west", "2026-11-02T07:59:59Z", "2026-11-01"},
		{"berlin", "2026-10-25T22:59:59Z", "2026-10-25"},
		{"berlin", "2026-10-25T23:00:00Z", "2026-10-26"},
		// New Year, and a leap day.
		{"island", "2026-12-31T10:00:00Z", "2027-01-01"},
		{"west", "2028-03-01T07:59:59Z", "2028-02-29"},
	} {
		at, err := time.Parse(time.RFC3339, is.at)
		require.NoError(t, err)
		days.now = func() time.Time { return at }
		today, err := days.today(t.Context(), is.school)
		require.NoError(t, err)
		require.Equal(t, is.day, today.String(), "%s at %s", is.school, is.at)
	}
	numbers, err := days.numbers(t.Context(), "auckland")
	require.NoError(t, err)
	require.Equal(t, int64(3), numbers.Version)
	require.Equal(t, 2, numbers.YearFrom)
	require.Equal(t, "Pacific/Auckland", numbers.Location().String())
}
