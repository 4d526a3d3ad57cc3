package simulate

import (
	"iter"
	"math"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/student"
)

const (
	classSize = 28
	grades    = 10
)

// School is one school in the middle of its year.
type School struct {
	id, source string
	index      int // of the next school day
	days       int // in all
	calendar   *calendar
	country    *country
	r          *rand.Rand
	waveDay    float64 // the school day on which the winter wave is at its height
	classes    []homeClass
	students   []pupil
	later      agenda
	yield      func(*domain.Envelope) bool
	stopped    bool
	clock      time.Time // of the last event: time never goes back
}

type homeClass struct {
	id       string
	grade    int
	students []int32 // by index
}

// pupil is what the simulation knows about a student. There may be millions, so it is small.
type pupil struct {
	id         string
	class      int32
	firstChild int32 // of the family, by index: the student or a sibling of a lower grade
	family     family
	gone       bool    // has left the school
	away       bool    // today
	excuses    bool    // the family sends notes
	illFor     int8    // further days
	absence    float32 // chance of falling ill on an ordinary day
	late       float32 // chance of being late
	ability    float32 // standard normal
	aptitude   [subjectCount]float32
}

func newSchool(c Config, year *calendar, id string, index int, source string) *School {
	r := rand.New(rand.NewPCG(c.Seed, uint64(index)))
	s := &School{
		id:       id,
		source:   source,
		days:     c.Days,
		calendar: year,
		country:  &countries[index%len(countries)],
		r:        r,
		waveDay:  85 + 12*r.NormFloat64(),
		students: make([]pupil, c.Students),
	}
	count := (c.Students + classSize - 1) / classSize
	s.classes = make([]homeClass, count)
	for i := range s.classes {
		grade := 1 + i*grades/max(count, grades)
		if count < grades {
			grade = 1 + i
		}
		s.classes[i] = homeClass{grade: grade}
	}
	letter := 0
	for i := range s.classes {
		if letter++; i == 0 || s.classes[i-1].grade != s.classes[i].grade {
			letter = 0
		}
		s.classes[i].id = strconv.Itoa(s.classes[i].grade) + parallel(letter)
	}
	for i := range s.students {
		class := i * count / c.Students
		p := &s.students[i]
		*p = pupil{
			id:      numbered("st-", i+1, 4),
			class:   int32(class),
			family:  newFamily(r),
			excuses: r.Float64() < 0.8,
			absence: float32(0.014 * math.Exp(0.75*r.NormFloat64())),
			late:    float32(0.015 * math.Exp(0.9*r.NormFloat64())),
			ability: float32(r.NormFloat64()),
		}
		for k := range p.aptitude {
			p.aptitude[k] = float32(r.NormFloat64())
		}
		s.classes[class].students = append(s.classes[class].students, int32(i))
	}
	s.siblings(r)
	return s
}

// parallel names the parallel classes of a grade: A, B, … Z, AA, AB.
func parallel(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return parallel(n/26-1) + parallel(n%26)
}

// ID is the school's id.
func (s *School) ID() string { return s.id }

// Events yields what is left of the school's year, in the order of time. When the caller stops in
// the middle of a day, the rest of that day is lost.
func (s *School) Events() iter.Seq[*domain.Envelope] {
	return func(yield func(*domain.Envelope) bool) {
		for !s.done() && s.day(yield) {
		}
	}
}

func (s *School) done() bool { return s.stopped || s.index == s.days }

// day yields the events from the end of the last school day to the end of the next, and reports
// whether the caller wants more.
func (s *School) day(yield func(*domain.Envelope) bool) bool {
	s.yield = yield
	today := s.calendar.days[s.index]
	if s.index == 0 {
		s.begin(today)
	}
	s.due(at(today, 8*time.Hour))
	s.morning(today)
	s.due(at(today, 11*time.Hour))
	s.lessons(today)
	s.due(at(today, 15*time.Hour))
	s.office(today)
	s.due(at(today, 24*time.Hour))
	s.index++
	return !s.stopped
}

// emit yields an event that happens at a time of day, or just after the last one if that was later.
func (s *School) emit(when time.Time, id, wireType string, data domain.Event) {
	if s.stopped {
		return
	}
	if when.Before(s.clock) {
		when = s.clock
	}
	s.clock = when
	s.stopped = !s.yield(&domain.Envelope{
		ID:      id,
		Source:  s.source,
		Type:    wireType,
		School:  s.id,
		Subject: data.Subject(),
		Time:    when,
		Data:    data,
	})
}

// begin enrols the students, with their guardians, defines the classes, and assigns the staff.
func (s *School) begin(today domain.Date) {
	s.past(today)
	when := at(today, 6*time.Hour)
	s.setCalendar(when)
	s.defineHomes(when)
	households := make(map[int32]household, len(s.students))
	unlinks := false
	for i := range s.students {
		p := &s.students[i]
		c := &s.classes[p.class]
		home, found := households[p.firstChild]
		if !found {
			home = s.newHousehold(p)
			households[p.firstChild] = home
		}
		name := home.name.relative(s.r)
		id := "enrolled-" + string(s.calendar.year) + "-" + p.id
		s.emit(when, id, student.TypeEnrolled, &student.Enrolled{
			StudentID:  p.id,
			GivenName:  name.given,
			FamilyName: name.family,
			BirthDate:  s.birthDate(today, c.grade),
			ClassID:    c.id,
			GradeLevel: domain.Label(strconv.Itoa(c.grade)),
			On:         today,
		})
		s.link(when, p, home)
		if !unlinks && len(home.guardians) > 1 {
			unlinks = true
			s.planUnlink(p)
		}
	}
	s.staff(when, today)
	s.planTransfer()
}
