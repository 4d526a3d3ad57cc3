package students

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/presence"
	"github.com/schoolbell/schoolbell/projections/read"
)

// The facts about people that the rules of messages look up, as of days such as 2026-09-01. Each
// function looks up many keys at once, of any schools, and returns what there is for each of them, in
// their order.

// StudentFacts describe a student.
type StudentFacts struct {
	ID, GivenName, FamilyName, ClassID string
	GradeLevel                         string
	BirthDate                          domain.Date
	Enrolled                           bool
	LeftOn                             domain.Date // when a student was withdrawn who has left
}

const studentFacts = `n.student_id, n.given_name, n.family_name, n.class_id, n.grade_level,
	s.birth_date, n.status = 'enrolled', CASE WHEN n.status = 'withdrawn' THEN n.withdrawn_on END`

func (s *StudentFacts) addresses() []any {
	return []any{
		&s.ID, &s.GivenName, &s.FamilyName, &s.ClassID, &s.GradeLevel, &s.BirthDate, &s.Enrolled,
		&s.LeftOn,
	}
}

const studentFactsSQL read.SQL = `-- students.facts
SELECT q.n, ` + studentFacts + `
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, day, n)
JOIN schoolbell.students s ON s.school = q.school AND s.student_id = q.id
JOIN LATERAL schoolbell.student_names(q.day::date) n
	ON n.school = q.school AND n.student_id = q.id`

// FactsByID returns one student, or none, for each id.
func FactsByID(
	ctx context.Context, tx pgx.Tx, schools, ids, days []string,
) ([][]StudentFacts, error) {
	return read.PerKey(ctx, tx, len(ids), studentFactsSQL, (*StudentFacts).addresses,
		schools, ids, days)
}

const classFactsSQL read.SQL = `-- students.facts_of_class
SELECT q.n, ` + studentFacts + `
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, day, n)
CROSS JOIN LATERAL (
	SELECT e.student_id FROM schoolbell.enrolments e
	WHERE e.school = q.school AND e.class_id = q.id
		AND e.starts <= q.day::date AND (e.ends IS NULL OR e.ends > q.day::date)
	UNION SELECT m.person_id FROM schoolbell.memberships m
	WHERE m.school = q.school AND m.class_id = q.id AND m.role = 'student'
		AND m.starts <= q.day::date AND (m.ends IS NULL OR m.ends > q.day::date)
		AND NOT EXISTS (SELECT FROM schoolbell.classes c WHERE c.school = q.school
			AND c.class_id = q.id AND c.closed_on <= q.day::date)
) of
JOIN schoolbell.students s ON s.school = q.school AND s.student_id = of.student_id
JOIN LATERAL schoolbell.student_names(q.day::date) n
	ON n.school = q.school AND n.student_id = of.student_id
WHERE n.status = 'enrolled'
ORDER BY q.n, n.student_id`

// FactsByClass returns the students who belong to each home class or section, by id.
func FactsByClass(
	ctx context.Context, tx pgx.Tx, schools, classIDs, days []string,
) ([][]StudentFacts, error) {
	return read.PerKey(ctx, tx, len(classIDs), classFactsSQL, (*StudentFacts).addresses,
		schools, classIDs, days)
}

const classIDsSQL read.SQL = `-- students.class_ids
SELECT DISTINCT q.n, e.class_id
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, day, n)
JOIN schoolbell.enrolments e ON e.school = q.school
	AND e.starts <= q.day::date AND (e.ends IS NULL OR e.ends > q.day::date)
ORDER BY q.n, e.class_id`

// ClassIDs returns the ids of each school's home classes that have students.
func ClassIDs(ctx context.Context, tx pgx.Tx, schools, days []string) ([][]string, error) {
	return read.PerKey(ctx, tx, len(schools), classIDsSQL,
		func(id *string) []any { return []any{id} }, schools, days)
}

// GuardianFacts describe a guardian, and what they are to the student that was looked up.
type GuardianFacts struct {
	ID, Name, Phone, Email, Language string
	OptedOut                         []string // of these channels
	Relation                         string
	Primary                          bool
}

