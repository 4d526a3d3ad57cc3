package edfi

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// samplesPerFinding is the number of places that a finding names.
const samplesPerFinding = 3

// Report is what became of the records of the files.
type Report struct {
	Files   []File               `json:"files"`
	Schools []*School            `json:"schools"`
	Rows    map[imports.Kind]int `json:"rows"` // of all schools' packages
	// Students and Relations are counted once each, however many schools they belong to.
	Students  int `json:"students"`
	Relations int `json:"relations"`
	// Placed counts students by the evidence for their school.
	Placed map[Evidence]int `json:"placed"`
	// Adjusted are records that were taken with a change; Unused those that have nothing to take;
	// Refused those that cannot be taken as they are.
	Adjusted []Finding `json:"adjusted"`
	Unused   []Finding `json:"unused"`
	Refused  []Finding `json:"refused"`
	// Dropped names the kinds of records of which none was taken, though Schoolbell imports them.
	Dropped []string `json:"dropped"`

	schools map[string]*School
}

// File is a file that was read.
type File struct {
	Name        string         `json:"name"`
	Interchange string         `json:"interchange"`
	Bytes       int64          `json:"bytes"`
	Records     map[string]int `json:"records"`
}

// School is what there is for one school.
type School struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Years       int            `json:"years"` // of the calendar
	Days        int            `json:"days"`  // single days of the calendar
	Students    int            `json:"students"`
	Relations   int            `json:"relations"`
	Staff       int            `json:"staff"`
	Classes     int            `json:"classes"`
	Attending   int            `json:"attending"`  // students' memberships of sections
	Teaching    int            `json:"teaching"`   // teachers' and aides'
	Attendance  map[string]int `json:"attendance"` // by status
	Assessments int            `json:"assessments"`
	Scores      int            `json:"scores"`
}

// Finding is something that happened to records, how often, and where some of them are. It has
// nothing of their content.
type Finding struct {
	Record string   `json:"record"`
	Reason string   `json:"reason"`
	Count  int      `json:"count"`
	At     []string `json:"at,omitzero"` // file, line and column
}

func (r *Report) school(id string) *School {
	s := r.schools[id]
	if s == nil {
		s = &School{ID: id, Attendance: make(map[string]int)}
		r.schools[id] = s
		r.Schools = append(r.Schools, s)
	}
	return s
}

// count adds a row to the report.
func (r *Report) count(school string, kind imports.Kind, data rowData) {
	r.Rows[kind]++
	s := r.school(school)
	switch kind {
	case imports.KindYear:
		s.Years++
	case imports.KindDay:
		s.Days++
	case imports.KindStudent:
		s.Students++
	case imports.KindLink:
		s.Relations++
	case imports.KindStaff:
		s.Staff++
	case imports.KindClass:
		s.Classes++
	case imports.KindAttending:
		s.Attending++
	case imports.KindTeaching:
		s.Teaching++
	case imports.KindAssessment:
		s.Assessments++
	case imports.KindScore:
		s.Scores++
	}
	if mark, ok := data.(*imports.Mark); ok {
		s.Attendance[mark.Status]++
	}
}

func (r *Report) adjusted(record, at, reason string) { note(&r.Adjusted, record, at, reason) }

func (r *Report) unused(record, at, reason string) { note(&r.Unused, record, at, reason) }

func (r *Report) refused(record, at, reason string) { note(&r.Refused, record, at, reason) }

// Whole reports that nothing of the files was refused.
func (r *Report) Whole() bool { return len(r.Refused) == 0 && len(r.Dropped) == 0 }

// note counts a finding and keeps a few places of it. There are few different findings, so a list
// serves.
func note(findings *[]Finding, record, at, reason string) {
	i := slices.IndexFunc(*findings,
		func(f Finding) bool { return f.Record == record && f.Reason == reason })
	if i < 0 {
		i = len(*findings)
		*findings = append(*findings, Finding{Record: record, Reason: reason})
	}
	f := &(*findings)[i]
	f.Count++
	if at != "" && len(f.At) < samplesPerFinding {
		f.At = append(f.At, at)
	}
}

// Names reports whether rows were refused for a reason.
func (r *Report) Names(reason string) bool {
	return slices.ContainsFunc(r.Refused, func(f Finding) bool { return f.Reason == reason })
}

// imported are the kinds of records of which at least one should become a row.
var imported = []string{
	"Student", "StudentSchoolAssociation", "StudentContactAssociation", "Staff",
	"StudentSectionAssociation", "StaffSectionAssociation", "GradebookEntry",
	"StudentGradebookEntry", "StudentAssessment", "StudentSchoolAttendanceEvent",
	"StudentSectionAttendanceEvent", "CalendarDate",
}

// close finds the kinds that were dropped whole, given how many records were used, and makes the
// order of the report independent of the order in the files.
func (r *Report) close(used map[string]int) {
	for _, name := range imported {
		records := 0
		for _, f := range r.Files {
			records += f.Records[name]
		}
		if records > 0 && used[name] == 0 {
			r.Dropped = append(r.Dropped, name)
		}
	}
	slices.SortFunc(r.Schools, func(a, b *School) int { return cmp.Compare(a.ID, b.ID) })
	for _, findings := range [][]Finding{r.Adjusted, r.Unused, r.Refused} {
		slices.SortFunc(findings, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Record, b.Record), cmp.Compare(a.Reason, b.Reason))
		})
	}
}

// WriteText writes the report as text.
func (r *Report) WriteText(w io.Writer) error {
	total := 0
	for _, n := range r.Rows {
		total += n
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d rows from %d files: %d students, %d relations\n\n", total, len(r.Files),
		r.Students, r.Relations)
	fmt.Fprintln(t, "SCHOOL\tNAME\tSTUDENTS\tRELATIONS\tSTAFF\tCLASSES\tATTENDING\tTEACHING\t"+
		"LATE\tEXCUSED\tUNEXCUSED\tASSESSMENTS\tSCORES")
	for _, s := range r.Schools {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.ID, s.Name,
			s.Students, s.Relations, s.Staff, s.Classes, s.Attending, s.Teaching,
			s.Attendance[attendance.Late], s.Attendance[attendance.AbsentExcused],
			s.Attendance[attendance.AbsentUnexcused], s.Assessments, s.Scores)
	}
	fmt.Fprintln(t, "\nSTUDENTS\tEVIDENCE FOR THEIR SCHOOL")
	for _, e := range evidences {
		if n := r.Placed[e]; n > 0 {
			fmt.Fprintf(t, "%d\t%s\n", n, e.explain())
		}
	}
	writeFindings(t, "TAKEN WITH A CHANGE", r.Adjusted)
	writeFindings(t, "NOTHING TO TAKE", r.Unused)
	writeFindings(t, "REFUSED", r.Refused)
	if len(r.Dropped) > 0 {
		fmt.Fprintf(t, "\nNONE OF THESE WAS TAKEN: %s\n", strings.Join(r.Dropped, ", "))
	}
	return t.Flush()
}

func writeFindings(w io.Writer, title string, findings []Finding) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\tRECORD\tREASON\tAT\n", title)
	for _, f := range findings {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", f.Count, f.Record, f.Reason,
			strings.Join(f.At, ", "))
	}
}
