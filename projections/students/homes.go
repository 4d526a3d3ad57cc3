package students

import (
	"context"
	"sort"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Facts name the class in which something happened, which may be a section. Numbers by class are by
// home class all the same; what follows lets other read models find it when they answer, so that a
// move that becomes known late moves the numbers too.

// A section that is some student's home class is a home class.
const sectionsSQL read.SQL = `-- students.sections
SELECT class_id FROM classes c WHERE school = $1 AND kind = 'section' AND NOT EXISTS (
	SELECT FROM enrolments e WHERE e.school = $1 AND e.class_id = c.class_id)`

// Sections returns the ids of the school's sections, closed ones too. A class that nobody has
// defined is none of them.
func Sections(ctx context.Context, tx pgx.Tx, school string) ([]string, error) {
	return read.All(ctx, tx, sectionsSQL, func(id *string) []any { return []any{id} }, school)
}

const sectionsOfHomeSQL read.SQL = `-- students.sections_of_home
SELECT DISTINCT m.class_id FROM enrolments e
JOIN memberships m ON m.school = $1 AND m.person_id = e.student_id AND m.role = 'student'
	AND m.starts <= $3 AND (m.ends IS NULL OR m.ends > $3)
WHERE e.school = $1 AND e.class_id = $2 AND e.starts <= $3 AND (e.ends IS NULL OR e.ends > $3)
	AND NOT EXISTS (SELECT FROM classes c WHERE c.school = $1 AND c.class_id = m.class_id
		AND c.closed_on <= $3)
ORDER BY m.class_id`

// SectionsOfHome returns the ids of the sections to which students of a home class belong on a day.
func SectionsOfHome(
	ctx context.Context, tx pgx.Tx, school, classID string, on domain.Date,
) ([]string, error) {
	return read.All(ctx, tx, sectionsOfHomeSQL, func(id *string) []any { return []any{id} },
		school, classID, on)
}

// Homes are the home classes of a school's students over time. The zero value knows nobody.
type Homes struct {
	of map[string][]homeFrom
}

// homeFrom is a home class from a day on.
type homeFrom struct {
	starts  domain.Date
	classID string
}

const homesSQL read.SQL = `-- students.homes
SELECT student_id, starts, class_id FROM enrolments WHERE school = $1
ORDER BY student_id, starts`

// AllHomes returns the home classes of all students who are or were at the school.
func AllHomes(ctx context.Context, tx pgx.Tx, school string) (Homes, error) {
	type row struct {
		studentID string
		homeFrom
	}
	h := Homes{map[string][]homeFrom{}}
	err := read.Each(ctx, tx, homesSQL,
		func(r *row) []any { return []any{&r.studentID, &r.starts, &r.classID} },
		func(r row) { h.of[r.studentID] = append(h.of[r.studentID], r.homeFrom) }, school)
	return h, err
}

// On returns a student's home class on a day; empty for a student who was never enrolled. Outside
// of all enrolments it is that of the last one before the day, else of the first after it, as in
// student_names.
func (h Homes) On(studentID string, day domain.Date) string {
	homes := h.of[studentID]
	if len(homes) == 0 {
		return ""
	}
	after := sort.Search(len(homes), func(i int) bool { return homes[i].starts > day })
	return homes[max(after-1, 0)].classID
}
