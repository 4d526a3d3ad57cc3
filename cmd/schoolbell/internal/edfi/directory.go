package edfi

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
)

// directory holds what the events refer to. The first pass fills it.
type directory struct {
	refs     map[string]string // XML id → unique id
	schools  map[string]*schoolEntry
	courses  map[[2]string]string // school, course code → academic subject
	sessions map[string][]session // school → sessions in order of time
	pupils   map[string]*pupil
	contacts map[string]*contact
	staff    map[string]*staffMember
	entries  map[string]gradebookEntry
	linked   map[string]bool // contacts that an association names
	earliest domain.Date     // of attendance and gradebook entries
}

type schoolEntry struct {
	name   string
	grades []string
}

type session struct {
	name, year, term string
	begin, end       domain.Date
}

type contact struct {
	name, phone, email string
}

type staffMember struct {
	assignments []assignment
	schools     map[string]*post
}

// assignment is a role at an organization, which may be a school or not.
type assignment struct {
	organisation, role string
	since              domain.Date
}

// post is the work of a member of staff at one school.
type post struct {
	sections, subjects []string
}

type gradebookEntry struct {
	id, school, section, subject string
	year, term                   string
	title                        string
	maxScore                     float64
	assigned, due                domain.Date
}

func newDirectory() *directory {
	return &directory{
		refs:     make(map[string]string),
		schools:  make(map[string]*schoolEntry),
		courses:  make(map[[2]string]string),
		sessions: make(map[string][]session),
		pupils:   make(map[string]*pupil),
		contacts: make(map[string]*contact),
		staff:    make(map[string]*staffMember),
		entries:  make(map[string]gradebookEntry),
		linked:   make(map[string]bool),
	}
}

// index extracts from a record what later records, or the second pass, refer to.
func (d *directory) index(e *element) {
	switch e.name {
	case "School":
		d.indexSchool(e)
	case "Course":
		org := e.str("EducationOrganizationReference", "EducationOrganizationIdentity",
			"EducationOrganizationId")
		subject := cmp.Or(e.code("AcademicSubject"), e.str("CourseTitle"))
		d.courses[[2]string{org, e.str("CourseCode")}] = subject
	case "Session":
		d.indexSession(e)
	case "Student":
		d.indexStudent(e)
	case "Contact":
		d.indexContact(e)
	case "StudentContactAssociation":
		d.linked[d.contactID(e)] = true
	case "StudentSchoolAssociation":
		d.indexEnrolment(e)
	case "StudentSchoolAttendanceEvent":
		d.pupil(d.studentID(e)).addEvidence(d.schoolID(e), Attendance)
		d.noteDate(e.str("AttendanceEvent", "EventDate"))
	case "GradebookEntry":
		d.indexGradebookEntry(e)
	case "StudentGradebookEntry":
		if entry, ok := d.entries[entryKey(e.at("GradebookEntryReference",
			"GradebookEntryIdentity"))]; ok {
			p := d.pupil(d.studentID(e))
			p.addEvidence(entry.school, Gradebook)
			p.section = cmp.Or(p.section, entry.section)
		}
	case "StudentAssessment":
		if grade := e.code("WhenAssessedGradeLevel"); grade != "" {
			p := d.pupil(d.studentID(e))
			p.grade = cmp.Or(p.grade, grade)
		}
	default:
		d.indexStaff(e)
	}
}

func (d *directory) indexSchool(e *element) {
	id := e.str("SchoolId")
	d.define(e, id)
	s := &schoolEntry{name: e.str("NameOfInstitution")}
	for g := range e.all("GradeLevel") {
		s.grades = append(s.grades, codeValue(g.text))
	}
	d.schools[id] = s
}

// indexSession keeps a school's sessions in order of time, with those of one begin in the order of
// their names, so that the same files give the same terms.
func (d *directory) indexSession(e *element) {
	begin, ok1 := parseDate(e.str("BeginDate"))
	end, ok2 := parseDate(e.str("EndDate"))
	if !ok1 || !ok2 {
		return // the second pass reports it
	}
	school := d.schoolID(e)
	s := session{
		name:  e.str("SessionName"),
		year:  label(e.str("SchoolYear")),
		term:  label(cmp.Or(e.code("Term"), e.str("SessionName"))),
		begin: begin,
		end:   end,
	}
	sessions := append(d.sessions[school], s)
	slices.SortFunc(sessions,
		func(a, b session) int {
			return cmp.Or(cmp.Compare(a.begin, b.begin),
				cmp.Compare(a.name, b.name))
		})
	d.sessions[school] = sessions
}

