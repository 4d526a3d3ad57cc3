package edfi

import (
	"cmp"
	"maps"
	"slices"

	"github.com/schoolbell/schoolbell/domain"
)

// Evidence is what a student's school is inferred from. The strongest decides.
type Evidence string

// The kinds of evidence, strongest first.
const (
	Enrolment  Evidence = "enrolment"
	Sections   Evidence = "sections"
	Attendance Evidence = "attendance"
	Gradebook  Evidence = "gradebook"
	GradeLevel Evidence = "grade_level"
	Cohort     Evidence = "cohort"
)

var evidences = []Evidence{Enrolment, Sections, Attendance, Gradebook, GradeLevel, Cohort}

// explain names the evidence in the report.
func (e Evidence) explain() string {
	switch e {
	case Enrolment:
		return "an enrolment record"
	case Sections:
		return "their sections"
	case Attendance:
		return "their attendance"
	case Gradebook:
		return "their gradebook"
	case GradeLevel:
		return "the grade they were assessed in, which only one school has"
	default:
		return "most students born in the same calendar year"
	}
}

// pupil is what the files contain about the school of a student.
type pupil struct {
	birthYear int
	grade     string // as enrolled or assessed
	// named by a record, with the strongest evidence for each
	schools         map[string]Evidence
	enrolments      map[string]enrolment // by school
	homeroom        map[string]*section  // by school
	seen            bool                 // in the second pass
	assignedSchools []string             // decided by assignSchools
	evidence        Evidence
}

// addEvidence records a school that a record names, with the strongest evidence for it.
func (p *pupil) addEvidence(school string, by Evidence) {
	if p.schools == nil {
		p.schools = make(map[string]Evidence, 1)
	}
	was, ok := p.schools[school]
	if !ok || slices.Index(evidences, by) < slices.Index(evidences, was) {
		p.schools[school] = by
	}
}

// enrolment is when a student is at a school: from a day on, to the first day after it if it is
// known.
type enrolment struct {
	on, left domain.Date
	reason   string
}

// homeClass is the home class of a student at a school: the homeroom where there is one, else the
// grade, else "unassigned".
func (d *directory) homeClass(p *pupil, school string) string {
	switch {
	case p != nil && p.homeroom[school] != nil:
		return d.classID(p.homeroom[school])
	case p != nil && p.grade != "":
		return "grade-" + gradeLabel(p.grade)
	default:
		return "unassigned"
	}
}

// assignSchools decides the schools of all students. An enrolment outranks everything; attendance
// and gradebook both put a student into the school they name, so that a student who moved belongs
// to both. The other kinds of evidence name a single school.
func (d *directory) assignSchools() {
	byGrade := make(map[string][]string)
	for id, s := range d.schools {
		for _, g := range s.grades {
			byGrade[g] = append(byGrade[g], id)
		}
	}
	cohorts := make(map[int]map[string]int)
	for _, p := range d.pupils {
		p.assignedSchools, p.evidence = p.fromRecords()
		if p.assignedSchools == nil && len(byGrade[p.grade]) == 1 {
			p.assignedSchools, p.evidence = byGrade[p.grade], GradeLevel
		}
		if p.birthYear != 0 && len(p.assignedSchools) > 0 {
			if cohorts[p.birthYear] == nil {
				cohorts[p.birthYear] = make(map[string]int)
			}
			for _, s := range p.assignedSchools {
				cohorts[p.birthYear][s]++
			}
		}
	}
	majority := make(map[int][]string, len(cohorts))
	for year, votes := range cohorts {
		schools := slices.SortedFunc(maps.Keys(votes), func(a, b string) int {
			return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a, b))
		})
		majority[year] = schools[:1]
	}
	for _, p := range d.pupils {
		if p.assignedSchools == nil && majority[p.birthYear] != nil {
			p.assignedSchools, p.evidence = majority[p.birthYear], Cohort
		}
	}
}

// fromRecords returns the schools that records name.
func (p *pupil) fromRecords() ([]string, Evidence) {
	var schools []string
	strongest := len(evidences)
	for _, by := range p.schools {
		strongest = min(strongest, slices.Index(evidences, by))
	}
	if strongest == len(evidences) {
		return nil, ""
	}
	for school, by := range p.schools {
		if by == Enrolment || evidences[strongest] != Enrolment {
			schools = append(schools, school)
		}
	}
	slices.Sort(schools)
	return schools, evidences[strongest]
}

// gradeLabel shortens Ed-Fi's grade levels: "Eleventh grade" is "11".
func gradeLabel(code string) string {
	for i, ordinal := range []string{
		"First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth",
		"Tenth", "Eleventh", "Twelfth",
	} {
		if code == ordinal+" grade" {
			return [...]string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}[i]
		}
	}
	if code == "Kindergarten" {
		return "K"
	}
	label, _ := repairText(slug(code), 24)
	return label
}
