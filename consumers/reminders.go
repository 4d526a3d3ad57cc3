package consumers

import (
	"cmp"
	"context"

	"github.com/schoolbell/schoolbell/domain"
)

// Debts knows what is owed to schools.
type Debts interface {
	// Overdue returns the invoices of a school that were due before a day and are open, by id.
	Overdue(ctx context.Context, school string, day domain.Date) ([]Invoice, error)
}

// What a school gets that wants reminders and says no more.
const (
	remindEvery = 7
	remindAt    = Clock(9 * 60)
)

// Hour is when the day's reminders are made.
func (r Reminders) Hour() Clock { return cmp.Or(r.At, remindAt) }

// Next returns the number of the reminder of an invoice that is due on a day, 0 for none, when so many were made before,
// the last of them on a day. It asks for days that have passed, so that days on which nothing ran are made up for once,
// and a clock that is put back reminds nobody again.
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
