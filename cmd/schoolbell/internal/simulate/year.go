package simulate

import (
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	calendarfacts "github.com/schoolbell/schoolbell/domain/calendar"
)

// setCalendar says when the terms are, which days of them are holidays, and that the last day before
// the holidays ends at noon.
func (s *School) setCalendar(when time.Time) {
	c := s.calendar
	year := &calendarfacts.YearSet{Year: c.year, From: c.days[0], To: c.days[MaxDays-1]}
	for i, name := range termLabels {
		last := (i + 1) * termDays
		if i == len(termLabels)-1 {
			last = MaxDays // what is beyond three terms belongs to the third
		}
		year.Terms = append(year.Terms, calendarfacts.Term{
			Term: name, From: c.days[i*termDays], To: c.days[last-1],
		})
	}
	s.emit(when, "year-"+string(c.year), calendarfacts.TypeYearSet, year)
	for day := year.From; day <= year.To; day++ {
		_, isSchool := slices.BinarySearch(c.days, day)
		switch weekday := day.Weekday(); {
		case weekday == time.Saturday || weekday == time.Sunday:
		case !isSchool:
			s.setDay(when, day, calendarfacts.Holiday, "Holidays")
		case day < year.To && s.holidaysFollow(day):
			s.setDay(when, day, calendarfacts.Half, "The last day before the holidays")
		}
	}
}

// holidaysFollow reports that there is no school for more than a weekend after a day.
func (s *School) holidaysFollow(day domain.Date) bool {
	i, _ := slices.BinarySearch(s.calendar.days, day)
	return s.calendar.days[i+1]-day > 3
}

func (s *School) setDay(when time.Time, day domain.Date, kind, note string) {
	s.emit(when, "day-"+day.String(), calendarfacts.TypeDaySet,
		&calendarfacts.DaySet{Date: day, Kind: kind, Note: note})
}
