package edfi_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/schoolbell/schoolbell/cmd/schoolbell/internal/edfi"
	"github.com/schoolbell/schoolbell/ingest/imports"
	"github.com/schoolbell/schoolbell/internal/golden"
)

// line is a row of a school's package.
type line struct {
	School string
	imports.Row
}

// read converts a directory in memory.
func read(t *testing.T, dir fs.FS) ([]line, *edfi.Report) {
	t.Helper()
	im, err := edfi.Open(t.Context(), dir, nil)
	require.NoError(t, err)
	var lines []line
	report, err := im.Rows(t.Context(), func(school string, row *imports.Row) error {
		lines = append(lines, line{school, *row})
		return nil
	})
	require.NoError(t, err)
	return lines, report
}

// The district is made up for this test: every rule and fault of the importer occurs in it.
func TestGoldenRowsOfASmallDistrict(t *testing.T) {
	t.Parallel()
	lines, report := read(t, os.DirFS("testdata/district"))
	var out []byte
	for _, l := range lines {
		b, err := json.Marshal(l)
		require.NoError(t, err)
		out = append(append(out, b...), '\n')
	}
	golden.Check(t, "testdata/district.ndjson", out)
	var text bytes.Buffer
	require.NoError(t, report.WriteText(&text))
	golden.Check(t, "testdata/district.report.txt", text.Bytes())

	again, _ := read(t, os.DirFS("testdata/district"))
	require.Empty(t, cmp.Diff(lines, again), "the same files give the same package")
}

// changed returns the small district with text of a file replaced.
func changed(t *testing.T, file, old, now string) fstest.MapFS {
	t.Helper()
	dir := fstest.MapFS{}
	names, err := filepath.Glob("testdata/district/*.xml")
	require.NoError(t, err)
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		dir[filepath.Base(name)] = &fstest.MapFile{Data: content}
	}
	require.Contains(t, string(dir[file].Data), old)
	dir[file].Data = bytes.ReplaceAll(dir[file].Data, []byte(old), []byte(now))
	return dir
}

// Ed-Fi 3.x and 4.x call contacts parents.
func TestParentsAreContacts(t *testing.T) {
	t.Parallel()
	want, _ := read(t, os.DirFS("testdata/district"))
	dir := changed(t, "Contact.xml", "Contact", "Parent")
	dir["Contact.xml"].Data = bytes.ReplaceAll(dir["Contact.xml"].Data, []byte("ParentStatus"),
		[]byte("ContactStatus")) // which always had this name
	got, report := read(t, dir)
	require.Equal(t, linksOf(want), linksOf(got))
	require.Len(t, linksOf(got), 4)
	require.Empty(t, report.Dropped)
}

// linksOf returns the links of a package by their data: columns differ where names do.
func linksOf(lines []line) (links []string) {
	for _, l := range lines {
		if l.Kind == imports.KindLink && l.Refused == "" {
			links = append(links, l.School+" "+string(l.Data))
		}
	}
	return links
}

// An xs:date may carry a zone, and exporters write times where the schema has a date.
func TestDatesWithZonesAndTimes(t *testing.T) {
	t.Parallel()
	want, _ := read(t, os.DirFS("testdata/district"))
	for _, suffix := range []string{
		"-05:00", "Z", "+14:00", "T00:00:00", "T00:00:00Z", "T23:30:00-08:00", "T08:00:00.000+02:00",
	} {
		got, _ := read(t, changed(t, "Attendance.xml", "</EventDate>", suffix+"</EventDate>"))
		require.Equal(t, marksOf(want), marksOf(got), suffix)
	}
	_, report := read(t, changed(t, "Attendance.xml", "</EventDate>", " in May</EventDate>"))
	require.Equal(t, []string{"StudentSchoolAttendanceEvent"}, report.Dropped)
	require.False(t, report.Whole())
}

func marksOf(lines []line) (marks []string) {
	for _, l := range lines {
		if l.Kind == imports.KindMark && l.Refused == "" {
			marks = append(marks, l.School+" "+string(l.Data))
		}
	}
	return marks
}

