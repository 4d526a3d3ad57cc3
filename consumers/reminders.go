package consumers

import (
	"cmp"

	"github.com/schoolbell/schoolbell/domain"
)

// The defaults of a school that wants reminders and does not say when.
const (
	remindEvery = 7 // days
	remindAt    = Clock(9 * 60)
)

// Hour is when the day's reminders are made.
func (r Reminders) Hour() Clock { return cmp.Or(r.At, remindAt) }

// Next returns the number of the reminder of an invoice that is due on a day, or 0 for none, after
// made reminders, the latest of them on the day last. It counts the days that have passed, so a day
// on which nothing ran is made up for once, and a clock that is put back sends no reminder twice.
func (r Reminders) Next(dueOn domain.Date, made int, last, today domain.Date) int {
	since := dueOn
	if made > 0 {
		since = max(dueOn, last)
	}
	if made >= r.Max || int(today-since) < cmp.Or(r.Every, remindEvery) {
		return 0
	}
	return made + 1
}
