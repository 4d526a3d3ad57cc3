package plan

import (
	"github.com/schoolbell/schoolbell/consumers/plan/paper"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/exact"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// attended is a student's attendance between two days, by the definitions of the analytics.
type attended struct {
	presence.Basis
	presence.Record
	stays []presence.Stay
	marks []presence.Mark
}

// attended looks up the attendance of a student, up to today at the latest.
func (d *draft) attended(studentID string, from, to domain.Date) attended {
	years := d.Years()
	year := calendar.YearOf(years, d.settings.YearFrom, from)
	rules := d.settings.Attendance
	a := attended{Basis: presence.Basis{
		Rules: rules, Mode: rules.Mode, From: from, To: min(to, d.Today()), Today: d.Today(),
	}}
	if a.Mode == "" {
		marked := d.Marked(year.From, min(year.To, d.Today()))
		a.Mode, a.Guessed = presence.GuessMode(marked.There, marked.Marks), true
	}
	first, last := from, to
	for _, y := range years {
		if y.From <= to && from <= y.To { // the days of a term count as a whole
			first, last = min(first, y.From), max(last, y.To)
		}
	}
	a.Calendar = calendar.New(years, d.Days(first, last), d.settings.SchoolWeek(), from, to)
	a.stays, a.marks = d.Stays(studentID), d.Presence(studentID, a.From, a.To)
	if a.Calendar.Derived() {
		d.derive(&a)
	}
	a.Record = a.Basis.Record(a.stays, a.marks)
	return a
}

// derive tells a calendar that is derived on which days the student's classes have marks.
func (d *draft) derive(a *attended) {
	if a.stays == nil { // whom nobody has enrolled: the student's own marks
		for _, m := range a.marks {
			a.Calendar.Mark(m.ClassID, m.Date)
		}
	}
	seen := map[string]bool{}
	for _, s := range a.stays {
		if seen[s.ClassID] {
			continue
		}
		seen[s.ClassID] = true
		for _, day := range d.ClassDays(s.ClassID, a.From, a.To) {
			a.Calendar.Mark(s.ClassID, day)
		}
	}
}

// yearStart returns the first day of the school year of a date.
func (d *draft) yearStart(of domain.Date) domain.Date {
	return calendar.YearOf(d.Years(), d.settings.YearFrom, of).From
}

// thisYear is the attendance of a student in the current school year.
func (d *draft) thisYear(studentID string) (attended, calendar.YearSet) {
	year := calendar.YearOf(d.Years(), d.settings.YearFrom, d.Today())
	return d.attended(studentID, year.From, d.Today()), year
}

// chronic reports that a student is absent too often in the current school year. Nothing follows from
// a mode that is only guessed: families are not seen what may not be so.
func (d *draft) chronic(studentID string) (a attended, year calendar.YearSet, chronic bool) {
	if d.settings.Attendance.Mode == "" {
		return a, year, false
	}
	a, year = d.thisYear(studentID)
	return a, year, a.HasRates() && a.IsChronic(&a.Record)
}

// shown is a number of days as families see it.
func shown(days *exact.Sum) float64 { return exact.Round(days.Rat(), 2) }

// onPaper is what a report card says of it: nothing where there can be no rate.
func (a *attended) onPaper() (p paper.Attendance) {
	rate := a.Rate()
	if rate == nil || !a.HasRates() {
		return p
	}
	p.Days, p.Absent, p.Rate = shown(&a.Membership), shown(&a.Absent), *rate
	unexcused := make([]presence.Mark, len(a.marks))
	for i, m := range a.marks {
		switch m.Status {
		case attendance.Late:
			p.Late++
		case attendance.AbsentExcused:
			m.Status = attendance.Present
		}
		unexcused[i] = m
	}
	r := a.Basis.Record(a.stays, unexcused)
	p.Unexcused = shown(&r.Absent)
	return p
}
