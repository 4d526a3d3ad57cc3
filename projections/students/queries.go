package students

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
)

// Queries are those of the directory. The query for one student is in package profile, which joins
// more than this read model.
var Queries = []query.Endpoint{
	query.Query[listInput, Directory]{
		Name:        "students",
		Path:        "/students",
		Summary:     "Search the directory of students",
		Description: "Students by family name, with their guardians, a page at a time.",
		Reads:       []*projections.Projection{Projection},
		TTL:         5 * time.Minute,
		Roles:       []query.Role{query.Admin, query.Teacher},
		Indexes: []query.Index{
			{Name: "students_by_name", Statement: "students.list", Request: "/students"},
			{
				Name: "students_by_class", Statement: "students.list",
				Request: "/students?class=class-07",
			},
			{
				Name: "students_withdrawn", Statement: "students.withdrawn",
				Request: "/students?status=withdrawn",
			},
			{
				Name: "students_search", Statement: "students.search",
				Request: "/students?q=nakam+or",
			},
			{Name: "student_guardians_pkey", Statement: "students.guardians", Request: "/students"},
			{Name: "guardians_pkey", Statement: "students.guardians", Request: "/students"},
		},
		Run: list,
	},
	query.Query[classesInput, Classes]{
		Name:        "classes",
		Path:        "/classes",
		Summary:     "List the classes",
		Description: "Classes with the number of their students and who works with them.",
		Reads:       []*projections.Projection{Projection},
		TTL:         5 * time.Minute,
		Roles:       []query.Role{query.Admin, query.Teacher, query.Accountant},
		Indexes: []query.Index{
			{Name: "classes_pkey", Statement: "students.classes", Request: "/classes"},
		},
		Run: listClasses,
	},
}

// listInput selects students.
type listInput struct {
	Q      string `query:"q" maxLength:"200" doc:"Words of the name, or parts of them; accents and capitals do not matter"`
	Class  string `query:"class" maxLength:"128" doc:"Only students of this class"`
	Status string `query:"status" enum:"enrolled,withdrawn" default:"enrolled" doc:"Those who attend, or those who have left"`
	After  string `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Students on a page"`
}

