package verify

import (
	"cmp"
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// directory is the part of a school's facts that has days.
type directory struct {
	enrolled    map[string]*past
	linked      map[string]map[string]*past // by student and guardian
	employed    map[string]*past
	held        map[string]*past // classes
	kinds       map[string]string
	memberships map[string]*past
	// where to look: who or what may be in a class, or work at the school, on some day
	enrolledIn map[string]map[string]bool // students by home class
	membersOf  map[string]map[string]bool // memberships of students by class
	working    map[string]bool            // other memberships
}

func newDirectory() directory {
	return directory{
		enrolled: map[string]*past{}, linked: map[string]map[string]*past{},
		employed: map[string]*past{}, held: map[string]*past{}, kinds: map[string]string{},
		memberships: map[string]*past{}, enrolledIn: map[string]map[string]bool{},
		membersOf: map[string]map[string]bool{}, working: map[string]bool{},
	}
}

// add takes an event of the directory, and ignores all others.
func (d *directory) add(e *domain.Envelope) {
	switch m := e.Data.(type) {
	case *student.Enrolled:
		d.enrol(m.StudentID, begin(e, m.On, place{class: m.ClassID}))
	case *student.ClassChanged:
		w := begin(e, m.On, place{class: m.ClassID})
		w.begins = false
		d.enrol(m.StudentID, w)
	case *student.Withdrawn:
		row(d.enrolled, m.StudentID).add(end(e, m.On))
	case *guardian.Linked:
		row(entry(d.linked, m.StudentID), m.GuardianID).
			add(begin(e, undated(e.Time), place{role: m.Relation, primary: m.Primary}))
	case *guardian.Unlinked:
		on := m.On
		if on.IsZero() {
			on = undated(e.Time)
		}
		row(entry(d.linked, m.StudentID), m.GuardianID).add(end(e, on))
	case *staff.Assigned:
		row(d.employed, m.StaffID).add(begin(e, undated(e.Time), place{classes: m.ClassIDs}))
	case *staff.Left:
		row(d.employed, m.StaffID).add(end(e, m.On))
	case *class.Defined:
		d.kinds[m.ClassID] = m.Kind
		row(d.held, m.ClassID).add(begin(e, undated(e.Time), place{}))
	case *class.Closed:
		row(d.held, m.ClassID).add(end(e, m.On))
	case *membership.Started:
		row(d.memberships, m.MembershipID).add(begin(e, m.From,
			place{class: m.ClassID, person: m.PersonID, role: m.Role}))
		if m.Role == membership.Student {
			entry(d.membersOf, m.ClassID)[m.MembershipID] = true
		} else {
			d.working[m.MembershipID] = true
		}
	case *membership.Ended:
		row(d.memberships, m.MembershipID).add(end(e, m.To))
	}
}

func (d *directory) enrol(studentID string, w statement) {
	row(d.enrolled, studentID).add(w)
	entry(d.enrolledIn, w.place.class)[studentID] = true
}

// section reports that a class was defined as a section, and was nobody's home class.
func (d *directory) section(id string) bool {
	if d.kinds[id] != class.Section {
		return false
	}
	for studentID := range d.enrolledIn[id] {
		if d.enrolled[studentID].ever(id) {
			return false
		}
	}
	return true
}

// classOn returns the home class of a student and whether they attend; leftOn is when they left.
func (d *directory) classOn(
	id string, day domain.Date,
) (class string, attends bool, leftOn domain.Date) {
	t := d.enrolled[id]
	s, lasts, begun := t.on(day)
	all := t.read().all
	switch {
	case lasts:
		return t.placeOn(day).class, true, 0
	case begun:
		return t.placeOn(s.to - 1).class, false, s.to
	case len(all) > 0:
		return t.placeOn(all[0].from).class, false, 0
	}
	return t.placeOn(lastDay).class, false, 0
}

// homeOn returns the home class of a student on a day, or the nearest one; none for whoever was
// never enrolled.
func (d *directory) homeOn(id string, day domain.Date) string {
	if len(d.enrolled[id].read().all) == 0 {
		return ""
	}
	class, _, _ := d.classOn(id, day)
	return class
}

// membersOn returns the students of a class by home class or membership.
func (d *directory) membersOn(classID string, day domain.Date) []string {
	ids := map[string]bool{}
	for id := range d.enrolledIn[classID] {
		if class, attends, _ := d.classOn(id, day); attends && class == classID {
			ids[id] = true
		}
	}
	if !d.held[classID].over(day) {
		for _, p := range d.placesOn(d.membersOf[classID], day) {
			_, attends, _ := d.classOn(p.person, day)
			if p.class == classID && p.role == membership.Student && attends {
				ids[p.person] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// placesOn returns those of the memberships that last on a day.
func (d *directory) placesOn(of map[string]bool, day domain.Date) (all []place) {
	for id := range of {
		t := d.memberships[id]
		if _, lasts, _ := t.on(day); lasts {
			all = append(all, t.placeOn(day))
		}
	}
	return all
}

// homesOn returns the home classes that have students.
func (d *directory) homesOn(day domain.Date) []string {
	ids := map[string]bool{}
	for id := range d.enrolled {
		if class, attends, _ := d.classOn(id, day); attends {
			ids[class] = true
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// taughtOn returns the classes of each member of staff, by assignment and membership.
func (d *directory) taughtOn(day domain.Date) map[string]map[string]bool {
	all := map[string]map[string]bool{}
	add := func(person, class string) {
		if !d.held[class].over(day) {
			entry(all, person)[class] = true
		}
	}
	for id, t := range d.employed {
		if _, lasts, _ := t.on(day); lasts {
			for _, class := range t.placeOn(day).classes {
				add(id, class)
			}
		}
	}
	for _, p := range d.placesOn(d.working, day) {
		if p.role != membership.Student {
			add(p.person, p.class)
		}
	}
	return all
}

// studentOn returns a student as of a day.
func (s *school) studentOn(id string, day domain.Date) consumers.Student {
	of := value(s.students[id])
	if of.ID == "" {
		return of
	}
	of.ClassID, of.Enrolled, of.LeftOn = s.directory.classOn(id, day)
	return of
}

func (s *school) classOn(id string, day domain.Date) (all []consumers.Student) {
	for _, id := range s.directory.membersOn(id, day) {
		all = append(all, s.studentOn(id, day))
	}
	return all
}

// staffOn returns the staff who have not left, by id.
func (s *school) staffOn(day domain.Date) (all []consumers.Staff) {
	taught := s.directory.taughtOn(day)
	for _, id := range slices.Sorted(maps.Keys(s.staff)) {
		if s.directory.employed[id].over(day) {
			continue
		}
		of := s.staff[id]
		of.ClassIDs = slices.Sorted(maps.Keys(taught[id]))
		all = append(all, of)
	}
	return all
}

// guardian returns a guardian with the channels that they have opted out of.
func (s *school) guardian(id string) consumers.Guardian {
	g := value(s.guardians[id])
	if g.ID != "" {
		g.OptedOut = slices.Sorted(maps.Keys(s.optedOut[id]))
	}
	return g
}

// guardiansOn returns the guardians of a student, the primary ones first, then by id.
func (s *school) guardiansOn(studentID string, day domain.Date) (all []consumers.Guardian) {
	for guardianID, link := range s.directory.linked[studentID] {
		if _, lasts, _ := link.on(day); !lasts {
			continue
		}
		g, p := s.guardian(guardianID), link.placeOn(day)
		g.Relation, g.Primary = p.role, p.primary
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
