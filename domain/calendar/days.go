package calendar

import (
	"cmp"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/exact"
)

// YearOf is the school year of a day: the one that is set, else by the month of the settings.
func YearOf(years []YearSet, month int, day domain.Date) YearSet {
	for _, y := range slices.Backward(inOrder(years)) {
		if y.From <= day && day <= y.To {
			return y
		}
	}
	return YearByMonth(day, month)
}

// inOrder sorts years by their first day, and ends each of them, with its terms, before the next one
// begins: a day is of one year.
func inOrder(years []YearSet) []YearSet {
	years = slices.Clone(years)
	slices.SortFunc(years, func(a, b YearSet) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Year, b.Year))
	})
	for i := range years {
		if i+1 < len(years) {
			years[i].To = min(years[i].To, years[i+1].From.AddDays(-1))
		}
	}
	return years
}

// Calendar says which days of a school are instructional in a window of days. Where a year that is
// set reaches into the window it does so by the years, their terms and single days. Else it is
// derived: a day is instructional for a class when the class has a mark on it; single days alone make
// no calendar.
type Calendar struct {
	years  []YearSet
	kinds  map[string]map[domain.Date]string // by class; "" is the school
	week   Week
	marked map[string][]domain.Date // by class; nil when it is not derived
	laid   map[string]*Days
}

// New returns the calendar of a window.
func New(years []YearSet, days []DaySet, week Week, from, to domain.Date) *Calendar {
	c := &Calendar{
		week: week, kinds: map[string]map[domain.Date]string{}, laid: map[string]*Days{},
	}
	for _, d := range days {
		classes := d.ClassIDs
		if len(classes) == 0 {
			classes = []string{""}
		}
		for _, class := range classes {
			if c.kinds[class] == nil {
				c.kinds[class] = map[domain.Date]string{}
			}
			c.kinds[class][d.Date] = d.Kind
		}
	}
	for _, y := range inOrder(years) {
		if y.From <= y.To && y.From <= to && from <= y.To {
			c.years = append(c.years, y)
		}
	}
	if len(c.years) == 0 {
		c.marked = map[string][]domain.Date{}
	}
	return c
}

// Derived reports that no year of the window is set.
func (c *Calendar) Derived() bool { return c.marked != nil }

// Mark says that a class has a mark on a day, for a calendar that is derived. All marks come before
// the days of any class are looked at.
func (c *Calendar) Mark(classID string, day domain.Date) {
	if c.marked != nil {
		c.marked[classID] = append(c.marked[classID], day)
	}
}

// TermOf returns the term of a day, if it is in one that is set.
func (c *Calendar) TermOf(day domain.Date) (YearSet, Term, bool) {
	for _, y := range c.years {
		for _, t := range y.Terms {
			if t.From <= day && day <= min(t.To, y.To) {
				return y, t, true
			}
		}
	}
	return YearSet{}, Term{}, false
}

// Of returns the days of a class.
func (c *Calendar) Of(classID string) *Days {
	if c.marked == nil && c.kinds[classID] == nil {
		classID = "" // it has none of its own
	}
	d := c.laid[classID]
	if d == nil {
		d = c.lay(classID)
		c.laid[classID] = d
	}
	return d
}

// halves is how many halves of a day of a kind are school.
func halves(kind string) int32 {
	switch kind {
	case Instructional:
		return 2
	case Half:
		return 1
	}
	return 0
}

// special is what was said of a single day, for the class or else for the school.
func (c *Calendar) special(classID string, day domain.Date) (kind string, ok bool) {
	if kind, ok = c.kinds[classID][day]; !ok {
		kind, ok = c.kinds[""][day]
	}
	return kind, ok
}

func (c *Calendar) lay(classID string) *Days {
	if c.marked != nil {
		return c.layMarked(classID)
	}
	d := &Days{first: c.years[0].From}
	for day := d.first; day <= c.years[len(c.years)-1].To; day++ {
		// The days of the week of terms count; special days do so wherever they are in the year.
		_, _, inTerm := c.TermOf(day)
		kind, ok := c.special(classID, day)
		switch {
		case ok:
			d.add(halves(kind))
		case inTerm && c.week.has(day.Weekday()):
			d.add(2)
		default:
			d.add(0)
		}
	}
	for _, y := range c.years {
		for _, t := range y.Terms {
			p := part{t.From, min(t.To, y.To), t.InstructionalDays, 0}
			p.halves = d.Halves(p.from, p.to)
			if p.days > 0 && p.halves > 0 {
				d.parts = append(d.parts, p)
			}
		}
	}
	return d
}

func (c *Calendar) layMarked(classID string) *Days {
	days := slices.Compact(slices.Sorted(slices.Values(c.marked[classID])))
	if len(days) == 0 {
		return &Days{}
	}
	d := &Days{first: days[0]}
	for _, day := range days {
		for next := d.first.AddDays(len(d.halves)); next < day; next++ {
			d.add(0)
		}
		if kind, ok := c.special(classID, day); ok {
			d.add(halves(kind))
		} else {
			d.add(2)
		}
	}
	return d
}

// Days are the days of a class, as counts of all days before: what is in a range is a difference.
type Days struct {
	first  domain.Date
	halves []int32 // of school, up to the end of each day
	school []int32 // days with any school, up to the end of each day
	parts  []part
}

// part is a term for which the school says how many days it has.
type part struct {
	from, to domain.Date
	days     int64 // as the school says
	halves   int64 // by the calendar
}

func (d *Days) add(halves int32) {
	h, n := halves, min(halves, 1)
	if last := len(d.halves) - 1; last >= 0 {
		h, n = h+d.halves[last], n+d.school[last]
	}
	d.halves, d.school = append(d.halves, h), append(d.school, n)
}

func (d *Days) upTo(counts []int32, day domain.Date) int64 {
	i := min(int(day-d.first), len(counts)-1)
	if i < 0 {
		return 0
	}
	return int64(counts[i])
}

// Halves is how many halves of days of school there are between two days, both included.
func (d *Days) Halves(from, to domain.Date) int64 {
	if from > to {
		return 0
	}
	return d.upTo(d.halves, to) - d.upTo(d.halves, from-1)
}

// Weight is how many halves of a day are school: 0, 1 or 2.
func (d *Days) Weight(day domain.Date) int64 { return d.Halves(day, day) }

// Number counts the days with school up to a day, so that those which follow one another have
// numbers that do.
func (d *Days) Number(day domain.Date) int64 { return d.upTo(d.school, day) }

// Add adds the days in membership of whoever is enrolled from a day to another, both included, n
// times. In a term for which the school says how many days it has, that is the exact part of them
// which the days of the calendar are of all of the term's.
func (d *Days) Add(to *exact.Sum, first, last domain.Date, n int64) {
	rest := d.Halves(first, last)
	for _, p := range d.parts {
		h := d.Halves(max(first, p.from), min(last, p.to))
		to.Add(n*h*p.days, p.halves)
		rest -= h
	}
	to.Add(n*rest, 2)
}