func (d *directory) indexStudent(e *element) {
	id := e.str("StudentUniqueId")
	d.define(e, id)
	if birth, ok := parseDate(birthDate(e)); ok {
		d.pupil(id).birthYear = birth.Time().Year()
	}
}

func (d *directory) indexContact(e *element) {
	id := e.str("ContactUniqueId")
	d.define(e, id)
	name := e.at("Name")
	full, _ := repairText(name.str("FirstName")+" "+familyName(name), domain.MaxTextLength)
	phone, _, _ := bestPhone(e)
	email, _ := bestEmail(e)
	d.contacts[id] = &contact{name: full, phone: phone, email: email}
}

// indexEnrolment is the strongest evidence of a student's school.
func (d *directory) indexEnrolment(e *element) {
	p := d.pupil(d.studentID(e))
	school := d.schoolID(e)
	p.addEvidence(school, Enrolment)
	if on, ok := parseDate(e.str("EntryDate")); ok {
		if p.entered == nil {
			p.entered = make(map[string]domain.Date, 1)
		}
		p.entered[school] = on
	}
	p.grade = cmp.Or(e.code("EntryGradeLevel"), p.grade)
}

// indexGradebookEntry resolves what a grade needs from its entry: the section, the subject of the
// course, the term and the maximum.
func (d *directory) indexGradebookEntry(e *element) {
	section := e.at("SectionReference", "SectionIdentity")
	offering := section.at("CourseOfferingReference", "CourseOfferingIdentity")
	school := d.schoolID(offering)
	code := offering.str("LocalCourseCode")
	assigned, _ := parseDate(e.str("DateAssigned"))
	due, _ := parseDate(e.str("DueDate"))
	d.noteDate(e.str("DateAssigned"))
	maxScore, ok := number(e.str("MaxPoints"))
	if !ok || maxScore == 0 {
		maxScore = numericGradeMax
	}
	year := offering.str("SessionReference", "SessionIdentity", "SchoolYear")
	sectionID, _ := repairID(cmp.Or(section.str("SectionIdentifier"),
		e.str("SourceSectionIdentifier")))
	id, _ := repairID(e.str("GradebookEntryIdentifier"))
	subject, _ := repairID(cmp.Or(d.courses[[2]string{school, code}], code))
	d.entries[entryKey(e)] = gradebookEntry{
		id:      id,
		school:  school,
		section: sectionID,
		subject: subject,
		year:    label(year),
		term: d.termNamed(school,
			offering.str("SessionReference", "SessionIdentity", "SessionName")),
		title:    e.str("Title"),
		maxScore: maxScore,
		assigned: assigned,
		due:      due,
	}
}

// entryKey is the identity of a gradebook entry, in the entry itself or in a reference to it.
func entryKey(e *element) string {
	return e.str("Namespace") + "#" + e.str("GradebookEntryIdentifier")
}

// indexStaff collects roles, sections and subjects, which are spread over four kinds of records.
func (d *directory) indexStaff(e *element) {
	switch e.name {
	case "Staff":
		id := e.str("StaffUniqueId")
		d.define(e, id)
		d.staffMember(id)
	case "StaffEducationOrganizationAssignmentAssociation":
		since, _ := parseDate(e.str("BeginDate"))
		s := d.staffMember(d.staffID(e))
		s.assignments = append(s.assignments, assignment{
			organisation: e.str("EducationOrganizationReference", "EducationOrganizationIdentity",
				"EducationOrganizationId"),
			role:  e.code("StaffClassification"),
			since: since,
		})
	case "StaffSchoolAssociation":
		p := d.staffMember(d.staffID(e)).at(d.schoolID(e))
		for subject := range e.all("AcademicSubject") {
			p.subjects = append(p.subjects, codeValue(subject.text))
		}
	case "StaffSectionAssociation":
		section := e.at("SectionReference", "SectionIdentity")
		school := d.schoolID(section.at("CourseOfferingReference", "CourseOfferingIdentity"))
		p := d.staffMember(d.staffID(e)).at(school)
		p.sections = append(p.sections, section.str("SectionIdentifier"))
	}
}

