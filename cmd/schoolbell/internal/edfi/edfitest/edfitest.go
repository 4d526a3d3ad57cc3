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

// School is what the files have for one school.
type School struct{ Sections, Staff int }

// Counts counts the students of all schools together, as most of the files do not say where a
// student is, and the sections and staff of each school.
func Counts(t *testing.T, dir string) (students int, schools map[string]School) {
	t.Helper()
	type section struct {
		ID      string `xml:"SectionIdentifier"`
		Course  string `xml:"CourseOfferingReference>CourseOfferingIdentity>LocalCourseCode"`
		School  string `xml:"CourseOfferingReference>CourseOfferingIdentity>SchoolReference>SchoolIdentity>SchoolId"`
		Session string `xml:"CourseOfferingReference>CourseOfferingIdentity>SessionReference>SessionIdentity>SessionName"`
	}
	type post struct {
		Staff   string  `xml:"StaffReference>StaffIdentity>StaffUniqueId"`
		Section section `xml:"SectionReference>SectionIdentity"`
		School  string  `xml:"SchoolReference>SchoolIdentity>SchoolId"`
		Org     string  `xml:"EducationOrganizationReference>EducationOrganizationIdentity>EducationOrganizationId"`
	}
	var files struct {
		Students []string  `xml:"Student>StudentUniqueId"`
		Schools  []string  `xml:"School>SchoolId"`
		Graded   []section `xml:"GradebookEntry>SectionReference>SectionIdentity"`
		Taught   []post    `xml:"StaffSectionAssociation"`
		Working  []post    `xml:"StaffSchoolAssociation"`
		Assigned []post    `xml:"StaffEducationOrganizationAssignmentAssociation"`
	}
	for _, pattern := range []string{
		"Student.xml", "EducationOrganization.xml", "StudentGradebook.xml", "StaffAssociation.xml",
	} {
		Decode(t, dir, pattern, &files)
	}
	sections, staff := map[string]map[section]bool{}, map[string]map[string]bool{}
	for _, school := range files.Schools {
		sections[school], staff[school] = map[section]bool{}, map[string]bool{}
	}
	for _, s := range files.Graded {
		sections[s.School][s] = true
	}
	for _, p := range files.Taught {
		sections[p.Section.School][p.Section] = true
		staff[p.Section.School][p.Staff] = true
	}
	for _, p := range files.Working {
		staff[p.School][p.Staff] = true
	}
	for _, p := range files.Assigned {
		if staff[p.Org] != nil {
			staff[p.Org][p.Staff] = true
		}
	}
	schools = map[string]School{}
	for _, school := range files.Schools {
		schools[school] = School{len(sections[school]), len(staff[school])}
	}
	return len(files.Students), schools
}
