package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
)

// Role is what a token's bearer is to the school.
type Role string

// The roles.
const (
	Admin      Role = "admin"
	Office     Role = "office"
	Teacher    Role = "teacher"
	Accountant Role = "accountant"
	Analyst    Role = "analyst"
	Guardian   Role = "guardian"
	Student    Role = "student"
	Operator   Role = "operator" // of the platform; the token's school is [AllSchools]
)

// AllSchools is the school of an operator's token.
const AllSchools = "*"

// Bearer is what a verified token says about whoever shows it.
type Bearer struct {
	Subject string
	School  string
	Roles   []string
}

// Staff reports that the bearer works at the school, or operates the platform.
func (b *Bearer) Staff() bool {
	return b.Operator() || b.School != AllSchools &&
		slices.ContainsFunc([]Role{Admin, Office, Teacher, Accountant}, b.Is)
}

// Is reports that the bearer has a role.
func (b *Bearer) Is(r Role) bool { return slices.Contains(b.Roles, string(r)) }

// Operator reports that the bearer operates the platform. One of school and role alone is a mistake
// in an identity provider's mapping, and gives no rights.
func (b *Bearer) Operator() bool { return b.School == AllSchools && b.Is(Operator) }

// Policy is what a school has decided about access. The zero value is the default.
type Policy struct {
	// TeachersSeeAll shows teachers all students, not only those of their classes.
	TeachersSeeAll bool
	// AfterLeaving is for how many days after a student has left the family still sees what there is;
	// 0 means [AfterLeaving], and -1 not a day.
	AfterLeaving int
}

// AfterLeaving is how many days a family sees what there is about a student who has left, where the
// school has not decided it.
const AfterLeaving = 365

// Days returns the number of days after a student has left.
func (p Policy) Days() int {
	if p.AfterLeaving == 0 {
		return AfterLeaving
	}
	return max(p.AfterLeaving, 0)
}

// Directory is what links one user of a school with its classes and students on a day.
type Directory struct {
	Teaches  []string // home classes and sections that the user works with
	Pupils   []string // students in those classes
	Children []string // students whose guardian the user is, or who are the user
	Classes  []string // home classes and sections of those children
	// Away are children who do not attend: they will, or have left so short a time ago that the
	// family still reads what there is.
	Away []string
}

// Scope is what one bearer may see of a school's students. Its lists are sorted.
type Scope struct {
	All Fields // of every student

	Taught  Fields // of the pupils
	Teaches []string
	Pupils  []string

	Own      Fields // of the children
	Children []string
	Away     []string // children who do not attend: there are no rooms for them
	Classes  []string // of the children who attend

	as domain.Audiences // in which roles the bearer looks at all students
}

// Everything is the scope of an administrator.
func Everything() Scope {
	return Scope{All: everything, as: domain.Of(domain.Administration)}
}

// sees adds fields of all students.
func (s *Scope) sees(f Fields, as domain.Audience) {
	s.All |= f
	s.as |= domain.Of(as)
}

// For returns the scope of a bearer at a school. The directory may be nil where [NeedsDirectory]
// says so.
func For(b *Bearer, d *Directory, p Policy) (s Scope) {
	switch {
	case b.Operator():
		return Everything()
	case b.School == AllSchools:
		return s
	}
	if b.Is(Admin) {
		s.sees(everything, domain.Administration)
	}
	if b.Is(Office) {
		s.sees(ofOffice, domain.Office)
	}
	if b.Is(Accountant) {
		s.sees(ofAccountant, domain.Accounts)
	}
	if b.Is(Analyst) {
		s.All |= ofAnalyst // and in no room
	}
	if b.Is(Teacher) && p.TeachersSeeAll {
		s.sees(ofTeacher, domain.Teaching)
	}
	if d == nil {
		return s
	}
	if b.Is(Teacher) {
		s.Taught, s.Teaches, s.Pupils = ofTeacher, sorted(d.Teaches), sorted(d.Pupils)
	}
	if b.Is(Guardian) || b.Is(Student) {
		// A guardian whose id is a student's too is not that student, and the other way round.
		foreign := func(id string) bool {
			return id == b.Subject && !b.Is(Student) || id != b.Subject && !b.Is(Guardian)
		}
		s.Own, s.Classes = ofFamily, sorted(d.Classes)
		s.Children = slices.DeleteFunc(sorted(d.Children), foreign)
		s.Away = slices.DeleteFunc(sorted(d.Away), foreign)
	}
	return s
}

