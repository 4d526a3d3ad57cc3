package students

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/search"
)

var classesQuery = query.Query[classesInput, Classes]{
	Name:    "classes",
	Path:    "/classes",
	Summary: "List the classes",
	Description: "Home classes and sections with the number of their students and who works with " +
		"them, as of a day. A class that nobody has defined is listed while it has students.",
	Reads: []*projections.Projection{Projection},
	TTL:   5 * time.Minute,
	Roles: []query.Role{query.Admin, query.Office, query.Teacher, query.Accountant},
	Indexes: []query.Index{
		{Name: "classes_pkey", Statement: "students.classes", Request: "/classes"},
	},
	Run: listClasses,
}

var classQuery = query.Query[classInput, ClassDetails]{
	Name:    "class",
	Path:    "/classes/{id}",
	Summary: "One class",
	Description: "A home class or a section with its students and who works with it, as of a day. " +
		"Of other classes than their own teachers see the number of students, and no names.",
	Reads:   []*projections.Projection{Projection},
	TTL:     5 * time.Minute,
	Roles:   []query.Role{query.Admin, query.Office, query.Teacher, query.Accountant},
	ByScope: true,
	Indexes: []query.Index{
		{
			Name: "memberships_by_class", Statement: "students.class_members",
			Request: "/classes/section-07",
		},
		{
			Name: "enrolments_by_class", Statement: "students.class_members",
			Request: "/classes/class-07",
		},
		{
			Name: "assignments_by_class", Statement: "students.staff_of_class",
			Request: "/classes/class-07",
		},
	},
	Run: oneClass,
}

// classesInput selects classes.
type classesInput struct {
	Q    string `query:"q" maxLength:"200" doc:"Words of the title, the course or the id, or parts of them; capitals, accents, apostrophes and hyphens do not matter"`
	Kind string `query:"kind" enum:"home,section" doc:"Only classes of this kind"`
	On
}

// Classes is the list of classes.
type Classes struct {
	Classes []Class `json:"classes"`
}

// Class is one of them.
type Class struct {
	ClassID  string       `json:"class_id"`
	Title    string       `json:"title,omitzero"`
	Kind     string       `json:"kind" enum:"home,section" doc:"The register, rates and ranks go by home classes; subjects are taught in both"`
	Course   string       `json:"course,omitzero"`
	Subjects []string     `json:"subjects,omitempty"`
	Grades   []string     `json:"grades,omitempty"`
	Year     domain.Label `json:"year,omitzero"`
	Terms    []string     `json:"terms,omitempty"`
	Room     string       `json:"room,omitzero"`
	ClosedOn domain.Date  `json:"closed_on,omitzero" doc:"The first day on which it does not take place; it may be ahead"`
	Students int64        `json:"students" doc:"How many belong to it"`
	Staff    []Member     `json:"staff"`

	searchName string
}

func (c *Class) addresses() []any {
	return []any{
		&c.ClassID, &c.Title, &c.Kind, &c.Course, &c.Subjects, &c.Grades, &c.Year, &c.Terms, &c.Room,
		&c.ClosedOn, &c.searchName, &c.Students,
	}
}

// Member is a member of staff who works with a class.
type Member struct {
	StaffID  string      `json:"staff_id"`
	Name     string      `json:"name"`
	Role     string      `json:"role"`
	Subjects []string    `json:"subjects,omitempty"`
	Primary  bool        `json:"primary,omitzero" doc:"The one who answers for the class"`
	From     domain.Date `json:"from,omitzero" doc:"Absent when it is not known"`
	To       domain.Date `json:"to,omitzero" doc:"The first day after it; absent while it is open"`

	classID string
}

func (m *Member) addresses() []any {
	return []any{
		&m.classID, &m.StaffID, &m.Name, &m.Role, &m.Subjects, &m.Primary, &m.From, &m.To,
	}
}

