// Package edfitest counts the content of Ed-Fi interchange files independently of the importer:
// whole files, decoded into structs. Tests compare an import with these counts.
package edfitest

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Dir returns the directory of a district's interchange files, for example the sample that Ed-Fi
// publishes, which is not part of the repository. The test is skipped where SCHOOLBELL_EDFI_DIR
// does not name one.
func Dir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SCHOOLBELL_EDFI_DIR")
	if dir == "" {
		t.Skip("SCHOOLBELL_EDFI_DIR does not name a directory of Ed-Fi interchange files")
	}
	return dir
}

// Decode decodes all files whose name matches a pattern into one value.
func Decode(t *testing.T, dir, pattern string, v any) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, xml.Unmarshal(content, v), name)
	}
}

// Day is a day of a student at a school. Date reads 2021-08-31.
type Day struct{ School, Student, Date string }

// AbsenceTexts counts the texts that guardians must get about absences: one for each unexcused
// absence of a student whose primary contact has a phone that is not a fax. A day may have more
// than one. It also counts the excused absences, about which there is no text.
func AbsenceTexts(t *testing.T, dir string) (texts map[Day]int, excused int) {
	t.Helper()
	reached := reached(t, dir)
	var attendance struct {
		Events []struct {
			Date     string `xml:"AttendanceEvent>EventDate"`
			Category string `xml:"AttendanceEvent>AttendanceEventCategory"`
			School   string `xml:"SchoolReference>SchoolIdentity>SchoolId"`
			Student  string `xml:"StudentReference>StudentIdentity>StudentUniqueId"`
		} `xml:"StudentSchoolAttendanceEvent"`
	}
	Decode(t, dir, "StudentSchoolAttendance.xml", &attendance)
	texts = map[Day]int{}
	for _, e := range attendance.Events {
		switch {
		case strings.HasSuffix(e.Category, "#Unexcused Absence") && reached[e.Student]:
			texts[Day{e.School, e.Student, e.Date}]++
		case strings.HasSuffix(e.Category, "#Excused Absence"):
			excused++
		}
	}
	return texts, excused
}

// reached returns the students whose primary contact can receive a text.
func reached(t *testing.T, dir string) map[string]bool {
	t.Helper()
	var contacts struct {
		Contacts []struct {
			ID    string   `xml:"id,attr"`
			Kinds []string `xml:"Telephone>TelephoneNumberType"`
		} `xml:"Contact"`
		Relations []struct {
			Student string `xml:"StudentReference>StudentIdentity>StudentUniqueId"`
			Contact struct {
				Ref string `xml:"ref,attr"`
			} `xml:"ContactReference"`
			Primary bool `xml:"PrimaryContactStatus"`
		} `xml:"StudentContactAssociation"`
	}
	Decode(t, dir, "Contact.xml", &contacts)
	dialled, reached := map[string]bool{}, map[string]bool{}
	for _, c := range contacts.Contacts {
		for _, kind := range c.Kinds {
			dialled[c.ID] = dialled[c.ID] || !strings.HasSuffix(kind, "#Fax")
		}
	}
	for _, r := range contacts.Relations {
		reached[r.Student] = reached[r.Student] || r.Primary && dialled[r.Contact.Ref]
	}
	return reached
}
