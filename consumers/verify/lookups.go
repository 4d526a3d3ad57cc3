package verify

import (
	"cmp"
	"context"
	"maps"
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
			Averages: each(func(k consumers.TermKey) []consumers.Average {
				return h.school(k.School).averages(k)
			}),
			Rank: each(func(k consumers.RankKey) consumers.Rank {
				return h.school(k.School).rank(k)
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

// scoresOf returns the scores of a student in a term, with what was announced of their assessments.
func (s *school) scoresOf(k consumers.TermKey) []consumers.Score {
	var all []consumers.Score
	for id, c := range s.counted[k.ID] {
		if c.term != (term{k.Year, k.Term}) {
			continue
		}
		score := s.scores[k.ID][id]
		if a := s.announced[id]; a != nil {
			score.Title, score.On = a.Title, a.On
		}
		all = append(all, score)
	}
	slices.SortFunc(all, func(a, b consumers.Score) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.AssessmentID, b.AssessmentID))
	})
	return all
}

func (s *school) remarksOn(k consumers.TermKey) []consumers.Remark {
	var all []consumers.Remark
	remarks := s.remarks[k.ID][term{k.Year, k.Term}]
	for _, subject := range slices.Sorted(maps.Keys(remarks)) {
		all = append(all, consumers.Remark{Subject: subject, Text: remarks[subject]})
	}
	return all
}

// sum is a number of scores and their points.
type sum struct{ scores, points int64 }

// sums adds up the scores that count for a class in a term, by what the function by names.
func (s *school) sums(k consumers.TermKey, by func(studentID string, c counted) string) map[string]sum {
	sums := map[string]sum{}
	for studentID, scores := range s.counted {
		for id, c := range scores {
			if c.term == (term{k.Year, k.Term}) &&
				(c.class == k.ID || s.directory.section(c.class) && s.homeOf(studentID, id) == k.ID) {
				was := sums[by(studentID, c)]
				sums[by(studentID, c)] = sum{was.scores + 1, was.points + c.points}
			}
		}
	}
	return sums
}

// homeOf returns the home class of a student on the day of an assessment or, when it was not
// announced, on the day on which the score was entered.
func (s *school) homeOf(studentID, assessmentID string) string {
	day := domain.DateOf(s.scores[studentID][assessmentID].At)
	if a := s.announced[assessmentID]; a != nil {
		day = a.On
	}
	return s.directory.homeOn(studentID, day)
}

func (s *school) averages(k consumers.TermKey) []consumers.Average {
	bySubject := s.sums(k, func(_ string, c counted) string { return c.subject })
	var all []consumers.Average
	for _, subject := range slices.Sorted(maps.Keys(bySubject)) {
		a := bySubject[subject]
		all = append(all, consumers.Average{
			Subject: subject, Percent: float64(a.points) / 100 / float64(a.scores), Scores: a.scores,
		})
	}
	return all
}

// rank compares averages by multiplication: as fractions they would be rounded, and two equal ones
// might differ.
func (s *school) rank(k consumers.RankKey) consumers.Rank {
	byStudent := s.sums(k.TermKey, func(studentID string, _ counted) string { return studentID })
	mine, ok := byStudent[k.StudentID]
	if !ok {
		return consumers.Rank{}
	}
	r := consumers.Rank{Place: 1, Of: len(byStudent)}
	for _, other := range byStudent {
		if other.points*mine.scores > mine.points*other.scores {
			r.Place++
		}
	}
	return r
}

func (s *school) publishedTo(k consumers.YearKey) []consumers.Published {
	var all []consumers.Published
	for of, at := range s.published[k.ID] {
		if of.year == k.Year {
			all = append(all, consumers.Published{Term: of.term, At: at})
		}
	}
	slices.SortFunc(all, func(a, b consumers.Published) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Term, b.Term))
	})
	return all
}
