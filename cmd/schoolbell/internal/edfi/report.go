package edfi

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// samplesPerFinding is the number of records that a finding names.
const samplesPerFinding = 3

// Report is the result of an import.
type Report struct {
	Files   []File         `json:"files"`
	Schools []*School      `json:"schools"`
	Events  map[string]int `json:"events"` // by wire name
	// Students and Relations are counted once each, however many schools they belong to.
	Students  int `json:"students"`
	Relations int `json:"relations"`
	// Placed counts students by the evidence for their school.
	Placed map[Evidence]int `json:"placed"`
	// Adjusted are records that were imported with a change, Unused those that were not imported.
	Adjusted []Finding `json:"adjusted"`
	Unused   []Finding `json:"unused"`

	schools map[string]*School
}

// File is a file that was read.
type File struct {
	Name        string         `json:"name"`
	Interchange string         `json:"interchange"`
	Bytes       int64          `json:"bytes"`
	Records     map[string]int `json:"records"`
}

// School is what was imported for one school.
type School struct {
	ID         string         `json:"id"`
	Name       string         `json:"name"`
	Students   int            `json:"students"`
	Relations  int            `json:"relations"`
	Staff      int            `json:"staff"`
	Attendance map[string]int `json:"attendance"` // by status
	Scheduled  int            `json:"scheduled"`
	Scores     int            `json:"scores"`
}

// Finding is something that happened to records, how often, and some of them.
type Finding struct {
	Record  string   `json:"record"`
	Reason  string   `json:"reason"`
	Count   int      `json:"count"`
	Samples []string `json:"samples,omitzero"`
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

// count adds an event to the report.
func (r *Report) count(e *domain.Envelope) {
	r.Events[e.Type]++
	s := r.school(e.School)
	switch data := e.Data.(type) {
	case *student.Enrolled:
		s.Students++
	case *guardian.Linked:
		s.Relations++
	case *staff.Assigned:
		s.Staff++
	case *attendance.Marked:
		s.Attendance[data.Status]++
	case *assessment.Scheduled:
		s.Scheduled++
	case *assessment.Scored:
		s.Scores++
	}
}

func (r *Report) adjusted(record, sample, reason string) {
	note(&r.Adjusted, record, sample, reason)
}

func (r *Report) unused(record, sample, reason string) { note(&r.Unused, record, sample, reason) }

// note counts a finding and keeps a few samples of it. There are few different findings, so a list
// serves.
func note(findings *[]Finding, record, sample, reason string) {
	i := slices.IndexFunc(*findings,
		func(f Finding) bool { return f.Record == record && f.Reason == reason })
	if i < 0 {
		i = len(*findings)
		*findings = append(*findings, Finding{Record: record, Reason: reason})
	}
	f := &(*findings)[i]
	f.Count++
	if sample != "" && len(f.Samples) < samplesPerFinding {
		f.Samples = append(f.Samples, sample)
	}
}

// sort makes the order of the report independent of the order in the files.
func (r *Report) sort() {
	slices.SortFunc(r.Schools, func(a, b *School) int { return cmp.Compare(a.ID, b.ID) })
	for _, findings := range [][]Finding{r.Adjusted, r.Unused} {
		slices.SortFunc(findings, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Record, b.Record), cmp.Compare(a.Reason, b.Reason))
		})
	}
}

// WriteText writes the report as text.
func (r *Report) WriteText(w io.Writer) error {
	total := 0
	for _, n := range r.Events {
		total += n
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d events from %d files: %d students, %d relations\n\n", total, len(r.Files),
		r.Students, r.Relations)
	fmt.Fprintln(t, "SCHOOL\tNAME\tSTUDENTS\tRELATIONS\tSTAFF\tLATE\tEXCUSED\tUNEXCUSED\tASSESSMENTS\tSCORES")
	for _, s := range r.Schools {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", s.ID, s.Name, s.Students,
			s.Relations, s.Staff,
			s.Attendance[attendance.Late], s.Attendance[attendance.AbsentExcused],
			s.Attendance[attendance.AbsentUnexcused],
			s.Scheduled, s.Scores)
	}
	fmt.Fprintln(t, "\nSTUDENTS\tEVIDENCE FOR THEIR SCHOOL")
	for _, e := range evidences {
		if n := r.Placed[e]; n > 0 {
			fmt.Fprintf(t, "%d\t%s\n", n, e.explain())
		}
	}
	writeFindings(t, "IMPORTED WITH A CHANGE", r.Adjusted)
	writeFindings(t, "NOT IMPORTED", r.Unused)
	return t.Flush()
}

func writeFindings(w io.Writer, title string, findings []Finding) {
	if len(findings) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\tRECORD\tREASON\tFOR EXAMPLE\n", title)
	for _, f := range findings {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", f.Count, f.Record, f.Reason,
			strings.Join(f.Samples, ", "))
	}
}
