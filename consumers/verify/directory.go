package verify

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// statements are all that was said of one thing that begins and ends, by day. It is stored whole, and queried
// about one day at a time; the projections keep spans instead.
type statements []statement

type statement struct {
	on         domain.Date
	at         time.Time
	source, id string
	begins     bool
	ends       bool
	place      place // unless it ends
}

type place struct {
	class, person, role string
	primary             bool
	classes             []string
}

func (w *statement) later(than *statement) bool {
	return cmp.Or(w.at.Compare(than.at), cmp.Compare(w.source, than.source),
		cmp.Compare(w.id, than.id)) > 0
}

// lastStatements returns the last statement about each day among those that decide something.
func (t statements) lastStatements(decides func(*statement) bool) []*statement {
	last := map[domain.Date]*statement{}
	for i := range t {
		w := &t[i]
		if decides(w) && (last[w.on] == nil || w.later(last[w.on])) {
			last[w.on] = w
		}
	}
	return slices.SortedFunc(maps.Values(last), func(a, b *statement) int {
		return cmp.Compare(a.on, b.on)
	})
}

// stay is from a first day to the first one after it, 0 for none.
type stay struct{ from, to domain.Date }

// stays puts the days together on which something began and ended. Several beginnings in a row are
// one; of several ends in a row the one that was said last counts.
func (t statements) stays() (all []stay) {
	words := t.lastStatements(func(w *statement) bool { return w.begins || w.ends })
	for len(words) > 0 {
		begun := words
		for len(words) > 0 && words[0].begins {
			words = words[1:]
		}
		began := len(begun) - len(words)
		var end *statement
		for len(words) > 0 && words[0].ends {
			if end == nil || words[0].later(end) {
				end = words[0]
			}
			words = words[1:]
		}
		if began == 0 {
			continue // an end of what had not begun
		}
		s := stay{from: begun[0].on}
		if end != nil {
			s.to = end.on
		}
		all = append(all, s)
	}
	return all
}

// on returns the last stay that has begun by a day, and whether it still lasts.
func (t statements) on(day domain.Date) (s stay, lasts, begun bool) {
	for _, next := range t.stays() {
		if next.from <= day {
			s, begun = next, true
		}
	}
	return s, begun && (s.to == 0 || s.to > day), begun
}

// placeOn returns where a thing was placed by the last statement up to a day.
func (t statements) placeOn(day domain.Date) (p place) {
	for _, w := range t.lastStatements(func(w *statement) bool { return !w.ends }) {
		if w.on <= day {
			p = w.place
		}
	}
	return p
}

// over reports that something had ended by a day which holds from the beginning of time.
func (t statements) over(day domain.Date) bool {
	always := statement{on: -1, begins: true}
	stays := append(statements{always}, t...).stays()
	last := stays[len(stays)-1]
	return last.to != 0 && last.to <= day
}

const firstDay, lastDay = domain.Date(1), domain.Date(1 << 30)

// undated is the day of a fact that names none: the earliest on earth at its time.
func undated(t time.Time) domain.Date { return domain.DateOf(t.UTC().Add(-12 * time.Hour)) }

type linkKey struct{ student, guardian string }

// directory is the part of a school's facts that has days.
type directory struct {
	enrolled    map[string]statements
	linked      map[linkKey]statements
	employed    map[string]statements
	held        map[string]statements // classes
	memberships map[string]statements
}

func newDirectory() directory {
	return directory{
		enrolled: map[string]statements{}, linked: map[linkKey]statements{}, employed: map[string]statements{},
		held: map[string]statements{}, memberships: map[string]statements{},
	}
}

func begin(e *domain.Envelope, on domain.Date, p place) statement {
	return statement{
		on: on, at: e.Time.Truncate(time.Microsecond), source: e.Source, id: e.ID,
		begins: true, place: p,
	}
}

func end(e *domain.Envelope, on domain.Date) statement {
	return statement{
		on: on, at: e.Time.Truncate(time.Microsecond), source: e.Source, id: e.ID, ends: true,
	}
}

func note[K comparable](of map[K]statements, key K, w statement) { of[key] = append(of[key], w) }

// add takes an event of the directory, and ignores all others.
func (d *directory) add(e *domain.Envelope) {
	switch m := e.Data.(type) {
	case *student.Enrolled:
		note(d.enrolled, m.StudentID, begin(e, m.On, place{class: m.ClassID}))
	case *student.ClassChanged:
		w := begin(e, m.On, place{class: m.ClassID})
		w.begins = false
		note(d.enrolled, m.StudentID, w)
	case *student.Withdrawn:
		note(d.enrolled, m.StudentID, end(e, m.On))
	case *guardian.Linked:
		note(d.linked, linkKey{m.StudentID, m.GuardianID},
			begin(e, undated(e.Time), place{role: m.Relation, primary: m.Primary}))
	case *guardian.Unlinked:
		on := m.On
		if on.IsZero() {
			on = undated(e.Time)
		}
		note(d.linked, linkKey{m.StudentID, m.GuardianID}, end(e, on))
	case *staff.Assigned:
		note(d.employed, m.StaffID, begin(e, undated(e.Time), place{classes: m.ClassIDs}))
	case *staff.Left:
		note(d.employed, m.StaffID, end(e, m.On))
	case *class.Defined:
		note(d.held, m.ClassID, begin(e, undated(e.Time), place{}))
	case *class.Closed:
		note(d.held, m.ClassID, end(e, m.On))
	case *membership.Started:
		note(d.memberships, m.MembershipID, begin(e, m.From,
			place{class: m.ClassID, person: m.PersonID, role: m.Role}))
	case *membership.Ended:
		note(d.memberships, m.MembershipID, end(e, m.To))
	}
}

// classOn returns the home class of a student and whether they attend; leftOn is when they left.
func (d *directory) classOn(id string, day domain.Date) (class string, attends bool, leftOn domain.Date) {
	t := d.enrolled[id]
	s, lasts, begun := t.on(day)
	all := t.stays()
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

// membersOn returns the students of a class by home class or membership.
func (d *directory) membersOn(classID string, day domain.Date) []string {
	ids := map[string]bool{}
	for id := range d.enrolled {
		if class, attends, _ := d.classOn(id, day); attends && class == classID {
			ids[id] = true
		}
	}
	if !d.held[classID].over(day) {
		for _, p := range d.placesOn(day) {
			_, attends, _ := d.classOn(p.person, day)
			if p.class == classID && p.role == membership.Student && attends {
				ids[p.person] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

// placesOn returns the memberships that last on a day.
func (d *directory) placesOn(day domain.Date) (all []place) {
	for _, t := range d.memberships {
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
	for _, p := range d.placesOn(day) {
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
	for key, link := range s.directory.linked {
		if _, lasts, _ := link.on(day); key.student != studentID || !lasts {
			continue
		}
		g, p := s.guardian(key.guardian), link.placeOn(day)
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
