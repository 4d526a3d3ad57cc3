package edfi_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi/edfitest"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// Every record of the sample district that Ed-Fi publishes is imported once.
func TestImportOfAWholeDistrict(t *testing.T) {
	t.Parallel()
	dir := edfitest.Dir(t)
	var files struct {
		attendance struct {
			Events []struct {
				Date     string `xml:"AttendanceEvent>EventDate"`
				Category string `xml:"AttendanceEvent>AttendanceEventCategory"`
				Reason   string `xml:"AttendanceEvent>AttendanceEventReason"`
				School   string `xml:"SchoolReference>SchoolIdentity>SchoolId"`
			} `xml:"StudentSchoolAttendanceEvent"`
		}
		students struct {
			IDs []string `xml:"Student>StudentUniqueId"`
		}
		relations struct {
			Students []string `xml:"StudentContactAssociation>StudentReference>StudentIdentity>StudentUniqueId"`
		}
		grades struct {
			Grades   []string       `xml:"StudentGradebookEntry>NumericGradeEarned"`
			Sections []sectionInXML `xml:"GradebookEntry>SectionReference>SectionIdentity"`
		}
		staff struct {
			Sections []sectionInXML `xml:"StaffSectionAssociation>SectionReference>SectionIdentity"`
			Staff    []struct {
				ID      string   `xml:"StaffUniqueId"`
				Address []string `xml:"ElectronicMail>ElectronicMailAddress"`
			} `xml:"Staff"`
		}
		tests struct {
			Taken []struct {
				Results []string `xml:"ScoreResult>Result"`
			} `xml:"StudentAssessment"`
		}
	}
	edfitest.Decode(t, dir, "StudentSchoolAttendance*.xml", &files.attendance)
	edfitest.Decode(t, dir, "Student.xml", &files.students)
	edfitest.Decode(t, dir, "Contact.xml", &files.relations)
	edfitest.Decode(t, dir, "StudentGradebook.xml", &files.grades)
	edfitest.Decode(t, dir, "StaffAssociation.xml", &files.staff)
	edfitest.Decode(t, dir, "StudentAssessment*.xml", &files.tests)

	rows, report := read(t, os.DirFS(dir))

	type cell struct{ school, date, status string }
	want, got := make(map[cell]int), make(map[cell]int)
	for _, e := range files.attendance.Events {
		status := attendance.AbsentExcused
		switch {
		case strings.HasSuffix(e.Category, "#Tardy"):
			status = attendance.Late
		case strings.HasSuffix(e.Reason, "unexcused"):
			status = attendance.AbsentUnexcused
		}
		want[cell{e.School, e.Date, status}]++
	}
	students, relations, scores := make(map[string]bool), make(map[[2]string]bool), 0
	type slot struct{ student, session, date string }
	marks, sections := make(map[slot]bool), make(map[string]bool)
	emails, reachable := 0, 0
	addresses := make(map[string]int)
	for _, one := range files.staff.Staff {
		addresses[one.ID] = len(one.Address)
	}
	for _, row := range rows {
		var data struct {
			StudentID  string  `json:"student_id"`
			StaffID    string  `json:"staff_id"`
			GuardianID string  `json:"guardian_id"`
			Date       string  `json:"date"`
			Session    string  `json:"session"`
			Status     string  `json:"status"`
			ClassID    string  `json:"class_id"`
			Kind       string  `json:"kind"`
			Email      *string `json:"email"`
		}
		require.Empty(t, row.Refused)
		require.NoError(t, json.Unmarshal(row.Data, &data))
		switch row.Kind {
		case imports.KindStudent:
			students[data.StudentID] = true
		case imports.KindLink:
			relations[[2]string{data.StudentID, data.GuardianID}] = true
		case imports.KindScore:
			scores++
		case imports.KindClass:
			if data.Kind == class.Section {
				sections[data.ClassID] = true
			}
		case imports.KindStaff:
			reachable += min(addresses[data.StaffID], 1)
			if data.Email != nil {
				emails++
			}
		case imports.KindMark:
			got[cell{row.School, data.Date, data.Status}]++
			marks[slot{data.StudentID, data.Session, data.Date}] = true
		}
	}
	require.Equal(t, want, got)
	require.Len(t, marks, len(files.attendance.Events), "no mark replaces another")
	require.Len(t, sections, distinct(files.staff.Sections, files.grades.Sections))
	require.Equal(t, len(files.staff.Sections), report.Rows[imports.KindTeaching])
	require.NotZero(t, emails)
	require.Equal(t, reachable, emails, "staff have the addresses that the files have")
	require.Len(t, students, len(files.students.IDs))
	require.Len(t, relations, len(files.relations.Students))
	tests := 0
	for _, taken := range files.tests.Taken {
		if len(taken.Results) > 0 {
			tests++
		}
	}
	require.Equal(t, len(files.grades.Grades)+tests, scores)
	require.Equal(t, len(students), report.Students)
	require.Equal(t, len(relations), report.Relations)

	require.True(t, report.Whole())

	again, _ := read(t, os.DirFS(dir))
	require.Equal(t, rows, again)
}

// sectionInXML is the identity of a section.
type sectionInXML struct {
	ID      string `xml:"SectionIdentifier"`
	Course  string `xml:"CourseOfferingReference>CourseOfferingIdentity>LocalCourseCode"`
	School  string `xml:"CourseOfferingReference>CourseOfferingIdentity>SchoolReference>SchoolIdentity>SchoolId"`
	Session string `xml:"CourseOfferingReference>CourseOfferingIdentity>SessionReference>SessionIdentity>SessionName"`
}

func distinct(lists ...[]sectionInXML) int {
	seen := map[sectionInXML]bool{}
	for _, s := range slices.Concat(lists...) {
		seen[s] = true
	}
	return len(seen)
}
