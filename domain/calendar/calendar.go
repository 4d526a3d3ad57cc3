// Package calendar holds the facts about a school's year, what its terms are and which single days
// are special, and the arithmetic of school days that follows from them (days.go).
//
// Which days are instructional is decided in this order: what was said of the day for the class;
// what was said of it for the school; else, inside a term, the days of the week on which the school
// teaches. Outside of all terms none is. A day about which the same was said twice is as the later
// event says, by its time.
package calendar

import (
	"fmt"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// Wire names.
const (
	TypeYearSet = "schoolbell.calendar.year_set.v1"
	TypeDaySet  = "schoolbell.calendar.day_set.v1"
)

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[YearSet](TypeYearSet, "A school year and its terms are given their dates.",
		domain.OffTimeline),
	domain.NewFact[DaySet](TypeDaySet, "A day is a school day, half of one, or none.",
		domain.OffTimeline),
}

// The kinds of days.
const (
	Instructional = "instructional"
	Half          = "half"    // of which half is school: it counts as half a day
	Holiday       = "holiday" // for all
	Closed        = "closed"  // for once: snow, an election, an excursion of the staff
)

// YearSet: a school year has its dates, and those of its terms. Setting the year of the same name
// again replaces all that was said of it.
type YearSet struct {
	Year  domain.Label `json:"year"`
	From  domain.Date  `json:"from"`
	To    domain.Date  `json:"to"` // its last day
	Terms []Term       `json:"terms"`
}

// Term is a part of a school year with school.
type Term struct {
	Term domain.Label `json:"term"`
	From domain.Date  `json:"from"`
	To   domain.Date  `json:"to"` // its last day
	// InstructionalDays is for how many days whoever is enrolled through all of the term is in
	// membership, where the school says so: single days need not be set then. Without it, its days by
	// the calendar count.
	InstructionalDays int64 `json:"instructional_days,omitzero"`
}

const (
	maxTerms    = 24
	maxYearDays = 2 * 366
)

// Subject is the year.
func (e *YearSet) Subject() string { return string(e.Year) }

// Rooms are only the school's.
func (e *YearSet) Rooms() []domain.Room { return nil }

// SeenBy shows it to all.
func (e *YearSet) SeenBy(domain.Audience) domain.Event { return e }

// Validate implements [domain.Event].
func (e *YearSet) Validate(f *domain.Faults) {
	f.Label("/year", e.Year)
	f.PlannedDate("/from", e.From)
	f.PlannedDate("/to", e.To)
	f.Check("/to", e.To >= e.From && e.To < e.From.AddDays(maxYearDays),
		"must be the year's last day, at most %d days after the first", maxYearDays-1)
	f.Entries("/terms", len(e.Terms), maxTerms)
	for i, t := range e.Terms[:min(len(e.Terms), maxTerms)] {
		at := fmt.Sprintf("/terms/%d", i)
		f.Label(at+"/term", t.Term)
		f.PlannedDate(at+"/from", t.From)
		f.PlannedDate(at+"/to", t.To)
		f.AtLeast(at+"/instructional_days", t.InstructionalDays, 0)
		f.Check(at+"/from", t.From >= e.From, "must not be before the year begins")
		f.Check(at+"/to", t.To >= t.From && t.To <= e.To, "must be in the year, and not before from")
		f.Check(at+"/instructional_days", t.InstructionalDays <= max(int64(t.To-t.From)+1, 0),
			"must not be more than the days of the term")
		for _, other := range e.Terms[:i] {
			f.Check(at+"/term", t.Term != other.Term, "is the name of another term of the year")
			f.Check(at+"/from", t.From > other.To || t.To < other.From,
				"the term must not overlap with %s", other.Term)
		}
	}
}

// DaySet: a day is of a kind, for the whole school or for some of its classes. Setting it again, for
// the same classes, replaces what was said.
type DaySet struct {
	Date     domain.Date `json:"date"`
	Kind     string      `json:"kind"`
	ClassIDs []string    `json:"class_ids,omitzero"` // home classes; none for the school
	Note     string      `json:"note,omitzero" impersonal:"about a day of the school"`
}

// Subject is the day.
func (e *DaySet) Subject() string { return e.Date.String() }

// Rooms are only the school's.
func (e *DaySet) Rooms() []domain.Room { return nil }

// SeenBy shows it to all.
func (e *DaySet) SeenBy(domain.Audience) domain.Event { return e }

// Validate implements [domain.Event].
func (e *DaySet) Validate(f *domain.Faults) {
	f.PlannedDate("/date", e.Date)
	f.OneOf("/kind", e.Kind, Instructional, Half, Holiday, Closed)
	f.IDs("/class_ids", e.ClassIDs)
	f.OptionalName("/note", e.Note)
}

// Week are the days of the week on which a school teaches. The zero value is Monday to Friday.
type Week [7]bool

// weekdays are the names of the days as settings write them.
var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// WeekdayName is the name of a day of the week: "mon".
func WeekdayName(d time.Weekday) string { return weekdays[d] }

// ParseWeek reads the names of the days; none are Monday to Friday.
func ParseWeek(names []string) (w Week, err error) {
	for _, name := range names {
		i := 0
		for i < len(weekdays) && weekdays[i] != name {
			i++
		}
		if i == len(weekdays) || w[i] {
			return Week{}, fmt.Errorf("must be some of %v, each at most once", weekdays)
		}
		w[i] = true
	}
	return w, nil
}

// Days returns the days of the week, from Monday on.
func (w Week) Days() (days []time.Weekday) {
	for i := range time.Weekday(len(w)) {
		if d := (i + 1) % 7; w.has(d) {
			days = append(days, d)
		}
	}
	return days
}

func (w Week) has(d time.Weekday) bool {
	if w == (Week{}) {
		return d >= time.Monday && d <= time.Friday
	}
	return w[d]
}

// defaultYearFrom is the month in which school years begin where neither the calendar nor the
// settings say it.
const defaultYearFrom = time.August

// YearByMonth is the school year of a day where none is set: it begins with a month of the settings,
// by default with August, and is called "2026-2027", or "2026" when it begins in January.
func YearByMonth(day domain.Date, month int) YearSet {
	if month < 1 || month > 12 {
		month = int(defaultYearFrom)
	}
	year, m, _ := day.Time().Date()
	if int(m) < month {
		year--
	}
	name := fmt.Sprintf("%d-%d", year, year+1)
	if month == 1 {
		name = fmt.Sprint(year)
	}
	return YearSet{
		Year: domain.Label(name), From: domain.NewDate(year, time.Month(month), 1),
		To: domain.NewDate(year+1, time.Month(month), 1).AddDays(-1),
	}
}
