package students

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/access"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/query"
	"github.com/schoolbell/schoolbell/projections/read"
	"github.com/schoolbell/schoolbell/projections/search"
)

// Queries are those of the directory. The query for one student is in package profile, which joins
// more than this read model. All of them show the directory as of a day, today by default.
var Queries = []query.Endpoint{
	query.Query[listInput, Directory]{
		Name:    "students",
		Path:    "/students",
		Summary: "Search the directory of students",
		Description: "Students by family name, with their guardians, a page at a time, as of a " +
			"day. Teachers see those who are in their classes today. Accountants see the names of " +
			"guardians, and not how to reach them.",
		Reads:   []*projections.Projection{Projection},
		TTL:     5 * time.Minute,
		Roles:   []query.Role{query.Admin, query.Office, query.Teacher, query.Accountant},
		ByScope: true,
		Indexes: []query.Index{
			{Name: "students_by_name", Statement: "students.list", Request: "/students"},
			{
				Name: "enrolments_by_class", Statement: "students.list",
				Request: "/students?class=class-07",
			},
			{
				Name: "students_withdrawn", Statement: "students.elsewhere",
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
	classesQuery, classQuery, guardianQuery, staffQuery, schoolQuery, enrolmentQuery,
}

// On is the day of which a query shows the directory.
type On struct {
	On read.Day `query:"on" doc:"As of this day, as 2026-09-01; the school's today when absent"`
}

// Or returns the day that was asked for, or today.
func (o On) Or(today domain.Date) domain.Date {
	if o.On.IsZero() {
		return today
	}
	return o.On.Date
}

// listInput selects students.
type listInput struct {
	Q      string `query:"q" maxLength:"200" doc:"Words of the name, or parts of them, or of the id; capitals, accents, apostrophes and hyphens do not matter"`
	Class  string `query:"class" maxLength:"128" doc:"Only students of this home class"`
	Status string `query:"status" enum:"enrolled,withdrawn,expected,unknown" default:"enrolled" doc:"Those who attend, who have left, who are enrolled from a later day on, or whom facts name but nobody enrolled"`
	On
	After string `query:"after" maxLength:"2048" doc:"The next of the previous page"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Students on a page"`
}

// Directory is a page of the directory.
type Directory struct {
	Students []Item `json:"students"`
	Next     string `json:"next,omitzero" doc:"Pass it as after to get the next page; absent on the last one"`
}

// Item is one student in a list.
type Item struct {
	StudentID     string       `json:"student_id"`
	GivenName     string       `json:"given_name"`
	FamilyName    string       `json:"family_name"`
	PreferredName string       `json:"preferred_name,omitzero"`
	ClassID       string       `json:"class_id" doc:"The home class"`
	GradeLevel    domain.Label `json:"grade_level,omitzero"`
	Status        string       `json:"status"`
	Guardians     []Contact    `json:"guardians"`

	sortName string
}

func (i *Item) addresses() []any {
	return []any{
		&i.StudentID, &i.GivenName, &i.FamilyName, &i.PreferredName, &i.ClassID, &i.GradeLevel,
		&i.Status, &i.sortName,
	}
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
SELECT s.student_id, s.given_name, s.family_name, s.preferred_name, e.class_id, s.grade_level,
	'enrolled', s.sort_name
FROM students s JOIN enrolments e ON e.school = $1 AND e.student_id = s.student_id
	AND e.starts <= $5 AND (e.ends IS NULL OR e.ends > $5)
WHERE s.school = $1 AND (s.sort_name, s.student_id) > ($2, $3) /*where*/
ORDER BY s.sort_name, s.student_id LIMIT $4`

// elsewhereSQL finds those who do not attend. The conditions on the days of the row alone leave few
// whose enrolments must be looked up.
const elsewhereSQL read.SQL = `-- students.elsewhere
SELECT student_id, given_name, family_name, preferred_name, class_id, grade_level, status, sort_name
FROM student_names($5)
WHERE school = $1 AND status = $6 AND (sort_name, student_id) > ($2, $3) /*where*/
ORDER BY sort_name, student_id LIMIT $4`

var elsewhere = map[string]string{
	Withdrawn: "left_on <= $5",
	Expected:  "first_on > $5",
	Unknown:   "first_on IS NULL",
}

// Searching for parts of names cannot use an index under row-level security: the server must not
// run LIKE, which might leak what it sees, before it has filtered out other schools. The function
// search_students filters by school itself.
const searchSQL read.SQL = `-- students.search
SELECT student_id, given_name, family_name, preferred_name, class_id, grade_level, status, sort_name
FROM search_students($1, $2, $3, $4, $5, $6, $7, $8, $9)`

func list(ctx context.Context, tx pgx.Tx, scope query.Scope, in *listInput) (*Directory, error) {
	after, err := read.ParseCursor[cursor](in.After)
	if err != nil {
		return nil, err
	}
	if after == nil {
		after = &cursor{}
	}
	limit, on := read.Page(in.Limit, 50, 500), in.Or(scope.Today)
	status := in.Status
	if status == "" {
		status = Enrolled
	}
	among := scope.Access.Among(access.Names)
	var items []Item
	if patterns := search.Patterns(search.Words(in.Q)); len(patterns) > 0 {
		items, err = read.All(ctx, tx, searchSQL, (*Item).addresses, patterns[0], patterns[1:],
			in.Class, status, on, after.SortName, after.StudentID, limit+1, among)
	} else {
		args := []any{scope.School, after.SortName, after.StudentID, limit + 1, on}
		statement, of := listSQL, "e."
		var where []string
		if status != Enrolled {
			args = append(args, status)
			statement, of, where = elsewhereSQL, "", []string{elsewhere[status]}
		}
		if in.Class != "" {
			args = append(args, in.Class)
			where = append(where, fmt.Sprintf("%sclass_id = $%d", of, len(args)))
		}
		if among != nil {
			args = append(args, among)
			where = append(where, fmt.Sprintf("%sstudent_id = ANY($%d)", of, len(args)))
		}
		statement = statement.With(where...)
		items, err = read.All(ctx, tx, statement, (*Item).addresses, args...)
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
	guardians, err := Guardians(ctx, tx, scope.School, ids, on)
	if err != nil {
		return nil, err
	}
	for i := range page {
		page[i].Guardians = guardians[page[i].StudentID]
		if !scope.Access.Of(page[i].StudentID).Has(access.Contacts) {
			HideContacts(page[i].Guardians)
		}
	}
	return &Directory{Students: page, Next: next}, nil
}

// HideContacts leaves of guardians only who they are.
func HideContacts(guardians []Contact) {
	for i := range guardians {
		guardians[i].Phone, guardians[i].Email, guardians[i].Language = "", "", ""
	}
}

const guardiansSQL read.SQL = `-- students.guardians
SELECT l.student_id, l.guardian_id, g.name, l.relation, g.phone, g.email, g.language, l.is_primary
FROM student_guardians l
JOIN guardians g ON g.school = $1 AND g.guardian_id = l.guardian_id
WHERE l.school = $1 AND l.student_id = ANY($2)
	AND l.starts <= $3 AND (l.ends IS NULL OR l.ends > $3)
ORDER BY l.student_id, l.is_primary DESC, l.guardian_id`

// Guardians returns the guardians of students on a day, by student: the primary ones first.
func Guardians(
	ctx context.Context, tx pgx.Tx, school string, studentIDs []string, on domain.Date,
) (map[string][]Contact, error) {
	all, err := read.All(ctx, tx, guardiansSQL, func(c *Contact) []any {
		return []any{
			&c.studentID, &c.GuardianID, &c.Name, &c.Relation, &c.Phone, &c.Email, &c.Language,
			&c.Primary,
		}
	}, school, studentIDs, on)
	if err != nil {
		return nil, err
	}
	by := map[string][]Contact{}
	for _, c := range all {
		by[c.studentID] = append(by[c.studentID], c)
	}
	return by, nil
}
