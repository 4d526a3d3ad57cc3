package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi/edfitest"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// district are the files of a district with one school.
type district struct {
	school             string
	year               int      // of the session
	students           []string // ids; the name follows from it
	family             string   // of all of them
	unexcused, excused []string // ids of the students who were absent on the first of October
}

// write writes the files to a directory of their own.
func (d district) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, interchange, body string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("<"+interchange+
			` xmlns="http://ed-fi.org/5.2.0">`+"\n"+body+"</"+interchange+">\n"), 0o600))
	}
	school := "<SchoolReference><SchoolIdentity><SchoolId>" + d.school +
		"</SchoolId></SchoolIdentity></SchoolReference>"
	write("Organisation.xml", "InterchangeEducationOrganization",
		"<School><NameOfInstitution>Lindenhof</NameOfInstitution><SchoolId>"+d.school+
			"</SchoolId></School>\n")
	var students, enrolments, marks strings.Builder
	for _, id := range d.students {
		fmt.Fprintf(&students, "\t<Student><StudentUniqueId>%s</StudentUniqueId><Name><FirstName>Ana"+
			"</FirstName><LastSurname>%s</LastSurname></Name></Student>\n", id, d.family)
		fmt.Fprintf(&enrolments, "\t<StudentSchoolAssociation>%s%s<EntryDate>%d-09-01</EntryDate>"+
			"</StudentSchoolAssociation>\n", studentReference(id), school, d.year)
	}
	for category, ids := range map[string][]string{
		"Unexcused Absence": d.unexcused, "Excused Absence": d.excused,
	} {
		for _, id := range ids {
			fmt.Fprintf(&marks, "\t<StudentSchoolAttendanceEvent><AttendanceEvent><EventDate>%d-10-01"+
				"</EventDate><AttendanceEventCategory>uri://ed-fi.org/AttendanceEventCategoryDescriptor"+
				"#%s</AttendanceEventCategory></AttendanceEvent>%s%s</StudentSchoolAttendanceEvent>\n",
				d.year, category, studentReference(id), school)
		}
	}
	write("Student.xml", "InterchangeStudent", students.String())
	write("Enrollment.xml", "InterchangeStudentEnrollment", enrolments.String())
	write("Attendance.xml", "InterchangeStudentAttendance", marks.String())
	return dir
}

func studentReference(id string) string {
	return "<StudentReference><StudentIdentity><StudentUniqueId>" + id +
		"</StudentUniqueId></StudentIdentity></StudentReference>"
}

func ids(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(1000+i))
	}
	return all
}

// imported is the report of an import, as JSON.
type imported struct {
	Plans map[string]*imports.Plan `json:"plans"`
	Asks  []imports.Ask            `json:"asks"`
}

// importDir imports a directory, and checks the exit code.
func (a *app) importDir(t *testing.T, wantCode int, dir string, args ...string) imported {
	t.Helper()
	code, out, errs := command(t, append([]string{
		"import", "edfi", dir, "--json", "--url", a.HTTP, "--token", a.token,
	}, args...)...)
	require.Equal(t, wantCode, code, "%s%s", out, errs)
	var report imported
	if out != "" {
		require.NoError(t, json.Unmarshal([]byte(out), &report))
	}
	return report
}

// directory is what the API says about a school.
type directory struct {
	Students []struct {
		StudentID  string `json:"student_id"`
		FamilyName string `json:"family_name"`
	} `json:"students"`
}

func (a *app) students(t *testing.T, school string) directory {
	t.Helper()
	var d directory
	a.get(t, "/v1/schools/"+school+"/students?limit=500", a.end(t, school), &d)
	return d
}

// end is the position of the last event of a school.
func (a *app) end(t *testing.T, school string) string {
	t.Helper()
	var page struct {
		Next string `json:"next"`
	}
	a.get(t, "/v1/schools/"+school+"/events?limit=1000", "", &page)
	for last := ""; page.Next != last; {
		last = page.Next
		a.get(t, "/v1/schools/"+school+"/events?limit=1000&after="+last, "", &page)
	}
	return page.Next
}