// define stores the XML id of an element for references to it.
func (d *directory) define(e *element, id string) {
	if e.id != "" {
		d.refs[e.id] = id
	}
}

func (d *directory) pupil(student string) *pupil {
	p := d.pupils[student]
	if p == nil {
		p = &pupil{}
		d.pupils[student] = p
	}
	return p
}

func (d *directory) staffMember(id string) *staffMember {
	s := d.staff[id]
	if s == nil {
		s = &staffMember{schools: make(map[string]*post)}
		d.staff[id] = s
	}
	return s
}

func (s *staffMember) at(school string) *post {
	p := s.schools[school]
	if p == nil {
		p = &post{}
		s.schools[school] = p
	}
	return p
}

// schoolID and the functions after it return the ids that a record refers to, by natural key or by
// the XML id of an element that was read before.
func (d *directory) schoolID(e *element) string {
	return d.reference(e, "SchoolReference", "SchoolIdentity", "SchoolId")
}

func (d *directory) studentID(e *element) string {
	return d.reference(e, "StudentReference", "StudentIdentity", "StudentUniqueId")
}

func (d *directory) contactID(e *element) string {
	return d.reference(e, "ContactReference", "ContactIdentity", "ContactUniqueId")
}

func (d *directory) staffID(e *element) string {
	return d.reference(e, "StaffReference", "StaffIdentity", "StaffUniqueId")
}

// reference returns the natural key in a reference, and otherwise the id of the element that the
// reference points to.
func (d *directory) reference(e *element, reference, identity, key string) string {
	r := e.at(reference)
	return cmp.Or(r.str(identity, key), d.refs[r.ref])
}

// termNamed finds the term of a school's session by its name, or uses the name itself.
func (d *directory) termNamed(school, name string) string {
	for _, s := range d.sessions[school] {
		if s.name == name {
			return s.term
		}
	}
	return label(name)
}

// termOn finds the term of a day in a school year. Where no session of the year contains the day,
// the session that contains the same day of the year is used: some files have dates of another year
// than the one they name.
func (d *directory) termOn(school, year string, day domain.Date) (term string, exact bool) {
	for _, s := range d.sessions[school] {
		if s.begin <= day && day <= s.end {
			return s.term, true
		}
	}
	_, month, dayOfMonth := day.Time().Date()
	for _, s := range d.sessions[school] {
		for y := s.begin.Time().Year(); y <= s.end.Time().Year(); y++ {
			if moved := domain.NewDate(y, month, dayOfMonth); s.year == year && s.begin <= moved &&
				moved <= s.end {
				return s.term, false
			}
		}
	}
	return "", false
}

// firstDay is the first day of a school's earliest session, or of any school's, or the earliest
// date in the files.
func (d *directory) firstDay(school string) domain.Date {
	if s := d.sessions[school]; len(s) > 0 {
		return s[0].begin
	}
	var first domain.Date
	for _, s := range d.sessions {
		if first.IsZero() || s[0].begin < first {
			first = s[0].begin
		}
	}
	return cmp.Or(first, d.earliest)
}

// noteDate updates the earliest date.
func (d *directory) noteDate(s string) {
	if day, ok := parseDate(s); ok && (d.earliest.IsZero() || day < d.earliest) {
		d.earliest = day
	}
}

func label(s string) string {
	l, _ := repairText(s, domain.MaxLabelLength)
	return l
}

// parseDate parses a date that exists.
func parseDate(s string) (day domain.Date, ok bool) {
	day, err := domain.ParseDate(s)
	return day, err == nil
}

// parseTime parses a date with or without a time of day. A date alone stands for noon.
func parseTime(s string) (time.Time, bool) {
	if day, ok := parseDate(s); ok {
		return noon(day), true
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// noon is the time of events of which the files give only the day: it falls on the same date nearly
// everywhere.
func noon(day domain.Date) time.Time { return day.Time().Add(12 * time.Hour) }
