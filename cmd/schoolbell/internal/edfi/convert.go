package edfi

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/assessment"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/domain/student"
)

// convert makes the events of a record.
func (im *Import) convert(e *element) error {
	switch e.name {
	case "Student":
		return im.enrolled(e)
	case "StudentSchoolAssociation":
		return im.withdrawn(e)
	case "Contact":
		im.contact(e)
	case "StudentContactAssociation":
		return im.linked(e)
	case "Staff":
		return im.assigned(e)
	case "StaffEducationOrganizationAssignmentAssociation":
		im.assignment(e)
	case "GradebookEntry":
		return im.scheduled(e)
	case "StudentGradebookEntry":
		return im.graded(e)
	case "StudentAssessment":
		return im.assessed(e)
	case "StudentSchoolAttendanceEvent":
		return im.attended(e)
	case "Session":
		if len(im.directory.sessions[im.directory.schoolID(e)]) == 0 {
			im.report.unused(e.name, e.str("SessionName"), "its begin or end is not a date")
		}
	case "School", "Course", "StaffSchoolAssociation", "StaffSectionAssociation":
		// used through the directory
	default:
		im.report.unused(e.name, e.id, "Schoolbell does not import this kind of record")
	}
	return nil
}

// enrolled imports a student: one event for each of their schools.
func (im *Import) enrolled(e *element) error {
	id := e.str("StudentUniqueId")
	p := im.directory.pupil(id)
	if len(p.assignedSchools) == 0 {
		im.report.unused(e.name, id,
			"no school: no enrolment, attendance, grade or age group names one")
		return nil
	}
	name := e.at("Name")
	given, changed1 := repairText(name.str("FirstName"), domain.MaxTextLength)
	family, changed2 := repairText(familyName(name), domain.MaxTextLength)
	if changed1 || changed2 {
		im.report.adjusted(e.name, id, "name has characters that cannot be stored")
	}
	birth, ok := parseDate(birthDate(e))
	if !ok && birthDate(e) != "" {
		im.report.adjusted(e.name, id, "birth date is not a date and was left out")
	}
	taken := false
	// A student of several schools is enrolled at each: schools share nothing.
	for _, school := range p.assignedSchools {
		on := cmp.Or(p.entered[school], im.directory.firstDay(school))
		ok, err := im.emit(e, id, school, noon(on), student.TypeEnrolled, &student.Enrolled{
			StudentID:  id,
			GivenName:  given,
			FamilyName: family,
			BirthDate:  birth,
			ClassID:    p.classID(),
			GradeLevel: domain.Label(gradeLabel(p.grade)),
			On:         on,
		})
		if err != nil {
			return err
		}
		taken = taken || ok
	}
	if taken {
		im.report.Students++
		im.report.Placed[p.evidence]++
	}
	return nil
}

// withdrawn imports the end of an enrolment.
func (im *Import) withdrawn(e *element) error {
	id := im.directory.studentID(e)
	exit := e.str("ExitWithdrawDate")
	if exit == "" {
		return nil
	}
	on, ok := parseDate(exit)
	if !ok {
		im.report.unused(e.name, id, "the day of withdrawal is not a date")
		return nil
	}
	reason, _ := repairText(e.code("ExitWithdrawType"), domain.MaxTextLength)
	_, err := im.emit(e, id, im.directory.schoolID(e), noon(on), student.TypeWithdrawn,
		&student.Withdrawn{StudentID: id, On: on, Reason: reason})
	return err
}

// contact reports on what the directory holds of a contact: the events come from its relations.
func (im *Import) contact(e *element) {
	id := e.str("ContactUniqueId")
	if !im.directory.linked[id] {
		im.report.unused(e.name, id, "no student names this contact")
		return
	}
	if _, changed, why := bestPhone(e); why != "" {
		im.report.adjusted(e.name, id, why)
	} else if changed {
		im.report.adjusted(e.name, id, "phone number was rewritten")
	}
	if _, why := bestEmail(e); why != "" {
		im.report.adjusted(e.name, id, why)
	}
}