const classesSQL read.SQL = `-- students.classes
WITH attending AS MATERIALIZED (
	SELECT student_id, class_id FROM enrolments
	WHERE school = $1 AND starts <= $2 AND (ends IS NULL OR ends > $2)
), taught AS (
	SELECT class_id, count(*) AS students, bool_or(home) AS home FROM (
		SELECT class_id, student_id, true AS home FROM attending
		UNION SELECT m.class_id, m.person_id, false
		FROM memberships m JOIN attending a ON a.student_id = m.person_id
		WHERE m.school = $1 AND m.role = 'student' AND m.class_id <> a.class_id
			AND m.starts <= $2 AND (m.ends IS NULL OR m.ends > $2)
	) belonging GROUP BY class_id
), defined AS (
	SELECT * FROM classes WHERE school = $1
)
SELECT coalesce(c.class_id, t.class_id), coalesce(c.title, ''),
	coalesce(nullif(c.kind, ''), CASE WHEN t.home THEN 'home' ELSE 'section' END),
	coalesce(c.course, ''), coalesce(c.subjects, '[]'), coalesce(c.grades, '[]'),
	coalesce(c.year, ''), coalesce(c.terms, '[]'), coalesce(c.room, ''), c.closed_on,
	coalesce(c.search_name, ''), coalesce(t.students, 0)
FROM defined c FULL JOIN taught t ON t.class_id = c.class_id
WHERE c.closed_on IS NULL OR c.closed_on > $2 OR t.home
ORDER BY 1`

// staffSQL lists who works with each class, by assignment or membership.
const staffSQL read.SQL = `-- students.staff
` + memberOf + `(
	SELECT jsonb_array_elements_text(class_ids) COLLATE "C" AS class_id, staff_id, '' AS role,
		false AS is_primary, starts, ends FROM assignments
	WHERE school = $1 AND starts <= $2 AND (ends IS NULL OR ends > $2)
	UNION ALL SELECT class_id, person_id, role, is_primary, starts, ends FROM memberships
	WHERE school = $1 AND role <> 'student' AND starts <= $2 AND (ends IS NULL OR ends > $2)
) w` + byMember

// memberOf and byMember make one row of all that connects a member of staff with a class.
const (
	memberOf = `SELECT w.class_id, w.staff_id, coalesce(s.name, ''),
	coalesce(nullif(s.role, ''), max(w.role)), coalesce(s.subjects, '[]'), bool_or(w.is_primary),
	min(w.starts), CASE WHEN bool_and(w.ends IS NOT NULL) THEN max(w.ends) END
FROM `
	byMember = ` LEFT JOIN staff s ON s.school = $1 AND s.staff_id = w.staff_id
WHERE s.left_on IS NULL OR s.left_on > $2
GROUP BY w.class_id, w.staff_id, s.name, s.role, s.subjects ORDER BY w.staff_id`
)

func listClasses(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *classesInput,
) (*Classes, error) {
	on := in.Or(scope.Today)
	classes, err := read.All(ctx, tx, classesSQL, (*Class).addresses, scope.School, on)
	if err != nil {
		return nil, err
	}
	words := search.Words(in.Q)
	classes = slices.DeleteFunc(classes, func(c Class) bool {
		key := c.searchName
		if key == "" { // facts name it, but nobody has defined it
			key = search.Key("", "", c.ClassID)
		}
		return in.Kind != "" && c.Kind != in.Kind || !search.In(key, words)
	})
	staff, err := read.All(ctx, tx, staffSQL, (*Member).addresses, scope.School, on)
	if err != nil {
		return nil, err
	}
	by := map[string][]Member{}
	for _, m := range staff {
		by[m.classID] = append(by[m.classID], m)
	}
	for i := range classes {
		classes[i].Staff = by[classes[i].ClassID]
	}
	return &Classes{classes}, nil
}

// As with names, "contains" is not for indexes under row-level security: see the function
// assigned_to.
const staffOfSQL read.SQL = `-- students.staff_of_class
` + memberOf + `(
	SELECT $3::text AS class_id, staff_id, '' AS role, false AS is_primary, starts, ends
	FROM assigned_to($3, $2)
	UNION ALL SELECT class_id, person_id, role, is_primary, starts, ends FROM memberships
	WHERE school = $1 AND class_id = $3 AND role <> 'student'
		AND starts <= $2 AND (ends IS NULL OR ends > $2)
) w` + byMember