// Importing A, then B, then A again gives A: what differs from the tables is written, whatever was
// imported before. The same files twice plan nothing.
func TestImportFollowsTheFilesBackAndForth(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	one := district{school: "aba", year: 2025, students: ids(0, 12), family: "Ruiz"}
	one.unexcused, one.excused = ids(0, 2), ids(2, 3)
	two := one
	two.family, two.unexcused, two.excused = "Ruiz Castro", ids(1, 2), []string{"1000", "1002"}
	dirs := map[string]string{"one": one.write(t), "two": two.write(t)}

	for step, name := range []string{"one", "two", "one", "two"} {
		d := map[string]district{"one": one, "two": two}[name]
		report := a.importDir(t, exitDone, dirs[name])
		require.NotZero(t, report.Plans["aba"].Total, "step %d", step)
		again := a.importDir(t, exitDone, dirs[name])
		require.Empty(t, again.Plans["aba"].Events, "step %d", step)

		var got attendanceBody
		a.get(t, "/v1/schools/aba/analytics/attendance?from=2025-10-01&to=2025-10-01",
			a.end(t, "aba"), &got)
		require.Equal(t, len(d.unexcused), got.Totals.AbsentUnexcused, "step %d", step)
		require.Equal(t, len(d.excused), got.Totals.AbsentExcused, "step %d", step)
		students := a.students(t, "aba").Students
		require.Len(t, students, 12)
		require.Equal(t, d.family, students[0].FamilyName, "step %d", step)
	}
	a.requireStates(t, dirs["one"])
}

// requireStates plans an import, and applies and cancels it from the command line.
func (a *app) requireStates(t *testing.T, dir string) {
	t.Helper()
	run := func(wantCode int, args ...string) string {
		t.Helper()
		code, out, errs := command(t, append(args, "--url", a.HTTP, "--token", a.token)...)
		require.Equal(t, wantCode, code, errs)
		return out + errs
	}
	id := a.importDir(t, exitDone, dir, "--dry-run").Plans["aba"].ID
	require.Regexp(t, id+` +edfi +planned`, run(exitDone, "import", "list", "aba"))
	require.Contains(t, run(exitDone, "import", "cancel", "aba", id), "The import is cancelled: 0 of ")
	require.Contains(t, run(exitFailed, "import", "apply", "aba", id), "was cancelled by")
	require.NotContains(t, run(exitDone, "import", "list", "aba", "--state=planned"), id)

	require.Equal(t, id, a.importDir(t, exitDone, dir, "--dry-run").Plans["aba"].ID)
	require.Contains(t, run(exitDone, "import", "apply", "aba", id), "The import is applied")
	require.Contains(t, run(exitFailed, "import", "cancel", "aba", id), "is applied, and what it wrote stays")
	run(exitFailed, "import", "apply", "aba", "unknown")
	run(exitUsage, "import", "list", "aba", "--state=lost")
}

// Files that are cut off, of another year, or have a row whose id cannot be read end nobody unless
// somebody agrees to their number, and the report says what would have happened.
func TestImportEndsNobodyByAccident(t *testing.T) {
	t.Parallel()
	a := startApp(t, nil)
	whole := district{school: "guard", year: 2025, students: ids(0, 20), family: "Ruiz"}
	a.importDir(t, exitDone, whole.write(t))
	require.Len(t, a.students(t, "guard").Students, 20)

	t.Run("cut off", func(t *testing.T) {
		dir := whole.write(t)
		name := filepath.Join(dir, "Student.xml")
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(name, content[:len(content)/2], 0o600))
		a.importDir(t, exitFailed, dir)
	})
	t.Run("half the rows", func(t *testing.T) {
		half := whole
		half.students = ids(0, 10)
		report := a.importDir(t, exitGuard, half.write(t))
		require.Equal(t, "withdraw", report.Asks[0].Consent)
		require.EqualValues(t, 10, report.Asks[0].Count)
		require.EqualValues(t, 20, report.Asks[0].Held)
		a.importDir(t, exitGuard, half.write(t), "--yes=withdraw:9")
	})
	t.Run("another year", func(t *testing.T) {
		other := whole
		other.students = ids(500, 520)
		other.year = 2019
		report := a.importDir(t, exitGuard, other.write(t))
		require.EqualValues(t, 20, report.Asks[0].Count)
	})
	t.Run("an id that cannot be read", func(t *testing.T) {
		bad := whole
		bad.students = append(ids(0, 19), strings.Repeat("Ana Ruiz ", 20))
		report := a.importDir(t, exitGuard, bad.write(t))
		require.EqualValues(t, 1, report.Asks[0].Count, "the student who is not in the file")
		plan := report.Plans["guard"]
		require.NotZero(t, plan.Refused.Count())
		text, err := json.Marshal(plan)
		require.NoError(t, err)
		require.Contains(t, string(text), "Student.xml:21:2")
		require.NotContains(t, string(text), "Ana Ruiz")
	})
	require.Len(t, a.students(t, "guard").Students, 20, "nobody was withdrawn")

	half := whole
	half.students = ids(0, 10)
	dry := a.importDir(t, exitGuard, half.write(t), "--dry-run", "--yes=withdraw:1")
	require.Equal(t, int64(10), dry.Plans["guard"].Events["schoolbell.student.withdrawn.v1"])
	file := filepath.Join(t.TempDir(), "plan.ndjson")
	a.importDir(t, exitDone, half.write(t), "--dry-run", "--yes=withdraw:10", "--plan", file)
	events, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, 10, strings.Count(string(events), "schoolbell.student.withdrawn.v1"))
	require.Len(t, a.students(t, "guard").Students, 20, "a dry run changes nothing")
	a.importDir(t, exitDone, half.write(t), "--yes=withdraw:10")
	require.Len(t, a.students(t, "guard").Students, 10)
	a.importDir(t, exitUsage, half.write(t), "--yes=10")
}

