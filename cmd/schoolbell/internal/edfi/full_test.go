package edfi_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi/edfitest"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/student"
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
			Grades []string `xml:"StudentGradebookEntry>NumericGradeEarned"`
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
	edfitest.Decode(t, dir, "StudentAssessment*.xml", &files.tests)

	events, report := read(t, dir)

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
	type slot struct {
		student, session string
		date             any
	}
	marks, ids := make(map[slot]bool), make(map[string]bool)
	for _, e := range events {
		ids[e.ID] = true
		switch data := e.Data.(type) {
		case *student.Enrolled:
			students[data.StudentID] = true
		case *guardian.Linked:
			relations[[2]string{data.StudentID, data.GuardianID}] = true
		case *assessment.Scored:
			scores++
		case *attendance.Marked:
			got[cell{e.School, data.Date.String(), data.Status}]++
			marks[slot{data.StudentID, data.Session, data.Date}] = true
		}
	}
	require.Equal(t, want, got)
	require.Len(t, marks, len(files.attendance.Events), "no mark replaces another")
	require.Len(t, ids, len(events), "ids are unique")
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

	again, _ := read(t, dir)
	require.Equal(t, events, again)
}