// Directory is a page of the directory.
type Directory struct {
	Students []Item `json:"students"`
	Next     string `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// Item is one student in a list.
type Item struct {
	StudentID  string       `json:"student_id"`
	GivenName  string       `json:"given_name"`
	FamilyName string       `json:"family_name"`
	ClassID    string       `json:"class_id"`
	GradeLevel domain.Label `json:"grade_level,omitzero"`
	Status     string       `json:"status"`
	Guardians  []Contact    `json:"guardians"`

	sortName string
}

// Contact is a guardian of a student.
type Contact struct {
	GuardianID string `json:"guardian_id"`
	Name       string `json:"name"`
	Relation   string `json:"relation"`
	Phone      string `json:"phone,omitzero"`
	Email      string `json:"email,omitzero"`
	Language   string `json:"language,omitzero"`
	Primary    bool   `json:"primary"`

	studentID string
}

// cursor is where a page ends. It names the last student as the directory sorts them.
type cursor struct {
	SortName  string `json:"n"`
	StudentID string `json:"s"`
}

const listSQL read.SQL = `-- students.list
SELECT student_id, given_name, family_name, class_id, grade_level, status, sort_name
FROM students
WHERE school = $1 AND status = 'enrolled' AND (sort_name, student_id) > ($2, $3) /*where*/
ORDER BY sort_name, student_id LIMIT $4`

const leftSQL read.SQL = `-- students.withdrawn
SELECT student_id, given_name, family_name, class_id, grade_level, status, sort_name
FROM students
WHERE school = $1 AND status = 'withdrawn' AND (sort_name, student_id) > ($2, $3) /*where*/
ORDER BY sort_name, student_id LIMIT $4`

// Searching for parts of names cannot use an index under row-level security: the server must not
// run LIKE, which might leak what it sees, before it has filtered out other schools. The function
// search_students filters by school itself.
const searchSQL read.SQL = `-- students.search
SELECT student_id, given_name, family_name, class_id, grade_level, status, sort_name
FROM search_students($1, $2, $3, $4, $5, $6, $7)`

func list(ctx context.Context, tx pgx.Tx, scope query.Scope, in *listInput) (*Directory, error) {
	after, err := read.ParseCursor[cursor](in.After)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = &cursor{}
	}
	limit := read.Page(in.Limit, 50, 500)
	fields := func(i *Item) []any {
		return []any{
			&i.StudentID, &i.GivenName, &i.FamilyName, &i.ClassID, &i.GradeLevel,
			&i.Status, &i.sortName,
		}
	}
	var items []Item
	if patterns := patterns(in.Q); len(patterns) > 0 {
		status := in.Status
		if status == "" {
			status = Enrolled
		}
		items, err = read.All(ctx, tx, searchSQL, fields,
			patterns[0], patterns[1:], in.Class, status, after.SortName, after.StudentID, limit+1)
	} else {
		statement := listSQL
		if in.Status == Withdrawn {
			statement = leftSQL
		}
		args := []any{scope.School, after.SortName, after.StudentID, limit + 1}
		if in.Class != "" {
			args = append(args, in.Class)
		}
		items, err = read.All(ctx, tx, statement.With(read.If(in.Class != "", "class_id = $5")),
			fields, args...)
	}
	if err != nil {
		return nil, err
	}
	page, next, err := read.Cut(items, limit,
		func(i Item) cursor { return cursor{i.sortName, i.StudentID} })
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(page))
	for i := range page {
		ids[i] = page[i].StudentID
	}
	guardians, err := Guardians(ctx, tx, scope.School, ids)
	if err != nil {
		return nil, err
	}
	for i := range page {
		page[i].Guardians = guardians[page[i].StudentID]
	}
	return &Directory{Students: page, Next: next}, nil
}

// patterns turns what was typed into a pattern for each word, the longest first: it finds the
// fewest.
func patterns(q string) []string {
	words := strings.Fields(searchable(q))
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	for i, w := range words {
		words[i] = "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(w) + "%"
	}
	return words
}

const guardiansSQL read.SQL = `-- students.guardians
SELECT l.student_id, l.guardian_id, g.name, l.relation, g.phone, g.email, g.language, l.is_primary
FROM student_guardians l JOIN guardians g ON g.school = l.school AND g.guardian_id = l.guardian_id
WHERE l.school = $1 AND l.student_id = ANY($2)
ORDER BY l.student_id, l.is_primary DESC, l.guardian_id`

// Guardians returns the guardians of students, by student, the primary ones first.
func Guardians(
	ctx context.Context, tx pgx.Tx, school string, studentIDs []string,
) (map[string][]Contact, error) {
	all, err := read.All(ctx, tx, guardiansSQL, func(c *Contact) []any {
		return []any{
			&c.studentID, &c.GuardianID, &c.Name, &c.Relation, &c.Phone, &c.Email,
			&c.Language, &c.Primary,
		}
	}, school, studentIDs)
	if err != nil {
		return nil, err
	}
	by := map[string][]Contact{}
	for _, c := range all {
		by[c.studentID] = append(by[c.studentID], c)
	}
	return by, nil
}

// classesInput has no parameters.
type classesInput struct{}

// Classes is the list of classes.
type Classes struct {
	Classes []Class `json:"classes"`
}

// Class is one of them.
type Class struct {
	ClassID  string   `json:"class_id"`
	Students int64    `json:"students" doc:"How many attend it"`
	Staff    []Member `json:"staff"`
}

// Member is a member of staff.
type Member struct {
	StaffID  string   `json:"staff_id"`
	Name     string   `json:"name"`
	Role     string   `json:"role"`
	Subjects []string `json:"subjects,omitzero"`

	classIDs []string
}

const classesSQL read.SQL = `-- students.classes
SELECT class_id, enrolled FROM classes WHERE school = $1 AND enrolled > 0 ORDER BY class_id`

const staffSQL read.SQL = `-- students.staff
SELECT staff_id, name, role, subjects, class_ids FROM staff WHERE school = $1 ORDER BY staff_id`

func listClasses(
	ctx context.Context, tx pgx.Tx, scope query.Scope, _ *classesInput,
) (*Classes, error) {
	classes, err := read.All(ctx, tx, classesSQL, func(c *Class) []any {
		return []any{&c.ClassID, &c.Students}
	}, scope.School)
	if err != nil {
		return nil, err
	}
	staff, err := read.All(ctx, tx, staffSQL, func(m *Member) []any {
		return []any{&m.StaffID, &m.Name, &m.Role, &m.Subjects, &m.classIDs}
	}, scope.School)
	if err != nil {
		return nil, err
	}
	by := map[string][]Member{}
	for _, m := range staff {
		for _, c := range m.classIDs {
			by[c] = append(by[c], m)
		}
	}
	for i := range classes {
		classes[i].Staff = by[classes[i].ClassID]
	}
	return &Classes{classes}, nil
}

// As with names, "contains" is not for indexes under row-level security: see search_students.
const staffOfSQL read.SQL = `-- students.staff_of_class
SELECT staff_id, name, role, subjects FROM staff_of_class($1)`

// StaffOf returns who works with a class.
func StaffOf(ctx context.Context, tx pgx.Tx, classID string) ([]Member, error) {
	return read.All(ctx, tx, staffOfSQL, func(m *Member) []any {
		return []any{&m.StaffID, &m.Name, &m.Role, &m.Subjects}
	}, classID)
}

const siblingsSQL read.SQL = `-- students.siblings
SELECT DISTINCT s.student_id, s.given_name, s.family_name, s.class_id
FROM student_guardians mine
JOIN student_guardians theirs ON theirs.school = mine.school
	AND theirs.guardian_id = mine.guardian_id
JOIN students s ON s.school = theirs.school AND s.student_id = theirs.student_id
WHERE mine.school = $1 AND mine.student_id = $2 AND s.student_id <> $2 AND s.status = 'enrolled'
ORDER BY s.student_id`

// Sibling is a student who shares a guardian with another one.
type Sibling struct {
	StudentID  string `json:"student_id"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	ClassID    string `json:"class_id"`
}

