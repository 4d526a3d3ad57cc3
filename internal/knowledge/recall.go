package knowledge

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
)

// Next implements [consumers.Snapshot].
func (h *History) Next(context.Context, int32) (int64, error) { return h.next, nil }

// Close implements [consumers.Snapshot].
func (h *History) Close() {}

// Answer implements [consumers.Snapshot].
func (h *History) Answer(_ context.Context, questions []*consumers.Question) error {
	for _, q := range questions {
		s := h.schools[q.School]
		if s == nil {
			s = &school{}
		}
		if q.Answer = s.answer(q.Asked); q.Answer == nil {
			return fmt.Errorf("question of kind %d is not known", q.Kind)
		}
	}
	return nil
}

func (s *school) answer(q consumers.Asked) any {
	switch q.Kind {
	case consumers.AskStudent:
		return value(s.students[q.ID])
	case consumers.AskGuardians:
		return s.guardiansOf(q.ID)
	case consumers.AskGuardian:
		return value(s.guardians[q.ID])
	case consumers.AskClass:
		var class []consumers.Student
		for _, id := range slices.Sorted(maps.Keys(s.classes[q.ID])) {
			class = append(class, *s.students[id])
		}
		return class
	case consumers.AskClasses:
		var ids []string
		for id, students := range s.classes {
			if len(students) > 0 {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	case consumers.AskStaff:
		return slices.SortedFunc(maps.Values(s.staff), func(a, b consumers.Staff) int { return cmp.Compare(a.ID, b.ID) })
	case consumers.AskInvoice:
		return s.invoice(q.ID)
	case consumers.AskPayment:
		return value(s.payments[q.ID])
	case consumers.AskAccount:
		return s.account(q.ID)
	case consumers.AskAttendance:
		return value(s.attendance[q.ID])
	case consumers.AskAttendanceWithin:
		return s.attendanceWithin(q)
	case consumers.AskScores:
		return s.scoresOf(q)
	case consumers.AskRemarks:
		var all []consumers.Remark
		remarks := s.remarks[q.ID][term{q.Year, q.Term}]
		for _, subject := range slices.Sorted(maps.Keys(remarks)) {
			all = append(all, consumers.Remark{Subject: subject, Text: remarks[subject]})
		}
		return all
	case consumers.AskAverages:
		return s.averages(q)
	case consumers.AskRank:
		return s.rank(q)
	case consumers.AskPublished:
		return s.publishedTo(q)
	}
	return nil
}

func value[T any](v *T) T {
	if v == nil {
		return *new(T)
	}
	return *v
}

func (s *school) guardiansOf(studentID string) []consumers.Guardian {
	var all []consumers.Guardian
	for id, l := range s.links[studentID] {
		g := *s.guardians[id]
		g.Relation, g.Primary = l.relation, l.primary
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b consumers.Guardian) int {
		if a.Primary != b.Primary {
			if a.Primary {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.ID, b.ID)
	})
	return all
}

func (s *school) invoice(id string) consumers.Invoice {
	i := value(s.invoices[id])
	if i.Amount == 0 {
		return i
	}
	i.Open = i.Amount - i.Waived
	for _, p := range s.payments {
		if p.InvoiceID == id && !p.Reversed {
			i.Open -= p.Amount
		}
	}
	return i
}

// account puts the movements of a student's fees together.
func (s *school) account(studentID string) []consumers.Movement {
	var all []consumers.Movement
	add := func(kind consumers.MovementKind, m movement, about consumers.Movement) {
		about.Kind, about.Position, about.At, about.Amount, about.Reason = kind, m.position, m.at, m.amount, m.reason
		all = append(all, about)
	}
	for id, i := range s.invoices {
		if i.Amount == 0 || i.StudentID != studentID {
			continue
		}
		about := consumers.Movement{InvoiceID: id, Category: i.Category, Currency: i.Currency, Year: i.Year, Term: i.Term}
		for _, w := range s.waivers[id] {
			add(consumers.MovedWaiver, w, about)
		}
		about.DueOn = i.DueOn
		add(consumers.MovedInvoice, s.began["invoice "+id], about)
	}
	for id, p := range s.payments {
		if p.Amount == 0 || p.StudentID != studentID {
			continue
		}
		i := value(s.invoices[p.InvoiceID])
		about := consumers.Movement{
			InvoiceID: p.InvoiceID, PaymentID: id, Category: i.Category, Currency: p.Currency, Method: p.Method, Year: i.Year, Term: i.Term,
		}
		add(consumers.MovedPayment, s.began["payment "+id], about)
		if p.Reversed {
			back := s.reversals[id]
			back.amount = p.Amount
			add(consumers.MovedReversal, back, about)
		}
	}
	slices.SortFunc(all, func(a, b consumers.Movement) int { return cmp.Compare(a.Position, b.Position) })
	return all
}

func (s *school) attendanceWithin(q consumers.Asked) consumers.Attendance {
	var counts consumers.Attendance
	for m, status := range s.marks[q.ID] {
		if m.date >= q.From && m.date <= q.To {
			count(&counts, status, +1)
		}
	}
	return counts
}

func (s *school) scoresOf(q consumers.Asked) []consumers.Score {
	var all []consumers.Score
	for id, c := range s.counted[q.ID] {
		if c.term != (term{q.Year, q.Term}) {
			continue
		}
		score := s.scores[q.ID][id]
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

// sum is a number of scores and their points.
type sum struct{ scores, points int64 }

func (s *school) averages(q consumers.Asked) []consumers.Average {
	bySubject := map[string]sum{}
	for _, scores := range s.counted {
		for _, v := range scores {
			if v.term == (term{q.Year, q.Term}) && v.class == q.ClassID {
				a := bySubject[v.subject]
				bySubject[v.subject] = sum{a.scores + 1, a.points + v.points}
			}
		}
	}
	var all []consumers.Average
	for _, subject := range slices.Sorted(maps.Keys(bySubject)) {
		a := bySubject[subject]
		all = append(all, consumers.Average{Subject: subject, Percent: float64(a.points) / 100 / float64(a.scores), Scores: a.scores})
	}
	return all
}

func (s *school) rank(q consumers.Asked) consumers.Rank {
	byStudent := map[string]sum{}
	for id, scores := range s.counted {
		for _, v := range scores {
			if v.term == (term{q.Year, q.Term}) && v.class == q.ClassID {
				a := byStudent[id]
				byStudent[id] = sum{a.scores + 1, a.points + v.points}
			}
		}
	}
	mine, ok := byStudent[q.ID]
	if !ok {
		return consumers.Rank{}
	}
	r := consumers.Rank{Place: 1, Of: len(byStudent)}
	for _, a := range byStudent {
		if a.points*mine.scores > mine.points*a.scores {
			r.Place++
		}
	}
	return r
}

func (s *school) publishedTo(q consumers.Asked) []consumers.Published {
	var all []consumers.Published
	for of, at := range s.published[q.ClassID] {
		if of.year == q.Year {
			all = append(all, consumers.Published{Term: of.term, At: at})
		}
	}
	slices.SortFunc(all, func(a, b consumers.Published) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Term, b.Term))
	})
	return all
}