// The sample district that Ed-Fi publishes, imported twice and in A, B, A, with every count beside
// that of the files. B has one absence excused that A has not.
func TestImportOfTheSampleDistrict(t *testing.T) {
	t.Parallel()
	dir := edfitest.Dir(t)
	a := startApp(t, nil)
	changed := t.TempDir()
	require.NoError(t, os.CopyFS(changed, os.DirFS(dir)))
	excuse(t, filepath.Join(changed, "StudentSchoolAttendance.xml"))

	students, schools := edfitest.Counts(t, dir)
	require.Equal(t, 960, students)
	for step, d := range []string{dir, dir, changed, dir} {
		report := a.importDir(t, exitDone, d)
		total, enrolled := int64(0), 0
		for school, n := range schools {
			plan := report.Plans[school]
			total += plan.Total
			enrolled += len(a.students(t, school).Students)
			require.Equal(t, n.Sections, a.sections(t, school), "step %d, school %s", step, school)
			require.EqualValues(t, n.Staff, plan.Rows[imports.KindStaff].Added+
				plan.Rows[imports.KindStaff].Unchanged, "step %d, school %s", step, school)
		}
		require.Equal(t, students, enrolled, "step %d", step)
		require.Equal(t, []int64{total, 0, 1, 1}[step], total, "step %d", step)
		var got attendanceBody
		a.get(t, "/v1/schools/255901001/analytics/attendance?from=2021-10-11&to=2021-10-11",
			a.end(t, "255901001"), &got)
		require.Equal(t, [][2]int{{1, 2}, {1, 2}, {2, 1}, {1, 2}}[step],
			[2]int{got.Totals.AbsentExcused, got.Totals.AbsentUnexcused}, "step %d", step)
	}
}

// sections counts the sections of a school.
func (a *app) sections(t *testing.T, school string) (n int) {
	t.Helper()
	var got struct {
		Classes []struct {
			Kind string `json:"kind"`
		} `json:"classes"`
	}
	a.get(t, "/v1/schools/"+school+"/classes", a.end(t, school), &got)
	for _, c := range got.Classes {
		if c.Kind == "section" {
			n++
		}
	}
	return n
}

// excuse makes the absence of student 604858 on 2021-10-11 an excused one.
func excuse(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	require.NoError(t, err)
	events := strings.SplitAfter(string(content), "</StudentSchoolAttendanceEvent>")
	n := 0
	for i, e := range events {
		if strings.Contains(e, ">604858<") && strings.Contains(e, ">2021-10-11<") {
			events[i] = strings.NewReplacer("#Unexcused Absence", "#Excused Absence",
				"Absent unexcused", "Absent excused").Replace(e)
			n++
		}
	}
	require.Equal(t, 1, n)
	require.NoError(t, os.WriteFile(name, []byte(strings.Join(events, "")), 0o600))
}
