// Package students is the directory: who attends the school and in which class, who their guardians
// are, and who works there. Guardians are stored once and linked to their students, so that a new
// telephone number reaches all of them.
//
// Other read models join the view student_names of this package's migration, or call [Names]; its
// tables are its own. The first change for another attribute of a student is a column of studentRow, of
// the migration and of [Student].
package students

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("students", 1,
	students, classes, guardians, links, members,
	projections.On(enrolled),
	projections.On(classChanged),
	projections.On(withdrawn),
	projections.On(linked),
	projections.On(contactChanged),
	projections.On(assigned),
)

var (
	students  = projections.NewTable[studentKey, studentRow]("students")
	classes   = projections.NewTable[classKey, classRow]("classes")
	guardians = projections.NewTable[guardianKey, guardianRow]("guardians")
	links     = projections.NewTable[linkKey, linkRow]("student_guardians")
	members   = projections.NewTable[memberKey, memberRow]("staff")
)

// The statuses of a student.
const (
	Enrolled  = "enrolled"
	Withdrawn = "withdrawn"
)

type studentKey struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
}

type studentRow struct {
	GivenName  string `db:"given_name"`
	FamilyName string `db:"family_name"`
	// what lists are sorted by and names are searched in; see searchable
	SortName    string       `db:"sort_name"`
	BirthDate   domain.Date  `db:"birth_date"`
	ClassID     string       `db:"class_id"`
	GradeLevel  domain.Label `db:"grade_level"`
	PhotoURL    string       `db:"photo_url"`
	Status      string       `db:"status"`
	EnrolledOn  domain.Date  `db:"enrolled_on"`
	WithdrawnOn domain.Date  `db:"withdrawn_on"`
}

type classKey struct {
	School  string `db:"school"`
	ClassID string `db:"class_id"`
}

type classRow struct {
	Enrolled int64 `db:"enrolled"`
}

func enrolled(b *projections.Batch, e *domain.Envelope, m *student.Enrolled) error {
	put(b, studentKey{e.School, m.StudentID}, studentRow{
		GivenName: m.GivenName, FamilyName: m.FamilyName,
		SortName:  searchable(m.FamilyName + " " + m.GivenName),
		BirthDate: m.BirthDate, ClassID: m.ClassID, GradeLevel: m.GradeLevel, PhotoURL: m.PhotoURL,
		Status: Enrolled, EnrolledOn: m.On,
	})
	return nil
}

// classChanged and withdrawn may name a student that was never enrolled, for example where a school
// joins in the middle of a year: the row then waits for the names.
func classChanged(b *projections.Batch, e *domain.Envelope, m *student.ClassChanged) error {
	key := studentKey{e.School, m.StudentID}
	row, exists := students.Get(b, key)
	row.ClassID = m.ClassID
	if !exists {
		row.Status, row.EnrolledOn = Enrolled, m.On
	}
	put(b, key, row)
	return nil
}

func withdrawn(b *projections.Batch, e *domain.Envelope, m *student.Withdrawn) error {
	key := studentKey{e.School, m.StudentID}
	row, _ := students.Get(b, key)
	row.Status, row.WithdrawnOn = Withdrawn, m.On
	put(b, key, row)
	return nil
}

// put writes a student and updates the numbers of students by class.
func put(b *projections.Batch, key studentKey, row studentRow) {
	old, _ := students.Get(b, key)
	if old == row {
		return
	}
	students.Put(b, key, row)
	if old.Status == row.Status && old.ClassID == row.ClassID {
		return
	}
	count(b, key.School, old, -1)
	count(b, key.School, row, +1)
}

func count(b *projections.Batch, school string, s studentRow, n int64) {
	if s.Status != Enrolled {
		return
	}
	key := classKey{school, s.ClassID}
	class, _ := classes.Get(b, key)
	class.Enrolled += n
	classes.Put(b, key, class)
}

// searchable is how a name is compared: in small letters, without accents, and with one space
// between words.
func searchable(name string) string {
	var b strings.Builder
	b.Grow(len(name))
	for i, word := range strings.Fields(name) {
		if i > 0 {
			b.WriteByte(' ')
		}
		for _, r := range norm.NFKD.String(word) {
			if !unicode.Is(unicode.Mn, r) {
				b.WriteRune(unicode.ToLower(r))
			}
		}
	}
	return b.String()
}

type memberKey struct {
	School  string `db:"school"`
	StaffID string `db:"staff_id"`
}

type memberRow struct {
	Name     string   `db:"name"`
	Role     string   `db:"role"`
	ClassIDs []string `db:"class_ids"`
	Subjects []string `db:"subjects"`
}

func assigned(b *projections.Batch, e *domain.Envelope, m *staff.Assigned) error {
	members.Put(b, memberKey{e.School, m.StaffID},
		memberRow{m.Name, m.Role, m.ClassIDs, m.Subjects})
	return nil
}

type guardianKey struct {
	School     string `db:"school"`
	GuardianID string `db:"guardian_id"`
}

// guardianRow remembers by which event each part of it was set. Links are events of the student and
// changes of contact events of the guardian, so that one may be parked while the other is folded;
// whatever the order, the later one in the log counts.
type guardianRow struct {
	Name      string `db:"name"`
	Phone     string `db:"phone"`
	Email     string `db:"email"`
	Language  string `db:"language"`
	NamedAt   int64  `db:"named_at"`
	ContactAt int64  `db:"contact_at"`
}

type linkKey struct {
	School     string `db:"school"`
	StudentID  string `db:"student_id"`
	GuardianID string `db:"guardian_id"`
}

type linkRow struct {
	Relation string `db:"relation"`
	Primary  bool   `db:"is_primary"`
}

func linked(b *projections.Batch, e *domain.Envelope, m *guardian.Linked) error {
	links.Put(b, linkKey{e.School, m.StudentID, m.GuardianID}, linkRow{m.Relation, m.Primary})

	key := guardianKey{e.School, m.GuardianID}
	row, _ := guardians.Get(b, key)
	if at := e.Position.Offset; at >= row.NamedAt {
		row.Name, row.NamedAt = m.Name, at
	}
	row.contact(e, m.Phone, m.Email, m.Language)
	guardians.Put(b, key, row)
	return nil
}

func contactChanged(b *projections.Batch, e *domain.Envelope, m *guardian.ContactChanged) error {
	key := guardianKey{e.School, m.GuardianID}
	row, _ := guardians.Get(b, key)
	row.contact(e, m.Phone, m.Email, m.Language)
	guardians.Put(b, key, row)
	return nil
}

func (g *guardianRow) contact(e *domain.Envelope, phone, email, language string) {
	if at := e.Position.Offset; at >= g.ContactAt {
		g.Phone, g.Email, g.Language, g.ContactAt = phone, email, language, at
	}
}
