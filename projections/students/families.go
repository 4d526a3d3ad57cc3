package students

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/projections/read"
)

const linksSQL read.SQL = `-- students.links
SELECT student_id, guardian_id FROM student_guardians
WHERE school = $1 AND starts <= $2 AND (ends IS NULL OR ends > $2) ORDER BY guardian_id, student_id`

// Families are the families of a school on a day: students who have a guardian in common, directly or
// through others, are one family.
type Families struct {
	parent map[string]string // of a student; the first of a family by id is its own
}

// FamiliesOf returns the families of a school on a day.
func FamiliesOf(
	ctx context.Context, tx pgx.Tx, school string, on domain.Date,
) (Families, error) {
	type link struct{ student, guardian string }
	f := Families{map[string]string{}}
	var before link
	err := read.Each(ctx, tx, linksSQL,
		func(l *link) []any { return []any{&l.student, &l.guardian} },
		func(l link) {
			if l.guardian == before.guardian {
				f.join(before.student, l.student)
			}
			before = l
		}, school, on)
	return f, err
}

// Of names the family of a student: by the student's own id where it is a family of one, else by the
// first of its students.
func (f Families) Of(studentID string) string {
	for {
		parent, ok := f.parent[studentID]
		if !ok || parent == studentID {
			return studentID
		}
		studentID = parent
	}
}

func (f Families) join(a, b string) {
	a, b = f.Of(a), f.Of(b)
	first, second := min(a, b), max(a, b)
	f.parent[first], f.parent[second] = first, first
}
