package students

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// What the queries of other read models show of the directory, as of a day.

const siblingsSQL read.SQL = `-- students.siblings
SELECT DISTINCT s.student_id, s.given_name, s.family_name, e.class_id
FROM student_guardians mine
JOIN student_guardians theirs ON theirs.school = mine.school
	AND theirs.guardian_id = mine.guardian_id
	AND theirs.starts <= $3 AND (theirs.ends IS NULL OR theirs.ends > $3)
JOIN students s ON s.school = theirs.school AND s.student_id = theirs.student_id
JOIN enrolments e ON e.school = s.school AND e.student_id = s.student_id
	AND e.starts <= $3 AND (e.ends IS NULL OR e.ends > $3)
WHERE mine.school = $1 AND mine.student_id = $2 AND s.student_id <> $2
	AND mine.starts <= $3 AND (mine.ends IS NULL OR mine.ends > $3)
	AND ($4::text[] IS NULL OR s.student_id = ANY($4))
ORDER BY s.student_id`

// Sibling is a student who shares a guardian with another one.
type Sibling struct {
	StudentID  string `json:"student_id"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	ClassID    string `json:"class_id"`
}

// Siblings returns those students at the school who share a guardian with this one whom the caller
// may see.
func Siblings(
	ctx context.Context, tx pgx.Tx, scope query.Scope, studentID string, on domain.Date,
) ([]Sibling, error) {
	return read.All(ctx, tx, siblingsSQL, func(s *Sibling) []any {
		return []any{&s.StudentID, &s.GivenName, &s.FamilyName, &s.ClassID}
	}, scope.School, studentID, on, scope.Access.Among(access.Names))
}

const inGradeSQL read.SQL = `-- students.in_grade
SELECT student_id FROM students WHERE school = $1 AND grade_level = $2`

// InGrade returns the ids of all students of a grade level, also of those who have left.
func InGrade(
	ctx context.Context, tx pgx.Tx, school string, grade domain.Label,
) ([]string, error) {
	return read.All(ctx, tx, inGradeSQL, func(id *string) []any { return []any{id} }, school, grade)
}

const yearGroupSQL read.SQL = `-- students.year_group
SELECT s.student_id FROM students own
JOIN students s ON s.school = own.school AND s.grade_level = own.grade_level
WHERE own.school = $1 AND own.student_id = $2 AND own.grade_level <> ''`

// YearGroup returns the ids of all students of the same grade level as a student, also of those who
// have left; none when the student has no grade level.
func YearGroup(ctx context.Context, tx pgx.Tx, school, studentID string) ([]string, error) {
	return read.All(ctx, tx, yearGroupSQL, func(id *string) []any { return []any{id} }, school, studentID)
}

const namesSQL read.SQL = `-- students.names
SELECT student_id, given_name, family_name, class_id FROM student_names($3)
WHERE school = $1 AND student_id = ANY($2)`

// Name is what lists of other read models show of a student.
type Name struct {
	GivenName  string
	FamilyName string
	ClassID    string // the home class on the day
}

// Names returns the names of students, by id. Whom no fact of the directory names is not in it.
func Names(
	ctx context.Context, tx pgx.Tx, school string, studentIDs []string, on domain.Date,
) (map[string]Name, error) {
	type named struct {
		Name
		id string
	}
	all, err := read.All(ctx, tx, namesSQL, func(n *named) []any {
		return []any{&n.id, &n.GivenName, &n.FamilyName, &n.ClassID}
	}, school, studentIDs, on)
	by := make(map[string]Name, len(all))
	for _, n := range all {
		by[n.id] = n.Name
	}
	return by, err
}

// Student is all that the directory holds about one.
type Student struct {
	StudentID     string       `json:"student_id"`
	GivenName     string       `json:"given_name"`
	FamilyName    string       `json:"family_name"`
	PreferredName string       `json:"preferred_name,omitzero"`
	BirthDate     domain.Date  `json:"birth_date,omitzero"`
	ClassID       string       `json:"class_id" doc:"The home class"`
	GradeLevel    domain.Label `json:"grade_level,omitzero"`
	PhotoURL      string       `json:"photo_url,omitzero"`
	Email         string       `json:"email,omitzero"`
	Identifiers   []string     `json:"identifiers,omitempty" doc:"What other systems call the student; for the office and the family"`
	Status        string       `json:"status" enum:"enrolled,withdrawn,expected,unknown"`
	EnrolledOn    domain.Date  `json:"enrolled_on,omitzero"`
	WithdrawnOn   domain.Date  `json:"withdrawn_on,omitzero" doc:"The first day on which the student does not attend; it may be ahead"`
}

// Show leaves of a student what may be seen.
func (s *Student) Show(f access.Fields) {
	if !f.Has(access.Personal) {
		s.BirthDate, s.PhotoURL, s.Email = 0, "", ""
	}
	if !f.Has(access.Identifiers) {
		s.Identifiers = nil
	}
}

const oneSQL read.SQL = `-- students.one
SELECT n.student_id, n.given_name, n.family_name, n.preferred_name, s.birth_date, n.class_id,
	n.grade_level, s.photo_url, s.email, s.identifiers, n.status, n.enrolled_on, n.withdrawn_on
FROM student_names($3) n JOIN students s ON s.school = $1 AND s.student_id = $2
WHERE n.school = $1 AND n.student_id = $2`

// One returns a student as of a day, or [query.ErrNotFound].
func One(
	ctx context.Context, tx pgx.Tx, school, studentID string, on domain.Date,
) (Student, error) {
	s, found, err := read.One(ctx, tx, oneSQL, func(s *Student) []any {
		return []any{
			&s.StudentID, &s.GivenName, &s.FamilyName, &s.PreferredName, &s.BirthDate, &s.ClassID,
			&s.GradeLevel, &s.PhotoURL, &s.Email, &s.Identifiers, &s.Status, &s.EnrolledOn,
			&s.WithdrawnOn,
		}
	}, school, studentID, on)
	if err == nil && !found {
		err = query.ErrNotFound
	}
	return s, err
}

const countSQL read.SQL = `-- students.count
SELECT count(*), count(DISTINCT class_id) FROM enrolments
WHERE school = $1 AND starts <= $2 AND (ends IS NULL OR ends > $2)`

// Headcount is how many attend the school.
type Headcount struct {
	Enrolled int64 `json:"enrolled" doc:"Students whose enrolment has begun and not ended"`
	Classes  int64 `json:"classes" doc:"Home classes with students"`
}

// Count returns the school's headcount on a day.
func Count(ctx context.Context, tx pgx.Tx, school string, on domain.Date) (Headcount, error) {
	h, _, err := read.One(ctx, tx, countSQL,
		func(h *Headcount) []any { return []any{&h.Enrolled, &h.Classes} }, school, on)
	return h, err
}