// StaffOf returns who works with a class on a day.
func StaffOf(
	ctx context.Context, tx pgx.Tx, school, classID string, on domain.Date,
) ([]Member, error) {
	return read.All(ctx, tx, staffOfSQL, (*Member).addresses, school, on, classID)
}

// classInput selects a class.
type classInput struct {
	ClassID string `path:"id" maxLength:"128"`
	On
}

// ClassDetails is a class with all who belong to it.
type ClassDetails struct {
	Class
	Members []ClassMember `json:"members" doc:"Its students, by name"`
}

// ClassMember is a student who belongs to a class.
type ClassMember struct {
	StudentID     string       `json:"student_id"`
	GivenName     string       `json:"given_name"`
	FamilyName    string       `json:"family_name"`
	PreferredName string       `json:"preferred_name,omitzero"`
	HomeClassID   string       `json:"home_class_id"`
	GradeLevel    domain.Label `json:"grade_level,omitzero"`
	From          domain.Date  `json:"from"`
	To            domain.Date  `json:"to,omitzero" doc:"The first day after it; absent while it is open"`
}

const classSQL read.SQL = `-- students.class
SELECT class_id, title, kind, course, subjects, grades, year, terms, room, closed_on, search_name,
	0::bigint
FROM classes WHERE school = $1 AND class_id = $2`

const classMembersSQL read.SQL = `-- students.class_members
SELECT n.student_id, n.given_name, n.family_name, n.preferred_name, n.class_id, n.grade_level,
	min(m.starts), CASE WHEN bool_and(m.ends IS NOT NULL) THEN max(m.ends) END
FROM (
	SELECT student_id, starts, ends FROM enrolments
	WHERE school = $1 AND class_id = $2 AND starts <= $3 AND (ends IS NULL OR ends > $3)
	UNION ALL SELECT person_id, starts, ends FROM memberships
	WHERE school = $1 AND class_id = $2 AND role = 'student'
		AND starts <= $3 AND (ends IS NULL OR ends > $3)
) m JOIN student_names($3) n ON n.school = $1 AND n.student_id = m.student_id
WHERE n.status = 'enrolled'
GROUP BY n.student_id, n.given_name, n.family_name, n.preferred_name, n.class_id, n.grade_level,
	n.sort_name
ORDER BY n.sort_name, n.student_id`

func oneClass(
	ctx context.Context, tx pgx.Tx, scope query.Scope, in *classInput,
) (*ClassDetails, error) {
	on := in.Or(scope.Today)
	class, defined, err := read.One(ctx, tx, classSQL, (*Class).addresses, scope.School, in.ClassID)
	if err != nil {
		return nil, err
	}
	d := &ClassDetails{Class: class}
	d.ClassID = in.ClassID
	if d.Members, err = read.All(ctx, tx, classMembersSQL, func(m *ClassMember) []any {
		return []any{
			&m.StudentID, &m.GivenName, &m.FamilyName, &m.PreferredName, &m.HomeClassID,
			&m.GradeLevel, &m.From, &m.To,
		}
	}, scope.School, in.ClassID, on); err != nil {
		return nil, err
	}
	if d.Staff, err = StaffOf(ctx, tx, scope.School, in.ClassID, on); err != nil {
		return nil, err
	}
	if !defined && len(d.Members)+len(d.Staff) == 0 {
		return nil, query.ErrNotFound
	}
	isHome := slices.ContainsFunc(d.Members,
		func(m ClassMember) bool { return m.HomeClassID == in.ClassID })
	switch {
	case d.Kind == "" && isHome:
		d.Kind = "home"
	case d.Kind == "":
		d.Kind = "section"
	}
	if closed := !d.ClosedOn.IsZero() && d.ClosedOn <= on; closed { // nobody belongs to it any more
		d.Staff = nil
		d.Members = slices.DeleteFunc(d.Members,
			func(m ClassMember) bool { return m.HomeClassID != in.ClassID })
	}
	d.Students = int64(len(d.Members))
	if among := scope.Access.Among(access.Names); among != nil { // all are counted, and not all are named
		d.Members = slices.DeleteFunc(d.Members,
			func(m ClassMember) bool { return !slices.Contains(among, m.StudentID) })
	}
	return d, nil
}
