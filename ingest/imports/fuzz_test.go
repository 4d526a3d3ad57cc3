package imports_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/projections/students"
)

// empty are the tables of a school that nothing is known of.
type empty struct{}

func (empty) Roster(domain.Date) (*students.Roster, error) { return &students.Roster{}, nil }

func (empty) Years(of []*imports.Year) ([]*imports.Year, error) {
	return make([]*imports.Year, len(of)), nil
}

func (empty) Days(of []*imports.Day) ([]*imports.Day, error) {
	return make([]*imports.Day, len(of)), nil
}

func (empty) Marks(of []*imports.Mark) ([]*imports.Mark, error) {
	return make([]*imports.Mark, len(of)), nil
}

func (empty) Assessments(of []*imports.Assessment) ([]*imports.Assessment, error) {
	return make([]*imports.Assessment, len(of)), nil
}

func (empty) Scores(of []*imports.Score) ([]*imports.Score, error) {
	return make([]*imports.Score, len(of)), nil
}

func (empty) Parked() (map[string]bool, error) { return nil, nil }

// FuzzPackage plans any bytes: the plan has valid events only, and refusals without content.
func FuzzPackage(f *testing.F) {
	f.Add(`{"source": "sis", "complete": ["student"]}
{"kind": "student", "data": {"student_id": "s1", "given_name": "Ada", "family_name": "King", "class_id": "7a", "on": "2026-09-01", "left_on": "2026-10-01"}}
{"kind": "class", "data": {"class_id": "7a", "title": "7a", "kind": "home", "subjects": [], "room": null}}
{"kind": "staff", "data": {"staff_id": "t1", "name": "T", "role": "teacher", "email": "t@example.org"}}
{"kind": "link", "data": {"guardian_id": "g1", "student_id": "s1", "name": "G", "relation": "aunt", "primary": true}}
{"kind": "teaching", "data": {"membership_id": "m1", "class_id": "7a", "person_id": "t1", "role": "teacher", "from": "2026-09-01", "to": "2026-09-01"}}
{"kind": "mark", "data": {"student_id": "s1", "class_id": "7a", "date": "2026-09-02", "session": "day", "status": "late"}}
{"kind": "student", "refused": "its id cannot be read", "at": "a.csv:1:1"}`)
	f.Add(`{"source": "sis"}` + "\n" + `{"kind": "score", "data": {"student_id": 1}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\x1f\x8b") {
			t.Skip("compressed")
		}
		facts, err := imports.PlanOf(text, empty{})
		if err != nil {
			return
		}
		for _, fact := range facts {
			var faults domain.Faults
			fact.Validate(&faults)
			require.NoError(t, faults.Err())
		}
	})
}