// Siblings returns the students at the school who share a guardian with this one.
func Siblings(ctx context.Context, tx pgx.Tx, school, studentID string) ([]Sibling, error) {
	return read.All(ctx, tx, siblingsSQL, func(s *Sibling) []any {
		return []any{&s.StudentID, &s.GivenName, &s.FamilyName, &s.ClassID}
	}, school, studentID)
}

const namesSQL read.SQL = `-- students.names
SELECT student_id, given_name, family_name, class_id FROM students WHERE school = $1
	AND student_id = ANY($2)`

// Name is what lists of other read models show of a student.
type Name struct {
	GivenName  string
	FamilyName string
	ClassID    string // the class that the student is in now
}

// Names returns the names of students, by id. Who was never enrolled is not in it.
func Names(
	ctx context.Context, tx pgx.Tx, school string, studentIDs []string,
) (map[string]Name, error) {
	type named struct {
		Name
		id string
	}
	all, err := read.All(ctx, tx, namesSQL, func(n *named) []any {
		return []any{&n.id, &n.GivenName, &n.FamilyName, &n.ClassID}
	}, school, studentIDs)
	by := make(map[string]Name, len(all))
	for _, n := range all {
		by[n.id] = n.Name
	}
	return by, err
}

// Student is all that the directory holds about one.
type Student struct {
	StudentID   string       `json:"student_id"`
	GivenName   string       `json:"given_name"`
	FamilyName  string       `json:"family_name"`
	BirthDate   domain.Date  `json:"birth_date,omitzero"`
	ClassID     string       `json:"class_id"`
	GradeLevel  domain.Label `json:"grade_level,omitzero"`
	PhotoURL    string       `json:"photo_url,omitzero"`
	Status      string       `json:"status" enum:"enrolled,withdrawn"`
	EnrolledOn  domain.Date  `json:"enrolled_on,omitzero"`
	WithdrawnOn domain.Date  `json:"withdrawn_on,omitzero"`
}

const oneSQL read.SQL = `-- students.one
SELECT student_id, given_name, family_name, birth_date, class_id, grade_level, photo_url, status,
	enrolled_on, withdrawn_on
FROM students WHERE school = $1 AND student_id = $2`

// One returns a student, or [query.ErrNotFound].
func One(ctx context.Context, tx pgx.Tx, school, studentID string) (Student, error) {
	s, found, err := read.One(ctx, tx, oneSQL, func(s *Student) []any {
		return []any{
			&s.StudentID, &s.GivenName, &s.FamilyName, &s.BirthDate, &s.ClassID, &s.GradeLevel,
			&s.PhotoURL,
			&s.Status, &s.EnrolledOn, &s.WithdrawnOn,
		}
	}, school, studentID)
	if err == nil && !found {
		err = query.ErrNotFound
	}
	return s, err
}

const countSQL read.SQL = `-- students.count
SELECT coalesce(sum(enrolled), 0)::bigint, count(*) FROM classes WHERE school = $1 AND enrolled > 0`

// Headcount is how many attend the school.
type Headcount struct {
	Enrolled int64 `json:"enrolled"`
	Classes  int64 `json:"classes" doc:"Classes with students"`
}

// Count returns the school's headcount.
func Count(ctx context.Context, tx pgx.Tx, school string) (Headcount, error) {
	h, _, err := read.One(ctx, tx, countSQL,
		func(h *Headcount) []any { return []any{&h.Enrolled, &h.Classes} }, school)
	return h, err
}

const isGuardianSQL read.SQL = `-- students.is_guardian
SELECT EXISTS (SELECT FROM student_guardians WHERE school = $1 AND student_id = $2
	AND guardian_id = $3)`

// IsGuardian reports whether a guardian is linked to a student, and so may see what concerns them.
func IsGuardian(
	ctx context.Context, tx pgx.Tx, school, guardianID, studentID string,
) (bool, error) {
	is, _, err := read.One(ctx, tx, isGuardianSQL, func(is *bool) []any { return []any{is} },
		school, studentID, guardianID)
	return is, err
}
