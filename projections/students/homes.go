package students

import (
	"context"
	"sort"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/presence"
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
	of map[string][]presence.Stay
}

const homesSQL read.SQL = `-- students.homes
SELECT student_id, starts, ends, class_id FROM enrolments WHERE school = $1 /*where*/
ORDER BY student_id, starts`

// AllHomes returns the home classes of all students who are or were at the school.
func AllHomes(ctx context.Context, tx pgx.Tx, school string) (Homes, error) {
	return homes(ctx, tx, homesSQL.With(), school)
}

// HomesOf returns the home classes of some students.
func HomesOf(ctx context.Context, tx pgx.Tx, school string, studentIDs []string) (Homes, error) {
	return homes(ctx, tx, homesSQL.With("student_id = ANY($2)"), school, studentIDs)
}

func homes(ctx context.Context, tx pgx.Tx, s read.SQL, args ...any) (Homes, error) {
	type row struct {
		studentID string
		ends      domain.Date
		presence.Stay
	}
	h := Homes{map[string][]presence.Stay{}}
	err := read.Each(ctx, tx, s,
		func(r *row) []any { return []any{&r.studentID, &r.From, &r.ends, &r.ClassID} },
		func(r row) {
			if !r.ends.IsZero() {
				r.To = r.ends - 1 // the last day
			}
			h.of[r.studentID] = append(h.of[r.studentID], r.Stay)
		}, args...)
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
	after := sort.Search(len(homes), func(i int) bool { return homes[i].From > day })
	return homes[max(after-1, 0)].ClassID
}

// Stays returns the times of a student in home classes, in their order; nil for a student who was
// never enrolled.
func (h Homes) Stays(studentID string) []presence.Stay { return h.of[studentID] }

// All returns the stays of all students.
func (h Homes) All() map[string][]presence.Stay { return h.of }

// Attends returns the home class in which a student is enrolled on a day; empty for none.
func (h Homes) Attends(studentID string, day domain.Date) string {
	for _, s := range h.of[studentID] {
		if s.From <= day && (s.To.IsZero() || day <= s.To) {
			return s.ClassID
		}
	}
	return ""
}

const sectionStaysSQL read.SQL = `-- students.section_stays
SELECT person_id, starts, ends FROM memberships
WHERE school = $1 AND class_id = $2 AND role = 'student' ORDER BY person_id, starts`

// SectionStays returns the times of the students in a section.
func SectionStays(
	ctx context.Context, tx pgx.Tx, school, classID string,
) (map[string][]presence.Stay, error) {
	type row struct {
		studentID  string
		from, ends domain.Date
	}
	of := map[string][]presence.Stay{}
	err := read.Each(ctx, tx, sectionStaysSQL,
		func(r *row) []any { return []any{&r.studentID, &r.from, &r.ends} },
		func(r row) {
			s := presence.Stay{ClassID: classID, From: r.from}
			if !r.ends.IsZero() {
				s.To = r.ends - 1
			}
			all := of[r.studentID]
			if last := len(all) - 1; last >= 0 && (all[last].To.IsZero() || s.From <= all[last].To+1) {
				if !all[last].To.IsZero() && (s.To.IsZero() || s.To > all[last].To) {
					all[last].To = s.To // two memberships are one stay
				}
				return
			}
			of[r.studentID] = append(all, s)
		}, school, classID)
	return of, err
}