// linked imports the relation of a student and a contact.
func (im *Import) linked(e *element) error {
	studentID, contactID := im.directory.studentID(e), im.directory.contactID(e)
	c := im.directory.contacts[contactID]
	if c == nil {
		im.report.unused(e.name, cmp.Or(contactID, e.at("ContactReference").ref),
			"the contact is not in these files")
		return nil
	}
	schools := im.directory.pupil(studentID).assignedSchools
	if len(schools) == 0 {
		im.report.unused(e.name, studentID, "the student has no school")
		return nil
	}
	relation, _ := repairText(cmp.Or(e.code("Relation"), "Contact"), domain.MaxTextLength)
	taken := false
	for _, school := range schools {
		ok, err := im.emit(e, studentID+" "+contactID, school, noon(im.directory.firstDay(school)),
			guardian.TypeLinked, &guardian.Linked{
				GuardianID: contactID,
				StudentID:  studentID,
				Name:       c.name,
				Relation:   relation,
				Phone:      c.phone,
				Email:      c.email,
				Primary:    e.str("PrimaryContactStatus") == "true",
			})
		if err != nil {
			return err
		}
		taken = taken || ok
	}
	if taken {
		im.report.Relations++
	}
	if e.str("EmergencyContactStatus") == "true" {
		im.report.adjusted(e.name, studentID+" "+contactID,
			"emergency contact: Schoolbell only marks the primary contact")
	}
	return nil
}