func (g *GuardianFacts) addresses() []any {
	return []any{
		&g.ID, &g.Name, &g.Phone, &g.Email, &g.Language, &g.OptedOut, &g.Relation, &g.Primary,
	}
}

// optedOutSQL lists the channels that a guardian g has opted out of.
const optedOutSQL = `ARRAY(SELECT o.channel FROM schoolbell.opt_outs o
	WHERE o.school = g.school AND o.guardian_id = g.guardian_id ORDER BY o.channel)`

const guardiansOfSQL read.SQL = `-- students.facts_of_guardians
SELECT q.n, g.guardian_id, g.name, g.phone, g.email, g.language, ` + optedOutSQL + `, l.relation, l.is_primary
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS q (school, id, day, n)
JOIN schoolbell.student_guardians l ON l.school = q.school AND l.student_id = q.id
	AND l.starts <= q.day::date AND (l.ends IS NULL OR l.ends > q.day::date)
JOIN schoolbell.guardians g ON g.school = q.school AND g.guardian_id = l.guardian_id
ORDER BY q.n, l.is_primary DESC, g.guardian_id`

// GuardianFactsOf returns the guardians of each student, the primary ones first, then by id.
func GuardianFactsOf(
	ctx context.Context, tx pgx.Tx, schools, studentIDs, days []string,
) ([][]GuardianFacts, error) {
	return read.PerKey(ctx, tx, len(studentIDs), guardiansOfSQL, (*GuardianFacts).addresses,
		schools, studentIDs, days)
}

const guardianFactsSQL read.SQL = `-- students.facts_of_guardian
SELECT q.n, g.guardian_id, g.name, g.phone, g.email, g.language, ` + optedOutSQL + `, '', false
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
SELECT q.n, s.staff_id, s.name, s.role, (
	SELECT coalesce(jsonb_agg(w.class_id ORDER BY w.class_id), '[]') FROM (
		SELECT jsonb_array_elements_text(a.class_ids) COLLATE "C" AS class_id
		FROM schoolbell.assignments a
		WHERE a.school = q.school AND a.staff_id = s.staff_id
			AND a.starts <= q.day::date AND (a.ends IS NULL OR a.ends > q.day::date)
		UNION SELECT m.class_id FROM schoolbell.memberships m
		WHERE m.school = q.school AND m.person_id = s.staff_id AND m.role <> 'student'
			AND m.starts <= q.day::date AND (m.ends IS NULL OR m.ends > q.day::date)
	) w WHERE NOT EXISTS (SELECT FROM schoolbell.classes c WHERE c.school = q.school
		AND c.class_id = w.class_id AND c.closed_on <= q.day::date))
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, day, n)
JOIN schoolbell.staff s ON s.school = q.school
	AND (s.left_on IS NULL OR s.left_on > q.day::date)
ORDER BY q.n, s.staff_id`

// StaffFactsOf returns the staff of each school, by id.
func StaffFactsOf(ctx context.Context, tx pgx.Tx, schools, days []string) ([][]StaffFacts, error) {
	return read.PerKey(ctx, tx, len(schools), staffFactsSQL, func(s *StaffFacts) []any {
		return []any{&s.ID, &s.Name, &s.Role, &s.ClassIDs}
	}, schools, days)
}

const stayFactsSQL read.SQL = `-- students.facts_of_stays
SELECT q.n, e.class_id, e.starts, e.ends - 1
FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS q (school, id, n)
JOIN schoolbell.enrolments e ON e.school = q.school AND e.student_id = q.id
ORDER BY q.n, e.starts`

// StayFacts returns when students were in which home class, in the order of days.
func StayFacts(ctx context.Context, tx pgx.Tx, schools, ids []string) ([][]presence.Stay, error) {
	return read.PerKey(ctx, tx, len(ids), stayFactsSQL, func(s *presence.Stay) []any {
		return []any{&s.ClassID, &s.From, &s.To}
	}, schools, ids)
}