// NeedsDirectory reports whether the scope of a bearer follows from the token alone, or also from
// the directory.
func NeedsDirectory(b *Bearer) bool {
	return b.School != AllSchools && !b.Is(Admin) &&
		(b.Is(Teacher) || b.Is(Guardian) || b.Is(Student))
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// Of returns what is visible of a student.
func (s *Scope) Of(studentID string) Fields {
	f := s.All
	if has(s.Pupils, studentID) {
		f |= s.Taught
	}
	if has(s.Children, studentID) || has(s.Away, studentID) {
		f |= s.Own
	}
	return f
}

// OfAttending is [Scope.Of] in what is live: a child who does not attend has no room.
func (s *Scope) OfAttending(studentID string) Fields {
	live := *s
	live.Away = nil
	return live.Of(studentID)
}

// Audiences returns in which roles the bearer looks at what is about a student.
func (s *Scope) Audiences(studentID string) domain.Audiences {
	as := s.as
	if has(s.Pupils, studentID) {
		as |= domain.Of(domain.Teaching)
	}
	if has(s.Children, studentID) || has(s.Away, studentID) {
		as |= domain.Of(domain.Family)
	}
	return as
}

// AudiencesInRoom returns in which roles the bearer is in the room of a student or a class; none is
// no right to be there.
func (s *Scope) AudiencesInRoom(room domain.Room) (as domain.Audiences) {
	switch room.Kind {
	case domain.RoomStudent:
		live := *s
		live.Away = nil
		return live.Audiences(room.ID)
	case domain.RoomClass:
		for _, a := range [...]domain.Audience{
			domain.Administration, domain.Office, domain.Teaching,
		} {
			if s.as.Has(a) {
				as |= domain.Of(a)
			}
		}
		if has(s.Teaches, room.ID) {
			as |= domain.Of(domain.Teaching)
		}
		if has(s.Classes, room.ID) {
			as |= domain.Of(domain.Public)
		}
	}
	return as
}

func has(ids []string, id string) bool {
	_, found := slices.BinarySearch(ids, id)
	return found
}

// Among returns the students of whom fields are visible, for a statement: nil for all of them, else
// a list, which may be empty.
func (s *Scope) Among(f Fields) []string {
	if s.All.Has(f) {
		return nil
	}
	ids := slices.Concat(s.Pupils, s.Children, s.Away)
	ids = slices.DeleteFunc(ids, func(id string) bool { return !s.Of(id).Has(f) })
	if len(ids) == 0 {
		return []string{}
	}
	return sorted(ids)
}

// Shows reports whether fields are visible of anybody at all.
func (s *Scope) Shows(f Fields) bool {
	return s.All.Has(f) || s.Taught.Has(f) && len(s.Pupils) > 0 ||
		s.Own.Has(f) && len(s.Children)+len(s.Away) > 0
}

// Key identifies the scope among those of a school on a day. Whoever works with the same classes
// and sees the same fields has the same one: the pupils follow from the classes.
func (s *Scope) Key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%x %x", uint16(s.All), uint8(s.as))
	if s.Taught&^s.All != 0 {
		fmt.Fprintf(&b, " %x %q", uint16(s.Taught), s.Teaches)
	}
	if s.Own&^s.All != 0 {
		fmt.Fprintf(&b, " own %x %q %q", uint16(s.Own), s.Children, s.Away)
	}
	return b.String()
}
