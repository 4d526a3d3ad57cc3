package students

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about people that the rules of messages look up. Each function looks up many keys at
// once, of any schools, and returns what there is for each of them, in their order.

// StudentFacts describe a student.
type StudentFacts struct {
	ID, GivenName, FamilyName, ClassID string
	GradeLevel                         string
	BirthDate                          domain.Date
	Enrolled                           bool
	LeftOn                             domain.Date // the last day of a student who was withdrawn
}

const studentFacts = `s.student_id, s.given_name, s.family_name, s.class_id, s.grade_level,
	s.birth_date, s.status = 'enrolled', CASE WHEN s.status <> 'enrolled' THEN s.withdrawn_on END`

func (s *StudentFacts) addresses() []any {
	return []any{
		&s.ID, &s.GivenName, &s.FamilyName, &s.ClassID, &s.GradeLevel, &s.BirthDate, &s.Enrolled,
		&s.LeftOn,
	}
}

const studentFactsSQL read.SQL = `-- students.facts
SELECT q.n, ` + studentFacts + `
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.students s ON s.school = q.school AND s.student_id = q.id`

// FactsByID returns one student, or none, for each id.
func FactsByID(ctx context.Context, tx pgx.Tx, schools, ids []string) ([][]StudentFacts, error) {
	return read.PerKey(ctx, tx, len(ids), studentFactsSQL, (*StudentFacts).addresses, schools, ids)
}

const classFactsSQL read.SQL = `-- students.facts_of_class
SELECT q.n, ` + studentFacts + `
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.students s
	ON s.school = q.school AND s.class_id = q.id AND s.status = 'enrolled'
ORDER BY q.n, s.student_id`

// FactsByClass returns the enrolled students of each class, by id.
func FactsByClass(
	ctx context.Context, tx pgx.Tx, schools, classIDs []string,
) ([][]StudentFacts, error) {
	return read.PerKey(ctx, tx, len(classIDs), classFactsSQL, (*StudentFacts).addresses,
		schools, classIDs)
}

const classIDsSQL read.SQL = `-- students.class_ids
SELECT q.n, c.class_id FROM unnest($1::text[]) WITH ORDINALITY AS q (school, n)
JOIN schoolbell.classes c ON c.school = q.school AND c.enrolled > 0
ORDER BY q.n, c.class_id`

// ClassIDs returns the ids of each school's classes that have enrolled students.
func ClassIDs(ctx context.Context, tx pgx.Tx, schools []string) ([][]string, error) {
	return read.PerKey(ctx, tx, len(schools), classIDsSQL,
		func(id *string) []any { return []any{id} }, schools)
}

// GuardianFacts describe a guardian, and what they are to the student that was looked up.
type GuardianFacts struct {
	ID, Name, Phone, Email, Language string
	Relation                         string
	Primary                          bool
}

func (g *GuardianFacts) addresses() []any {
	return []any{&g.ID, &g.Name, &g.Phone, &g.Email, &g.Language, &g.Relation, &g.Primary}
}

const guardiansOfSQL read.SQL = `-- students.facts_of_guardians
SELECT q.n, g.guardian_id, g.name, g.phone, g.email, g.language, l.relation, l.is_primary
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.student_guardians l ON l.school = q.school AND l.student_id = q.id
JOIN schoolbell.guardians g ON g.school = q.school AND g.guardian_id = l.guardian_id
ORDER BY q.n, l.is_primary DESC, g.guardian_id`

// GuardianFactsOf returns the guardians of each student, the primary ones first, then by id.
func GuardianFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs []string,
) ([][]GuardianFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), guardiansOfSQL, (*GuardianFacts).addresses,
		schools, studentIDs)
}

const guardianFactsSQL read.SQL = `-- students.facts_of_guardian
SELECT q.n, g.guardian_id, g.name, g.phone, g.email, g.language, '', false
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.guardians g ON g.school = q.school AND g.guardian_id = q.id`

// GuardianFactsByID returns one guardian, or none, for each id, without Relation and Primary.
func GuardianFactsByID(
	ctx context.Context, tx pgx.Tx, schools, ids []string,
) ([][]GuardianFacts, error) {
	return read.PerKey(ctx, tx, len(ids), guardianFactsSQL, (*GuardianFacts).addresses,
		schools, ids)
}

// StaffFacts describe a member of the staff.
type StaffFacts struct {
	ID, Name, Role string
	ClassIDs       []string
}

const staffFactsSQL read.SQL = `-- students.facts_of_staff
SELECT q.n, s.staff_id, s.name, s.role, s.class_ids
FROM unnest($1::text[]) WITH ORDINALITY AS q (school, n)
JOIN schoolbell.staff s ON s.school = q.school
ORDER BY q.n, s.staff_id`

// StaffFactsOf returns the staff of each school, by id.
func StaffFactsOf(ctx context.Context, tx pgx.Tx, schools []string) ([][]StaffFacts, error) {
	return read.PerKey(ctx, tx, len(schools), staffFactsSQL, func(s *StaffFacts) []any {
		return []any{&s.ID, &s.Name, &s.Role, &s.ClassIDs}
	}, schools)
}
