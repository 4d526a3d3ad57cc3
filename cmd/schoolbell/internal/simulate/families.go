package simulate

import (
	"math/rand/v2"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/guardian"
)

// unlinkDay is the school day on which a guardian of one student loses the rights about them.
const unlinkDay = 40

// household is the family of one or more students: their guardians are the same people.
type household struct {
	name      person
	guardians []guardian.Linked
}

// siblings puts about a quarter of the students into the family of a student of a lower grade, with
// whom they share what depends on the family. No family has two children in the same grade, whose
// birth dates would have to fit.
func (s *School) siblings(r *rand.Rand) {
	grade := func(i int32) int { return s.classes[s.students[i].class].grade }
	// The last child so far of a family, by its first.
	youngest := make(map[int32]int32, len(s.students))
	below := 0 // how many students are of lower grades
	for i := range s.students {
		p := &s.students[i]
		p.firstChild = int32(i)
		youngest[p.firstChild] = p.firstChild
		if i > 0 && grade(int32(i)) != grade(int32(i-1)) {
			below = i
		}
		if below == 0 || r.Float64() >= 0.25 {
			continue
		}
		first := s.students[r.IntN(below)].firstChild
		if grade(youngest[first]) == grade(int32(i)) {
			continue
		}
		p.firstChild, youngest[first] = first, int32(i)
		p.family.pays, p.excuses = s.students[first].family.pays, s.students[first].excuses
	}
}

// eldest reports that a student is the first child of a family, or the only one.
func (p *pupil) eldest(s *School) bool { return s.students[p.firstChild].id == p.id }

var relations = [][2]string{
	{"Mother", "Father"},
	{"Mother", "Father"},
	{"Father", "Mother"},
	{"Mother", "Grandmother"},
	{"Guardian", "Aunt"},
	{"Mother", "Mother"},
}

// newHousehold makes up the family of a first child: one or two guardians, the first of them the
// primary one.
func (s *School) newHousehold(p *pupil) household {
	h := household{name: s.country.person(s.r)}
	relation := pick(s.r, relations)
	count := 1
	if s.r.Float64() < 0.75 {
		count = 2
	}
	for n := range count {
		g := guardian.Linked{
			GuardianID: s.guardianID(p, n),
			Name:       h.name.relative(s.r).String(),
			Relation:   relation[n],
			Language:   h.name.of.language,
			Primary:    n == 0,
		}
		if s.r.Float64() < 0.95 {
			g.Phone = s.country.number(s.r)
		}
		if s.r.Float64() < 0.7 {
			g.Email = email(g.GuardianID)
		}
		h.guardians = append(h.guardians, g)
	}
	return h
}

// link connects a student with the guardians of the household.
func (s *School) link(when time.Time, p *pupil, h household) {
	for _, g := range h.guardians {
		g.StudentID = p.id
		id := "linked-" + string(s.calendar.year) + "-" + g.GuardianID + "-" + p.id
		s.emit(when, id, guardian.TypeLinked, &g)
	}
}

// guardianID is the id of a student's guardian, from 0. It names the household's first child.
func (s *School) guardianID(p *pupil, n int) string {
	return "g-" + s.students[p.firstChild].id[len("st-"):] + string(rune('a'+n))
}

// planUnlink ends the link of a student with a second guardian in the course of the year.
func (s *School) planUnlink(p *pupil) {
	ends := &guardian.Unlinked{
		GuardianID: s.guardianID(p, 1), StudentID: p.id, On: s.calendar.days[unlinkDay+1],
	}
	s.later.at(at(s.calendar.days[unlinkDay], 14*time.Hour), func(when time.Time) {
		id := "unlinked-" + string(s.calendar.year) + "-" + ends.GuardianID + "-" + p.id
		s.emit(when, id, guardian.TypeUnlinked, ends)
	})
}

// birthDate is the birth date of a student who started school at six.
func (s *School) birthDate(today domain.Date, grade int) domain.Date {
	return today.AddDays(-365*(grade+5) - s.r.IntN(365))
}
