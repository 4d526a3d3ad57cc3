package simulate

import (
	"slices"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// termDays is how many school days a term has; the year has three.
const termDays = 60

// calendar is a school's year.
type calendar struct {
	days []domain.Date // the school days
	year domain.Label
}

// holidays are the weeks without school: from a month and day to another.
var holidays = [][2][2]int{
	{{10, 24}, {11, 1}},
	{{12, 20}, {12, 31}},
	{{1, 1}, {1, 4}},
	{{2, 14}, {2, 22}},
	{{4, 1}, {4, 12}},
	{{5, 1}, {5, 1}},
}

// newCalendar lists the school days from the first Monday on or after start.
func newCalendar(start domain.Date) *calendar {
	const n = MaxDays + notice
	if start.IsZero() {
		start = domain.NewDate(2025, time.September, 1)
	}
	for start.Weekday() != time.Monday {
		start = start.AddDays(1)
	}
	first := start.Time().Year()
	if start.Time().Month() < time.July {
		first--
	}
	c := &calendar{
		days: make([]domain.Date, 0, n),
		year: domain.Label(strconv.Itoa(first) + "-" + strconv.Itoa(first+1)),
	}
	for day := start; len(c.days) < n; day = day.AddDays(1) {
		if schoolDay(day) {
			c.days = append(c.days, day)
		}
	}
	return c
}

func schoolDay(day domain.Date) bool {
	if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
		return false
	}
	_, month, d := day.Time().Date()
	at := [2]int{int(month), d}
	return !slices.ContainsFunc(holidays, func(h [2][2]int) bool {
		return slices.Compare(h[0][:], at[:]) <= 0 && slices.Compare(at[:], h[1][:]) <= 0
	})
}

// term is the number of the term that a school day is in, from 0, and the day's number in it. What
// is beyond three terms belongs to the third.
func term(index int) (number, day int) {
	number = min(index/termDays, 2)
	return number, index - number*termDays
}

// termLabels are the terms' names.
var termLabels = [...]domain.Label{"1", "2", "3"}

// at is a moment of a day; times of day are in UTC.
func at(day domain.Date, offset time.Duration) time.Time { return day.Time().Add(offset) }
