package edfi

import (
	"cmp"

	"github.com/schoolbell/schoolbell/domain"
)

// directory holds what the events refer to. The first pass fills it.
type directory struct {
	refs    map[string]string // XML id → unique id
	schools map[string]*schoolEntry
	courses map[[2]string]string // school, course code → academic subject
	titles  map[[2]string]string // school, course code → title
	// school, local course code → title, where an offering has its own
	offerings   map[[2]string]string
	sections    map[sectionKey]*section
	sectionRefs map[string]*section  // by XML id
	identifiers map[[2]string]int    // school, section identifier → how many have it
	attends     map[[16]byte]bool    // school, student and section that a record names
	sessions    map[string][]session // school → sessions in order of time
	periods     map[string][]session // school → grading periods in order of time
	pupils      map[string]*pupil
	contacts    map[string]*contact
	staff       map[string]*staffMember
	entries     map[string]gradebookEntry
	linked      map[string]bool // contacts that an association names
	earliest    domain.Date     // of attendance and gradebook entries
}

type schoolEntry struct {
	name   string
	grades []string
}

type session struct {
	name, year, term string
	begin, end       domain.Date
	days             int64 // of school; 0 when it is not said
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
	subjects []string
}

type gradebookEntry struct {
	id, subject   string
	section       *section
	year, term    string
	title         string
	maxScore      domain.Decimal
	assigned, due domain.Date
}

func newDirectory() *directory {
	return &directory{
		refs:        make(map[string]string),
		schools:     make(map[string]*schoolEntry),
		courses:     make(map[[2]string]string),
		titles:      make(map[[2]string]string),
		offerings:   make(map[[2]string]string),
		sections:    make(map[sectionKey]*section),
		sectionRefs: make(map[string]*section),
		identifiers: make(map[[2]string]int),
		attends:     make(map[[16]byte]bool),
		sessions:    make(map[string][]session),
		periods:     make(map[string][]session),
		pupils:      make(map[string]*pupil),
		contacts:    make(map[string]*contact),
		staff:       make(map[string]*staffMember),
		entries:     make(map[string]gradebookEntry),
		linked:      make(map[string]bool),
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
		code := [2]string{org, e.str("CourseCode")}
		d.courses[code], d.titles[code] = subject, e.str("CourseTitle")
	case "Session":
		d.indexSession(e)
	case "GradingPeriod":
		d.indexPeriod(e)
	case "Student":
		d.indexStudent(e)
	case "Contact":
		d.indexContact(e)
	case "StudentContactAssociation":
		d.linked[d.contactID(e)] = true
	case "StudentSchoolAssociation":
		d.indexEnrolment(e)
	case "Section", "CourseOffering":
		d.indexSection(e)
	case "StudentSectionAssociation":
		d.indexAttending(e)
	case "StudentSchoolAttendanceEvent":
		d.pupil(d.studentID(e)).addEvidence(d.schoolID(e), Attendance)
		d.noteDate(e.str("AttendanceEvent", "EventDate"))
	case "StudentSectionAttendanceEvent":
		if s := d.sectionOf(e); s != nil {
			d.pupil(d.studentID(e)).addEvidence(s.school, Attendance)
		}
		d.noteDate(e.str("AttendanceEvent", "EventDate"))
	case "GradebookEntry":
		d.indexGradebookEntry(e)
	case "StudentGradebookEntry":
		if entry, ok := d.entries[d.entryKey(e.at("GradebookEntryReference",
			"GradebookEntryIdentity"))]; ok {
			d.pupil(d.studentID(e)).addEvidence(entry.section.school, Gradebook)
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
	email, _ := bestEmail(e, personalEmail)
	d.contacts[id] = &contact{name: full, phone: phone, email: email}
}

// indexEnrolment is the strongest evidence of a student's school. Of several enrolments at one
// school, the latest counts.
func (d *directory) indexEnrolment(e *element) {
	p := d.pupil(d.studentID(e))
	school := d.schoolID(e)
	p.addEvidence(school, Enrolment)
	p.grade = cmp.Or(e.code("EntryGradeLevel"), p.grade)
	on, _ := parseDate(e.str("EntryDate"))
	if was, ok := p.enrolments[school]; ok && was.on > on {
		return
	}
	left, _ := parseDate(e.str("ExitWithdrawDate")) // the second pass refuses a bad one
	reason, _ := repairText(e.code("ExitWithdrawType"), domain.MaxTextLength)
	if p.enrolments == nil {
		p.enrolments = make(map[string]enrolment, 1)
	}
	p.enrolments[school] = enrolment{on, left, reason}
}

// indexAttending notes the home class of a student, and that their section is known.
func (d *directory) indexAttending(e *element) {
	s, student := d.sectionOf(e), d.studentID(e)
	if s == nil {
		return
	}
	d.attends[attendKey(s, student)] = true
	p := d.pupil(student)
	p.addEvidence(s.school, Sections)
	if isTrue(e.str("HomeroomIndicator")) {
		if p.homeroom == nil {
			p.homeroom = make(map[string]*section, 1)
		}
		s.homeroom, p.homeroom[s.school] = true, s
	}
}

func attendKey(s *section, student string) [16]byte {
	return markKey(s.school, s.identifier, s.course, s.session, s.year, student)
}

// isTrue reads an xs:boolean.
func isTrue(s string) bool { return s == "true" || s == "1" }

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
		if s := d.sectionOf(e); s != nil {
			d.staffMember(d.staffID(e)).at(s.school)
		}
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
	section := e.at("StudentSectionAssociationReference", "StudentSectionAssociationIdentity")
	if len(section.kids) > 0 {
		e = section // grades before 4.0 name the student through the section
	}
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

func label(s string) string {
	l, _ := repairText(s, domain.MaxLabelLength)
	return l
}
