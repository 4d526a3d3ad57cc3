package students

import (
	"cmp"
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

var guardianQuery = query.Query[personInput, Guardian]{
	Name:    "guardian",
	Path:    "/guardians/{id}",
	Summary: "One guardian",
	Description: "A guardian with the students that they are linked to, as of a day. Teachers see " +
		"the guardians of their students, and of whose children only those.",
	Reads:   []*projections.Projection{Projection},
	TTL:     5 * time.Minute,
	Roles:   []query.Role{query.Admin, query.Office, query.Teacher},
	ByScope: true,
	Indexes: []query.Index{
		{Name: "guardians_pkey", Statement: "students.guardian", Request: "/guardians/guardian-7"},
		{
			Name: "student_guardians_by_guardian", Statement: "students.children",
			Request: "/guardians/guardian-7",
		},
	},
	Run: oneGuardian,
}

var staffQuery = query.Query[personInput, Staff]{
	Name:        "staff-member",
	Path:        "/staff/{id}",
	Summary:     "One member of staff",
	Description: "A member of staff with the classes that they work with, as of a day.",
	Reads:       []*projections.Projection{Projection},
	TTL:         5 * time.Minute,
	Roles:       []query.Role{query.Admin, query.Office, query.Teacher},
	Indexes: []query.Index{
		{Name: "staff_pkey", Statement: "students.staff_member", Request: "/staff/staff-7"},
		{
			Name: "memberships_by_person", Statement: "students.classes_of",
			Request: "/staff/staff-7",
		},
	},
	Run: oneOfStaff,
}

var schoolQuery = query.Query[schoolInput, School]{
	Name:        "school",
	Path:        "/school",
	Summary:     "The school",
	Description: "The school's name, and what its authority calls it.",
	Reads:       []*projections.Projection{Projection},
	TTL:         time.Hour,
	Roles: []query.Role{
		query.Admin, query.Office, query.Teacher, query.Accountant, query.Analyst, query.Guardian,
		query.Student,
	},
	Impersonal: true,
	Indexes: []query.Index{
		{Name: "school_profiles_pkey", Statement: "students.school", Request: "/school"},
	},
	Run: describe,
}

// personInput selects a person.
type personInput struct {
	ID string `path:"id" maxLength:"128"`
	On
}

// ClassOf is a class that a person belongs to.
type ClassOf struct {
	ClassID string      `json:"class_id"`
	Title   string      `json:"title,omitzero"`
	Kind    string      `json:"kind,omitzero" doc:"home or section; absent when nobody has defined it"`
	Role    string      `json:"role,omitzero" doc:"student, teacher or aide; absent when the class is from an assignment"`
	Primary bool        `json:"primary,omitzero"`
	From    domain.Date `json:"from,omitzero"`
	To      domain.Date `json:"to,omitzero" doc:"The first day after it; absent while it is open"`
}

const classesOfSQL read.SQL = `-- students.classes_of
SELECT w.class_id, coalesce(c.title, ''), coalesce(c.kind, ''), w.role, w.is_primary, w.starts,
	w.ends
FROM (
	SELECT class_id, role, is_primary, starts, ends FROM memberships
	WHERE school = $1 AND person_id = $2 AND starts <= $3 AND (ends IS NULL OR ends > $3)
	UNION ALL SELECT jsonb_array_elements_text(class_ids) COLLATE "C", '', false, starts, ends
	FROM assignments
	WHERE school = $1 AND staff_id = $2 AND starts <= $3 AND (ends IS NULL OR ends > $3)
) w LEFT JOIN classes c ON c.school = $1 AND c.class_id = w.class_id
WHERE (c.closed_on IS NULL OR c.closed_on > $3) AND (w.role = 'student') = $4
ORDER BY w.class_id, w.starts`

// SectionsOf returns the classes to which a student belongs on a day besides the home class.
func SectionsOf(
	ctx context.Context, tx pgx.Tx, school, studentID string, on domain.Date,
) ([]ClassOf, error) {
	return classesOf(ctx, tx, school, studentID, on, true)
}

func classesOf(
	ctx context.Context, tx pgx.Tx, school, person string, on domain.Date, asStudent bool,
) ([]ClassOf, error) {
	return read.All(ctx, tx, classesOfSQL, func(c *ClassOf) []any {
		return []any{&c.ClassID, &c.Title, &c.Kind, &c.Role, &c.Primary, &c.From, &c.To}
	}, school, person, on, asStudent)
}

// Guardian is all that the directory holds about one.
type Guardian struct {
	GuardianID  string   `json:"guardian_id"`
	Name        string   `json:"name"`
	Phone       string   `json:"phone,omitzero"`
	Email       string   `json:"email,omitzero"`
	Language    string   `json:"language,omitzero"`
	Identifiers []string `json:"identifiers,omitempty" doc:"What other systems call the guardian"`
	Children    []Child  `json:"children"`
}

// Child is a student of a guardian.
type Child struct {
	StudentID  string      `json:"student_id"`
	GivenName  string      `json:"given_name"`
	FamilyName string      `json:"family_name"`
	ClassID    string      `json:"class_id" doc:"The home class"`
	Status     string      `json:"status"`
	Relation   string      `json:"relation"`
	Primary    bool        `json:"primary"`
	From       domain.Date `json:"from,omitzero"`
	To         domain.Date `json:"to,omitzero" doc:"The first day after it; absent while it is open"`
}

const guardianSQL read.SQL = `-- students.guardian
SELECT guardian_id, name, phone, email, language, identifiers FROM guardians
WHERE school = $1 AND guardian_id = $2`

const childrenSQL read.SQL = `-- students.children
SELECT n.student_id, n.given_name, n.family_name, n.class_id, n.status, l.relation, l.is_primary,
	l.starts, l.ends
FROM student_guardians l
JOIN student_names($3) n ON n.school = $1 AND n.student_id = l.student_id
WHERE l.school = $1 AND l.guardian_id = $2 AND l.starts <= $3 AND (l.ends IS NULL OR l.ends > $3)
	/*where*/
ORDER BY n.student_id`

const guardianOfAnySQL read.SQL = `-- students.guardian_of_any
SELECT EXISTS (SELECT FROM student_guardians WHERE school = $1 AND guardian_id = $2
	AND student_id = ANY($3) AND starts <= $4 AND (ends IS NULL OR ends > $4))`

// guardianOfAny reports whether a guardian is linked to one of some students on a day.
func guardianOfAny(
	ctx context.Context, tx pgx.Tx, school, guardianID string, students []string, on domain.Date,
) (bool, error) {
	is, _, err := read.One(ctx, tx, guardianOfAnySQL, func(is *bool) []any { return []any{is} },
		school, guardianID, students, on)
	return is, err
}

func oneGuardian(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *personInput,
) (*Guardian, error) {
	among := scope.Access.Among(access.Names | access.Contacts)
	if among != nil {
		theirs, err := guardianOfAny(ctx, tx, scope.School, in.ID, among, scope.Today)
		if err != nil || !theirs {
			return nil, cmp.Or(err, query.ErrDenied)
		}
	}
	g, found, err := read.One(ctx, tx, guardianSQL, func(g *Guardian) []any {
		return []any{&g.GuardianID, &g.Name, &g.Phone, &g.Email, &g.Language, &g.Identifiers}
	}, scope.School, in.ID)
	if err != nil || !found {
		return nil, notFound(err)
	}
	args, where := []any{scope.School, in.ID, in.Or(scope.Today)}, ""
	if among != nil {
		args, where = append(args, among), "l.student_id = ANY($4)"
	}
	g.Children, err = read.All(ctx, tx, childrenSQL.With(where), func(c *Child) []any {
		return []any{
			&c.StudentID, &c.GivenName, &c.FamilyName, &c.ClassID, &c.Status, &c.Relation, &c.Primary,
			&c.From, &c.To,
		}
	}, args...)
	return &g, err
}

func notFound(err error) error {
	if err == nil {
		return query.ErrNotFound
	}
	return err
}

// Staff is all that the directory holds about a member of staff.
type Staff struct {
	StaffID     string      `json:"staff_id"`
	Name        string      `json:"name"`
	Role        string      `json:"role"`
	Subjects    []string    `json:"subjects,omitempty"`
	Phone       string      `json:"phone,omitzero"`
	Email       string      `json:"email,omitzero"`
	Identifiers []string    `json:"identifiers,omitempty" doc:"What other systems call the person"`
	LeftOn      domain.Date `json:"left_on,omitzero" doc:"The first day on which they do not work here; it may be ahead"`
	Classes     []ClassOf   `json:"classes"`
}

const staffMemberSQL read.SQL = `-- students.staff_member
SELECT staff_id, name, role, subjects, phone, email, identifiers, left_on FROM staff
WHERE school = $1 AND staff_id = $2`

func oneOfStaff(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *personInput,
) (*Staff, error) {
	on := in.Or(scope.Today)
	s, found, err := read.One(ctx, tx, staffMemberSQL, func(s *Staff) []any {
		return []any{
			&s.StaffID, &s.Name, &s.Role, &s.Subjects, &s.Phone, &s.Email, &s.Identifiers, &s.LeftOn,
		}
	}, scope.School, in.ID)
	if err != nil || !found {
		return nil, notFound(err)
	}
	if gone := !s.LeftOn.IsZero() && s.LeftOn <= on; !gone {
		s.Classes, err = classesOf(ctx, tx, scope.School, in.ID, on, false)
	}
	return &s, err
}

// schoolInput has no parameters.
type schoolInput struct{}

// School is what a school says about itself.
type School struct {
	Name       string `json:"name"`
	Identifier string `json:"identifier,omitzero" doc:"What its authority calls it"`
	Type       string `json:"type,omitzero"`
	District   string `json:"district,omitzero"`
}

const schoolSQL read.SQL = `-- students.school
SELECT name, identifier, type, district FROM school_profiles WHERE school = $1`

// describe returns an empty name for a school that has said nothing about itself.
func describe(ctx context.Context, tx pgx.Tx, scope query.Scope, _ *schoolInput) (*School, error) {
	s, _, err := read.One(ctx, tx, schoolSQL, func(s *School) []any {
		return []any{&s.Name, &s.Identifier, &s.Type, &s.District}
	}, scope.School)
	return &s, err
}