const sectionFiles = `<InterchangeMasterSchedule xmlns="http://ed-fi.org/4.0.0">
	<Section id="SEC1"><SectionIdentifier>GEO</SectionIdentifier><CourseOfferingReference><CourseOfferingIdentity><LocalCourseCode>GEO</LocalCourseCode><SchoolReference><SchoolIdentity><SchoolId>200</SchoolId></SchoolIdentity></SchoolReference><SessionReference><SessionIdentity><SessionName>2024-2025 Fall</SessionName><SchoolYear>2024-2025</SchoolYear></SessionIdentity></SessionReference></CourseOfferingIdentity></CourseOfferingReference><SectionName>Geography, first period</SectionName><ClassPeriodReference><ClassPeriodIdentity><ClassPeriodName>P1</ClassPeriodName></ClassPeriodIdentity></ClassPeriodReference></Section>
	<Section id="SEC2"><SectionIdentifier>HR-11</SectionIdentifier><CourseOfferingReference><CourseOfferingIdentity><LocalCourseCode>HR</LocalCourseCode><SchoolReference><SchoolIdentity><SchoolId>200</SchoolId></SchoolIdentity></SchoolReference><SessionReference><SessionIdentity><SessionName>2024-2025 Fall</SessionName><SchoolYear>2024-2025</SchoolYear></SessionIdentity></SessionReference></CourseOfferingIdentity></CourseOfferingReference></Section>
	<StudentSectionAssociation><StudentReference><StudentIdentity><StudentUniqueId>2</StudentUniqueId></StudentIdentity></StudentReference><SectionReference ref="SEC1"/><BeginDate>2024-09-09</BeginDate><EndDate>2024-11-29</EndDate></StudentSectionAssociation>
	<StudentSectionAssociation><StudentReference><StudentIdentity><StudentUniqueId>2</StudentUniqueId></StudentIdentity></StudentReference><SectionReference ref="SEC2"/><BeginDate>2024-09-09</BeginDate><HomeroomIndicator>true</HomeroomIndicator></StudentSectionAssociation>
	<StudentSectionAttendanceEvent><AttendanceEvent><EventDate>2024-10-07</EventDate><AttendanceEventCategory>uri://ed-fi.org/AttendanceEventCategoryDescriptor#Tardy</AttendanceEventCategory></AttendanceEvent><StudentReference><StudentIdentity><StudentUniqueId>2</StudentUniqueId></StudentIdentity></StudentReference><SectionReference ref="SEC1"/></StudentSectionAttendanceEvent>
</InterchangeMasterSchedule>`

// Attendance of a lesson is a mark of the section, in the period in which it meets; the homeroom is
// the home class, and other sections are memberships.
func TestSectionsHomeroomsAndAttendanceByPeriod(t *testing.T) {
	t.Parallel()
	dir := changed(t, "Student.xml", "Pádraig", "Pádraig")
	dir["MasterSchedule.xml"] = &fstest.MapFile{Data: []byte(sectionFiles)}
	lines, report := read(t, dir)
	require.True(t, slices.ContainsFunc(lines, func(l line) bool {
		return l.Kind == imports.KindMark && strings.Contains(string(l.Data),
			`"student_id":"2","class_id":"GEO","date":"2024-10-07","session":"P1","status":"late"`)
	}))
	require.True(t, slices.ContainsFunc(lines, func(l line) bool {
		return l.Kind == imports.KindAttending && strings.Contains(string(l.Data),
			`"class_id":"GEO","person_id":"2","role":"student","from":"2024-09-09","to":"2024-11-30"`)
	}))
	require.True(t, slices.ContainsFunc(lines, func(l line) bool {
		return l.Kind == imports.KindStudent && strings.Contains(string(l.Data), `"class_id":"HR-11"`)
	}))
	require.True(t, slices.ContainsFunc(lines, func(l line) bool {
		return l.Kind == imports.KindClass && strings.Contains(string(l.Data),
			`"class_id":"HR-11","title":"HR","kind":"home"`)
	}))
	require.Equal(t, 1, report.Placed[edfi.Sections])
}

// A student who is in two files is one student.
func TestStudentsInTwoFilesAreCountedOnce(t *testing.T) {
	t.Parallel()
	_, want := read(t, os.DirFS("testdata/district"))
	dir := changed(t, "Student.xml", "Pádraig", "Pádraig")
	dir["Student-2.xml"] = dir["Student.xml"]
	_, got := read(t, dir)
	require.Equal(t, want.Students, got.Students)
	require.Equal(t, want.Placed, got.Placed)
}

// Nothing that the files say about a person is in a report: only where it is said.
func TestReportsHoldNoPersonalCells(t *testing.T) {
	t.Parallel()
	dir := changed(t, "Student.xml", "<StudentUniqueId>1<", "<StudentUniqueId>"+
		strings.Repeat("Zoë Nguyễn, 2014-03-09 ", 10)+"<")
	_, report := read(t, dir)
	text, err := json.Marshal(report)
	require.NoError(t, err)
	var table bytes.Buffer
	require.NoError(t, report.WriteText(&table))
	for _, cell := range []string{"Nguyễn", "2014-03-09", "Okonkwo", "030 555", "example.org", "Aliens"} {
		require.NotContains(t, string(text), cell)
		require.NotContains(t, table.String(), cell)
	}
}