// assigned imports a member of staff: one event for each school where they work.
func (im *Import) assigned(e *element) error {
	id := e.str("StaffUniqueId")
	s := im.directory.staffMember(id)
	schools := make(map[string]assignment)
	for _, a := range s.assignments {
		if im.directory.schools[a.organisation] != nil && a.since >= schools[a.organisation].since {
			schools[a.organisation] = a // the latest assignment counts
		}
	}
	for school := range s.schools {
		if _, ok := schools[school]; !ok {
			// only teachers are associated with schools and sections
			schools[school] = assignment{role: "Teacher"}
		}
	}
	if len(schools) == 0 {
		im.report.unused(e.name, id, "no assignment to a school")
		return nil
	}
	n := e.at("Name")
	name, _ := repairText(n.str("FirstName")+" "+familyName(n), domain.MaxTextLength)
	for _, school := range slices.Sorted(maps.Keys(schools)) {
		a, p := schools[school], s.at(school)
		since := cmp.Or(a.since, im.directory.firstDay(school))
		_, err := im.emit(e, id, school, noon(since), staff.TypeAssigned, &staff.Assigned{
			StaffID:  id,
			Name:     name,
			Role:     role(a.role),
			ClassIDs: ids(p.sections),
			Subjects: ids(p.subjects),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// assignment only reports: the directory has indexed it for assigned.
func (im *Import) assignment(e *element) {
	org := e.str("EducationOrganizationReference", "EducationOrganizationIdentity",
		"EducationOrganizationId")
	if im.directory.schools[org] == nil {
		im.report.unused(e.name, im.directory.staffID(e), "the organisation is not a school")
	}
}

// scheduled imports a gradebook entry as an assessment.
func (im *Import) scheduled(e *element) error {
	entry := im.directory.entries[entryKey(e)]
	title, _ := repairText(entry.title, domain.MaxTextLength)
	announced := cmp.Or(entry.assigned, entry.due)
	_, err := im.emit(e, entry.id, entry.school, noon(announced), assessment.TypeScheduled,
		&assessment.Scheduled{
			AssessmentID: entry.id,
			ClassID:      entry.section,
			SubjectName:  entry.subject,
			Title:        cmp.Or(title, entry.id),
			MaxScore:     entry.maxScore,
			On:           cmp.Or(entry.due, entry.assigned),
			Year:         domain.Label(entry.year),
			Term:         domain.Label(entry.term),
		})
	return err
}

// graded imports a student's grade. A grade above the maximum is extra credit, which Schoolbell has
// no notion of.
func (im *Import) graded(e *element) error {
	id := im.directory.studentID(e)
	entry, ok := im.directory.entries[entryKey(e.at("GradebookEntryReference",
		"GradebookEntryIdentity"))]
	if !ok {
		im.report.unused(e.name, id, "the gradebook entry is not in these files")
		return nil
	}
	score, ok := number(cmp.Or(e.str("PointsEarned"), e.str("NumericGradeEarned")))
	if !ok {
		im.report.unused(e.name, id+" "+entry.id, "no numeric grade")
		return nil
	}
	maxScore := entry.maxScore
	if e.str("PointsEarned") == "" {
		maxScore = numericGradeMax
	}
	if score > maxScore {
		im.report.adjusted(e.name, id+" "+entry.id,
			"grade above the maximum (extra credit) counts as the maximum")
		score = maxScore
	}
	at := noon(cmp.Or(entry.due, entry.assigned))
	if fulfilled, ok := parseTime(e.str("DateFulfilled")); ok {
		at = fulfilled
	}
	_, err := im.emit(e, id+" "+entry.id, entry.school, at, assessment.TypeScored,
		&assessment.Scored{
			AssessmentID: entry.id,
			StudentID:    id,
			ClassID:      entry.section,
			SubjectName:  entry.subject,
			Score:        score,
			MaxScore:     maxScore,
			Year:         domain.Label(entry.year),
			Term:         domain.Label(entry.term),
		})
	return err
}

// assessed imports the most meaningful result of a test. The results of its parts are included in
// it.
func (im *Import) assessed(e *element) error {
	id := im.directory.studentID(e)
	test := e.str("AssessmentReference", "AssessmentIdentity", "AssessmentIdentifier")
	key := id + " " + test
	r, why := bestResult(e, test)
	if why != "" {
		im.report.unused(e.name, key, why)
		return nil
	}
	at, ok := parseTime(e.str("AdministrationDate"))
	if !ok {
		im.report.unused(e.name, key, "the day of the assessment is not a date")
		return nil
	}
	p := im.directory.pupil(id)
	if len(p.assignedSchools) == 0 {
		im.report.unused(e.name, key, "the student has no school")
		return nil
	}
	for range e.all("StudentObjectiveAssessment") {
		im.report.unused("StudentObjectiveAssessment", key,
			"part of an assessment that is imported as a whole")
	}
	school := p.assignedSchools[0]
	year := label(e.str("SchoolYear"))
	term, exact := im.directory.termOn(school, year, domain.DateOf(at))
	if !exact {
		im.report.adjusted(e.name, key,
			"the day is in no session of its school year: term of the same day of the year")
	}
	testID, _ := repairID(test + " " + at.Format(time.DateOnly))
	subject, _ := repairID(r.subject)
	_, err := im.emit(e, key, school, at, assessment.TypeScored, &assessment.Scored{
		AssessmentID: testID,
		StudentID:    id,
		ClassID:      p.classID(),
		SubjectName:  subject,
		Score:        r.score,
		MaxScore:     r.maxScore,
		Year:         domain.Label(cmp.Or(year, at.Format("2006"))),
		Term:         domain.Label(cmp.Or(term, "unassigned")),
	})
	return err
}

// familyName keeps the suffix that distinguishes a son from his father: "Dyer Jr".
func familyName(name *element) string {
	return strings.TrimSpace(name.str("LastSurname") + " " + name.str("GenerationCodeSuffix"))
}

// birthDate is in BirthData for students, and directly in older exports.
func birthDate(e *element) string {
	return cmp.Or(e.str("BirthData", "BirthDate"), e.str("BirthDate"))
}

// role maps a staff classification to a role of Schoolbell where there is one, and otherwise to a
// role of its own.
func role(classification string) string {
	switch classification {
	case "Teacher", "Substitute Teacher", "Assistant Teacher":
		return "teacher"
	case "Principal", "Assistant Principal", "School Administrator", "Superintendent",
		"LEA Administrator", "LEA System Administrator":
		return "admin"
	default:
		return cmp.Or(slug(classification), "staff")
	}
}

// ids returns sorted, unique identifiers.
func ids(list []string) []string {
	var out []string
	for _, s := range list {
		if id, _ := repairID(s); id != "" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	return out[:min(len(out), domain.MaxListLength)]
}

// markKey names a mark in 16 bytes: a district has millions, and all of them are remembered.
func markKey(parts ...string) [16]byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return [16]byte(sum[:16])
}
