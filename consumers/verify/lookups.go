package verify

import (
	"cmp"
	"context"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/calendar"
)

// Snapshot returns the facts as they are now. It changes with the history.
func (h *History) Snapshot() *consumers.Snapshot {
	return &consumers.Snapshot{
		Next:  func(int32) int64 { return h.next },
		Close: func() {},
		Lookups: consumers.Lookups{
			Student:   onDay(h, (*school).studentOn),
			Guardians: onDay(h, (*school).guardiansOn),
			Guardian:  byKey(h, (*school).guardian),
			Class:     onDay(h, (*school).classOn),
			Classes: onDay(h, func(s *school, _ string, day domain.Date) []string {
				return s.directory.homesOn(day)
			}),
			Staff: onDay(h, func(s *school, _ string, day domain.Date) []consumers.Staff {
				return s.staffOn(day)
			}),
			Invoice: byKey(h, func(s *school, id string) consumers.Invoice {
				return s.money.invoice(id)
			}),
			Payment: byKey(h, func(s *school, id string) consumers.Payment {
				return s.money.payment(id)
			}),
			Account: byKey(h, func(s *school, id string) []consumers.Movement {
				return s.money.account(id)
			}),
			Years: byKey(h, func(s *school, _ string) []calendar.YearSet {
				return s.calendarYears()
			}),
			Days:  within(h, (*school).calendarDays),
			Stays: byKey(h, (*school).stays),
			Absences: onDay(h, func(s *school, id string, day domain.Date) []consumers.AbsenceChange {
				return s.absences[id][day]
			}),
			Presence:  within(h, (*school).presence),
			ClassDays: within(h, (*school).classDays),
			Marked:    within(h, (*school).marked),
			Scores: each(func(k consumers.TermKey) []consumers.Score {
				return h.school(k.School).scoresOf(k)
			}),
			Remarks: each(func(k consumers.TermKey) []consumers.Remark {
				return h.school(k.School).remarksOn(k)
			}),
			Marks: each(func(k consumers.TermKey) []consumers.Mark {
				return h.school(k.School).marksOf(k)
			}),
			Published: each(func(k consumers.YearKey) []consumers.Published {
				return h.school(k.School).publishedTo(k)
			}),
		},
	}
}

// school returns what there is of a school, which is nothing before its first event.
func (h *History) school(id string) *school {
	if s := h.schools[id]; s != nil {
		return s
	}
	return &school{}
}

// each makes a lookup of a function for one key.
func each[K comparable, V any](get func(K) V) consumers.Lookup[K, V] {
	return func(_ context.Context, keys []K) ([]V, error) {
		values := make([]V, len(keys))
		for i, key := range keys {
			values[i] = get(key)
		}
		return values, nil
	}
}

// byKey makes a lookup of a function of a school and an id.
func byKey[V any](h *History, get func(*school, string) V) consumers.Lookup[consumers.Key, V] {
	return each(func(k consumers.Key) V { return get(h.school(k.School), k.ID) })
}

// onDay makes a lookup of a function of a school, an id and a day.
func onDay[V any](
	h *History, get func(*school, string, domain.Date) V,
) consumers.Lookup[consumers.DayKey, V] {
	return each(func(k consumers.DayKey) V { return get(h.school(k.School), k.ID, k.On) })
}

// within makes a lookup of a function of a school and a period.
func within[V any](
	h *History, get func(*school, consumers.PeriodKey) V,
) consumers.Lookup[consumers.PeriodKey, V] {
	return each(func(k consumers.PeriodKey) V { return get(h.school(k.School), k) })
}

// value returns the zero value for nil: a fact that there is not.
func value[T any](v *T) T {
	if v == nil {
		return *new(T)
	}
	return *v
}

func (s *school) remarksOn(k consumers.TermKey) []consumers.Remark {
	type remark struct {
		year domain.Label
		consumers.Remark
	}
	var found []remark
	for of, remarks := range s.remarks[k.ID] {
		if of.is(k.Year, k.Term) {
			for subject, text := range remarks {
				found = append(found, remark{of.year, consumers.Remark{Subject: subject, Text: text}})
			}
		}
	}
	slices.SortFunc(found, func(a, b remark) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.year, b.year))
	})
	var all []consumers.Remark
	for _, r := range found {
		all = append(all, r.Remark)
	}
	return all
}

func (s *school) publishedTo(k consumers.YearKey) []consumers.Published {
	var all []consumers.Published
	for of, at := range s.published[k.ID] {
		if domain.YearOf(of.year) == domain.YearOf(k.Year) {
			all = append(all, consumers.Published{Term: of.term, At: at})
		}
	}
	slices.SortFunc(all, func(a, b consumers.Published) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Term, b.Term))
	})
	return all
}
