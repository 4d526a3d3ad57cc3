package simulate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/simulate"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// directory is who is where in a simulated school, with whom.
type directory struct {
	kinds     map[string]string   // of classes
	home      map[string]string   // of students: the first home class
	family    map[string]string   // of students: the family name
	grade     map[string]string   // of students, as enrolled
	children  map[string][]string // of guardians
	relations map[string]map[string]bool
	sections  map[string][]string                // the students of sections
	teachers  map[string][]*membership.Started   // of sections, in order
	left      map[string]domain.Date             // of staff
	assigned  map[string]*staff.Assigned         // of staff
	moved     map[string][]*student.ClassChanged // of students
	unlinked  []*guardian.Unlinked
}

func directoryOf(s *simulate.School) *directory {
	d := &directory{
		kinds: map[string]string{}, home: map[string]string{}, family: map[string]string{},
		grade: map[string]string{}, children: map[string][]string{},
		relations: map[string]map[string]bool{}, sections: map[string][]string{},
		teachers: map[string][]*membership.Started{},
		left:     map[string]domain.Date{}, assigned: map[string]*staff.Assigned{},
		moved: map[string][]*student.ClassChanged{},
	}
	for e := range s.Events() {
		switch m := e.Data.(type) {
		case *class.Defined:
			d.kinds[m.ClassID] = m.Kind
		case *student.Enrolled:
			d.home[m.StudentID], d.family[m.StudentID] = m.ClassID, m.FamilyName
			d.grade[m.StudentID] = string(m.GradeLevel)
		case *student.ClassChanged:
			d.moved[m.StudentID] = append(d.moved[m.StudentID], m)
		case *guardian.Linked:
			d.children[m.GuardianID] = append(d.children[m.GuardianID], m.StudentID)
			if d.relations[m.GuardianID] == nil {
				d.relations[m.GuardianID] = map[string]bool{}
			}
			d.relations[m.GuardianID][m.Relation] = true
		case *guardian.Unlinked:
			d.unlinked = append(d.unlinked, m)
		case *membership.Started:
			if m.Role == membership.Student {
				d.sections[m.ClassID] = append(d.sections[m.ClassID], m.PersonID)
			} else {
				d.teachers[m.ClassID] = append(d.teachers[m.ClassID], m)
			}
		case *staff.Assigned:
			d.assigned[m.StaffID] = m
		case *staff.Left:
			d.left[m.StaffID] = m.On
		}
	}
	return d
}

// schools are of all sizes: with one class, with a class of each grade, and with parallel ones.
func schools(t *testing.T, check func(t *testing.T, size int, d *directory)) {
	t.Helper()
	for _, size := range []int{20, 30, 75, 240, 1200} {
		c := simulate.Config{Schools: 1, Students: size, Days: 60, Seed: 11}
		check(t, size, directoryOf(c.School(0)))
	}
}

// Each student is in one section, with students of another home class, and with a teacher who has
// no home class.
func TestSectionsHaveStudentsOfSeveralHomeClasses(t *testing.T) {
	t.Parallel()
	schools(t, func(t *testing.T, size int, d *directory) {
		total := 0
		for id, members := range d.sections {
			require.Equal(t, class.Section, d.kinds[id])
			homes := map[string]bool{}
			for _, m := range members {
				homes[d.home[m]] = true
			}
			if size > 28 {
				require.Greater(t, len(homes), 1, "%s of a school of %d", id, size)
			}
			require.LessOrEqual(t, len(members), 45)
			total += len(members)
			require.NotEmpty(t, d.teachers[id], id)
			for _, m := range d.teachers[id] {
				require.Empty(t, d.assigned[m.PersonID].ClassIDs, m.PersonID)
			}
		}
		require.Equal(t, size, total)
		for _, home := range d.home {
			require.Equal(t, class.Home, d.kinds[home], "%s has a title", home)
		}
	})
}

func TestGuardiansHaveSeveralChildren(t *testing.T) {
	t.Parallel()
	schools(t, func(t *testing.T, size int, d *directory) {
		several := 0
		for id, children := range d.children {
			require.Len(t, d.relations[id], 1, "%s is the same to all children", id)
			grades := map[string]bool{}
			for _, child := range children {
				require.Equal(t, d.family[children[0]], d.family[child])
				require.False(t, grades[d.grade[child]], "children of %s of the same age", id)
				grades[d.grade[child]] = true
			}
			if len(children) > 1 {
				several++
			}
		}
		if size > 28 {
			require.Positive(t, several, "in a school of %d", size)
		}
	})
}

// In the course of each year a teacher leaves and has a successor, a student changes to another
// home class, and a guardian is unlinked.
func TestTheDirectoryChangesInTheYear(t *testing.T) {
	t.Parallel()
	schools(t, func(t *testing.T, size int, d *directory) {
		require.Len(t, d.left, 1)
		taught := 0
		for id, list := range d.teachers {
			first := list[0].PersonID
			if d.left[first] == 0 {
				require.Len(t, list, 1, id)
				continue
			}
			taught++
			require.Len(t, list, 2, id)
			require.Equal(t, d.left[first], list[1].From, "no day is without a teacher")
			require.Equal(t, d.assigned[first].Subjects, d.assigned[list[1].PersonID].Subjects)
		}
		require.Positive(t, taught)
		require.Len(t, d.unlinked, 1)
		require.Contains(t, d.children[d.unlinked[0].GuardianID], d.unlinked[0].StudentID)
		if size > 28 {
			require.NotEmpty(t, d.moved)
		}
		for id, list := range d.moved {
			require.NotEqual(t, d.home[id], list[0].ClassID)
		}
	})
}
