package simulate

import (
	"strconv"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
)

// electives are taught in sections, whose students come from several home classes: each two
// neighbouring home classes have two of them, and each student chooses one.
var electives = [...]string{"Art", "Computing", "Drama", "Spanish"}

const (
	// leaveDay is the school day on which a teacher of sections leaves. On the next day the
	// successor begins.
	leaveDay = 50
	// pairsPerTeacher is how many pairs of home classes share their teachers of electives.
	pairsPerTeacher = 8
)

// section is a group of students of several home classes who are taught an elective.
type section struct {
	id       string
	elective int
	teacher  int // number of the teacher among those of electives
	homes    []int32
}

// sections lists the sections of the school. An odd last home class joins the pair before it.
func (s *School) sections() []section {
	var all []section
	for first := 0; first == 0 || first+1 < len(s.classes); first += 2 {
		end := min(first+2, len(s.classes))
		if end+1 == len(s.classes) {
			end++
		}
		var homes []int32
		for c := first; c < end; c++ {
			homes = append(homes, int32(c))
		}
		pair := first / 2
		for _, elective := range []int{2 * pair % len(electives), (2*pair + 1) % len(electives)} {
			all = append(all, section{
				id:       strings.ToLower(electives[elective]) + "-" + s.classes[first].id,
				elective: elective,
				teacher:  pair/pairsPerTeacher*len(electives) + elective,
				homes:    homes,
			})
		}
	}
	return all
}

// defineHomes gives the home classes their titles.
func (s *School) defineHomes(when time.Time) {
	for i := range s.classes {
		c := &s.classes[i]
		s.define(when, &class.Defined{
			ClassID: c.id,
			Title:   "Class " + c.id,
			Kind:    class.Home,
			Grades:  domain.To([]string{strconv.Itoa(c.grade)}),
			Room:    domain.To(strconv.Itoa(100*c.grade + i%100)),
		})
	}
}

func (s *School) define(when time.Time, d *class.Defined) {
	d.Year = domain.To(s.calendar.year)
	s.emit(when, "defined-"+string(s.calendar.year)+"-"+d.ClassID, class.TypeDefined, d)
}

// staff has a class teacher for each home class, a few people in the office, and teachers of the
// sections.
func (s *School) staff(when time.Time, today domain.Date) {
	for i := range s.classes {
		assigned := &staff.Assigned{
			StaffID:  numbered("t-", i+1, 3),
			Role:     "teacher",
			ClassIDs: []string{s.classes[i].id, s.classes[(i+1)%len(s.classes)].id},
			Subjects: []string{subjects[i%len(subjects)].name},
		}
		if len(s.classes) == 1 {
			assigned.ClassIDs = assigned.ClassIDs[:1]
		}
		s.assign(when, assigned)
	}
	for _, role := range []string{"admin", "accountant"} {
		s.assign(when, &staff.Assigned{StaffID: role, Role: role, ClassIDs: []string{}})
	}
	hired := make(map[int]bool)
	all := s.sections()
	for _, sec := range all {
		if !hired[sec.teacher] {
			hired[sec.teacher] = true
			s.assignElective(when, s.electiveTeacher(sec.teacher), sec.elective)
		}
		s.openSection(when, sec, today)
	}
	s.planSuccession(all)
}

func (s *School) assign(when time.Time, assigned *staff.Assigned) {
	assigned.Name = s.country.person(s.r).String()
	id := "assigned-" + string(s.calendar.year) + "-" + assigned.StaffID
	s.emit(when, id, staff.TypeAssigned, assigned)
}

// assignElective employs a teacher who has no home class: what they teach are memberships.
func (s *School) assignElective(when time.Time, id string, elective int) {
	s.assign(when, &staff.Assigned{
		StaffID: id, Role: "teacher", ClassIDs: []string{}, Subjects: []string{electives[elective]},
	})
}

// electiveTeacher is the id of a teacher of electives, who are numbered after the class teachers.
func (s *School) electiveTeacher(n int) string { return numbered("t-", len(s.classes)+n+1, 3) }

// openSection defines a section and lets its teacher and its students begin: of the home classes'
// students, every other one.
func (s *School) openSection(when time.Time, sec section, today domain.Date) {
	name := electives[sec.elective]
	var homes, grades []string
	for _, c := range sec.homes {
		homes = append(homes, s.classes[c].id)
		if grade := strconv.Itoa(s.classes[c].grade); len(grades) == 0 || grades[len(grades)-1] != grade {
			grades = append(grades, grade)
		}
	}
	s.define(when, &class.Defined{
		ClassID:  sec.id,
		Title:    name + " " + strings.Join(homes, "/"),
		Kind:     class.Section,
		Course:   domain.To(name),
		Subjects: domain.To([]string{name}),
		Grades:   domain.To(grades),
	})
	s.join(when, sec.id, s.electiveTeacher(sec.teacher), membership.Teacher, today)
	for _, c := range sec.homes {
		for _, i := range s.classes[c].students {
			if int(i)%2 == sec.elective%2 {
				s.join(when, sec.id, s.students[i].id, membership.Student, today)
			}
		}
	}
}

func (s *School) join(when time.Time, section, person, role string, from domain.Date) {
	started := &membership.Started{
		MembershipID: section + "-" + person, ClassID: section, PersonID: person, Role: role,
		Primary: role == membership.Teacher, From: from,
	}
	id := "joined-" + string(s.calendar.year) + "-" + started.MembershipID
	s.emit(when, id, membership.TypeStarted, started)
}

// planSuccession lets the first teacher of electives leave in the course of the year. Leaving ends
// the memberships; those of the successor begin on the same day.
func (s *School) planSuccession(all []section) {
	leaves := s.electiveTeacher(0)
	successor := numbered("t-", len(s.classes)+all[len(all)-1].teacher+len(electives)+1, 3)
	on := s.calendar.days[leaveDay+1]
	s.later.at(at(s.calendar.days[leaveDay], 14*time.Hour), func(when time.Time) {
		id := "left-" + string(s.calendar.year) + "-" + leaves
		s.emit(when, id, staff.TypeLeft, &staff.Left{StaffID: leaves, On: on})
		s.assignElective(when, successor, 0)
		for _, sec := range all {
			if sec.teacher == 0 {
				s.join(when, sec.id, successor, membership.Teacher, on)
			}
		}
	})
}
