package plan

import (
	"time"

	"github.com/schoolbell/schoolbell/consumers"
)

// AfterQuietHours returns the first moment from t on outside the quiet hours, by the local clock.
// When clocks are put forward or back the clock counts: an hour that does not exist is not waited
// for, and one that occurs twice is quiet twice.
func AfterQuietHours(q consumers.QuietHours, t time.Time, in *time.Location) time.Time {
	if !quiet(q, t.In(in)) {
		return t
	}
	local := t.In(in).Truncate(time.Minute)
	until := (q.To - consumers.ClockOf(local) + minutesPerDay) % minutesPerDay
	awake := local.Add(time.Duration(until) * time.Minute)
	if offset(awake) == offset(local) {
		return awake
	}
	// the clock changes in between
	for awake = local; quiet(q, awake); awake = awake.Add(time.Minute) {
	}
	return awake
}

const minutesPerDay = 24 * 60

func quiet(q consumers.QuietHours, local time.Time) bool {
	m := consumers.ClockOf(local)
	if q.From <= q.To {
		return q.From <= m && m < q.To
	}
	return q.From <= m || m < q.To // over midnight
}

func offset(t time.Time) int {
	_, seconds := t.Zone()
	return seconds
}
