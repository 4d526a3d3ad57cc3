package verify

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/calendar"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// mark is the place of a mark: there is one for a student, a day and a session.
type mark struct {
	date    domain.Date
	session string
}

// marked is what is marked there.
type marked struct {
	class, status string
	corrected     bool
}

// mark takes a mark. A later one for the same session takes the place of the one before, unless that
// is a correction and the later one is none.
func (s *school) mark(e *domain.Envelope, m *attendance.Marked, corrected bool) {
	marks, key := entry(s.marks, m.StudentID), mark{m.Date, m.Session}
	if marks[key].corrected && !corrected {
		return
	}
	absent := m.Status == attendance.AbsentUnexcused
	if was := marks[key].status == attendance.AbsentUnexcused; absent != was {
		days := entry(s.absences, m.StudentID)
		days[m.Date] = append(days[m.Date],
			consumers.AbsenceChange{Position: e.Position.Offset, Session: m.Session, Absent: absent})
	}
	marks[key] = marked{m.ClassID, m.Status, corrected}
}

// presence returns the marks of a student, by day and session.
func (s *school) presence(k consumers.PeriodKey) (all []presence.Mark) {
	for at, m := range s.marks[k.ID] {
		if at.date >= k.From && at.date <= k.To {
			all = append(all, presence.Mark{
				Date: at.date, ClassID: m.class,
				Session: presence.Session{Session: at.session, Status: m.status},
			})
		}
	}
	slices.SortFunc(all, func(a, b presence.Mark) int {
		return cmp.Or(cmp.Compare(a.Date, b.Date),
			strings.Compare(a.Session.Session, b.Session.Session))
	})
	return all
}

// stays returns when a student was in which home class.
func (s *school) stays(studentID string) (all []presence.Stay) {
	t := s.directory.enrolled[studentID].read()
	for _, of := range t.all {
		days := []domain.Date{of.from}
		for _, w := range t.placed {
			if w.on > of.from && (of.to == 0 || w.on < of.to) {
				days = append(days, w.on)
			}
		}
		for _, day := range days {
			class := t.placeOn(day).class
			if last := len(all) - 1; day != of.from {
				if all[last].ClassID == class {
					continue
				}
				all[last].To = day - 1
			}
			all = append(all, presence.Stay{ClassID: class, From: day})
		}
		if of.to != 0 {
			all[len(all)-1].To = of.to - 1
		}
	}
	return all
}

// classDays returns on which days a home class has marks: its own, and those of sections whose
// students are in it.
func (s *school) classDays(k consumers.PeriodKey) []domain.Date {
	days := map[domain.Date]bool{}
	for studentID, marks := range s.marks {
		for at, m := range marks {
			if at.date < k.From || at.date > k.To {
				continue
			}
			if m.class == k.ID || s.directory.section(m.class) &&
				s.directory.homeOn(studentID, at.date) == k.ID {
				days[at.date] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(days))
}

// marked counts the marks of the school.
func (s *school) marked(k consumers.PeriodKey) (c consumers.MarkCount) {
	for _, marks := range s.marks {
		for at, m := range marks {
			if at.date < k.From || at.date > k.To {
				continue
			}
			c.Marks++
			if m.status == attendance.Present || m.status == attendance.Late {
				c.There++
			}
		}
	}
	return c
}

// said is a fact of the calendar with when it was said.
type said[T any] struct {
	fact T
	by   statement
}

// set keeps what was said last.
func set[K comparable, T any](of map[K]said[T], key K, e *domain.Envelope, fact T) {
	by := begin(e, 0, place{})
	if was, ok := of[key]; !ok || !was.by.later(&by) {
		of[key] = said[T]{fact, by}
	}
}

type classDay struct {
	date  domain.Date
	class string
}

func (s *school) daySet(e *domain.Envelope, m *calendar.DaySet) {
	classes := m.ClassIDs
	if len(classes) == 0 {
		classes = []string{""}
	}
	for _, class := range classes {
		set(s.days, classDay{m.Date, class}, e, m.Kind)
	}
}

func (s *school) calendarYears() (all []calendar.YearSet) {
	for _, y := range s.years {
		all = append(all, *y.fact)
	}
	slices.SortFunc(all, func(a, b calendar.YearSet) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Year, b.Year))
	})
	return all
}

func (s *school) calendarDays(k consumers.PeriodKey) (all []calendar.DaySet) {
	for at, d := range s.days {
		if at.date < k.From || at.date > k.To {
			continue
		}
		of := calendar.DaySet{Date: at.date, Kind: d.fact}
		if at.class != "" {
			of.ClassIDs = []string{at.class}
		}
		all = append(all, of)
	}
	slices.SortFunc(all, func(a, b calendar.DaySet) int {
		return cmp.Or(cmp.Compare(a.Date, b.Date), slices.Compare(a.ClassIDs, b.ClassIDs))
	})
	return all
}