func TestImportProgressEndsAtTheTotal(t *testing.T) {
	t.Parallel()
	var read, total int64
	im, err := edfi.Open(t.Context(), os.DirFS("testdata/district"), func(r, of int64) {
		require.GreaterOrEqual(t, r, read)
		read, total = r, of
	})
	require.NoError(t, err)
	require.Equal(t, total/2, read)
	_, err = im.Rows(t.Context(), func(string, *imports.Row) error { return nil })
	require.NoError(t, err)
	require.Equal(t, total, read)
}

func TestImportStops(t *testing.T) {
	t.Parallel()
	im, err := edfi.Open(t.Context(), os.DirFS("testdata/district"), nil)
	require.NoError(t, err)
	full := errors.New("full")
	_, err = im.Rows(t.Context(), func(string, *imports.Row) error { return full })
	require.ErrorIs(t, err, full)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = edfi.Open(ctx, os.DirFS("testdata/district"), nil)
	require.ErrorIs(t, err, context.Canceled)
}

// A file that cannot be read completely stops the import before its first event.
func TestOpenRefusesBadFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"cut off": {
			"<InterchangeStudent>\n<Student><Name>",
			"bad.xml: XML syntax error on line 2: unexpected EOF",
		},
		"other root": {"<html></html>", "root element is html, not an Ed-Fi interchange"},
		"empty":      {"", "file has no root element"},
		"two roots":  {"<InterchangeStudent/><Student/>", "more than one root"},
		"encoding": {
			`<?xml version="1.0" encoding="UTF-16"?><InterchangeStudent/>`,
			`encoding "UTF-16" is not supported`,
		},
		"entity": {
			"<InterchangeStudent><Student>&boom;</Student></InterchangeStudent>",
			"invalid character entity &boom;",
		},
		"document type": {
			`<!DOCTYPE x [<!ENTITY boom "boom">]><InterchangeStudent/>`,
			"document type declarations are not accepted",
		},
		"inner doc type": {"<InterchangeStudent><Student><!DOCTYPE x></Student></InterchangeStudent>", "document type declarations are not accepted"},
		"too deep": {
			"<InterchangeStudent>" + string(bytes.Repeat([]byte("<Name>"), 100)),
			"more than 32 levels deep",
		},
		"too many": {"<InterchangeStudent><Student>" +
			string(bytes.Repeat([]byte("<a/>"), 10_001)), "record is larger than"},
		"too large": {"<InterchangeStudent><Student>" +
			string(bytes.Repeat([]byte("text "), 1<<19)), "record is larger than"},
		"huge comment": {"<InterchangeStudent><!--" +
			string(bytes.Repeat([]byte("text "), 1<<19)), "record is larger than"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := edfi.Open(t.Context(),
				fstest.MapFS{"bad.xml": {Data: []byte(c.content)}}, nil)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := edfi.Open(t.Context(), os.DirFS(filepath.Join(t.TempDir(), "missing")), nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = edfi.Open(t.Context(), fstest.MapFS{}, nil)
	require.ErrorContains(t, err, "holds no XML files")
}

// FuzzImport reads any bytes as an interchange file: the importer must return, and yield valid
// events only.
func FuzzImport(f *testing.F) {
	names, err := filepath.Glob("testdata/district/*.xml")
	require.NoError(f, err)
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(f, err)
		f.Add(content)
	}
	known := fstest.MapFS{}
	for _, name := range []string{"Organisation.xml", "Calendar.xml", "Student.xml"} {
		content, err := os.ReadFile(filepath.Join("testdata/district", name))
		require.NoError(f, err)
		known[name] = &fstest.MapFile{Data: content}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := maps.Clone(known)
		dir["fuzz.xml"] = &fstest.MapFile{Data: content}
		im, err := edfi.Open(t.Context(), dir, nil)
		if err != nil {
			return
		}
		rows := make(map[imports.Kind]int)
		report, err := im.Rows(t.Context(), func(_ string, row *imports.Row) error {
			if row.Refused == "" {
				rows[row.Kind]++
			}
			return nil
		})
		require.NoError(t, err)
		require.True(t, maps.Equal(rows, report.Rows))
	})
}
