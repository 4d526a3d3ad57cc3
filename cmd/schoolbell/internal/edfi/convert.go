package edfi

import (
	"cmp"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// convert makes the rows of a record.
func (im *Import) convert(e *element) error {
	switch e.name {
	case "Student":
		return im.student(e)
	case "StudentSchoolAssociation":
		return im.enrolled(e)
	case "Contact":
		im.contact(e)
	case "StudentContactAssociation":
		return im.linked(e)
	case "Staff":
		return im.staff(e)
	case "StaffEducationOrganizationAssignmentAssociation":
		im.assignment(e)
	case "StudentSectionAssociation":
		return im.attends(e)
	case "StaffSectionAssociation":
		return im.teaches(e)
	case "GradebookEntry":
		return im.scheduled(e)
	case "StudentGradebookEntry":
		return im.graded(e)
	case "StudentAssessment":
		return im.assessed(e)
	case "StudentSchoolAttendanceEvent":
		return im.attended(e)
	case "StudentSectionAttendanceEvent":
		return im.attendedSection(e)
	case "Session":
		if len(im.directory.sessions[im.directory.schoolID(e)]) == 0 {
			im.report.refused(e.name, im.at(e), "its begin or end is not a date")
		}
	case "GradingPeriod":
		if len(im.directory.periods[im.directory.schoolID(e)]) == 0 {
			im.report.refused(e.name, im.at(e), "its begin or end is not a date")
		}
	case "CalendarDate":
		return im.day(e)
	case "Section":
		if sectionKeyOf(e, "").identifier == "" {
			return im.refuse(e, imports.KindClass, "", "", "the section has no identifier")
		}
	case "School", "Course", "CourseOffering", "StaffSchoolAssociation", "Calendar":
		// used through the directory
	default:
		im.report.unused(e.name, im.at(e), "Schoolbell does not import this kind of record")
	}
	return nil
}

// student imports a student: one row for each of their schools.
func (im *Import) student(e *element) error {
	id := e.str("StudentUniqueId")
	p := im.directory.pupil(id)
	if len(p.assignedSchools) == 0 {
		return im.refuse(e, imports.KindStudent, id, "",
			"no school: no enrolment, section, attendance, grade or age group names one")
	}
	name := e.at("Name")
	given, changed1 := repairText(name.str("FirstName"), domain.MaxTextLength)
	family, changed2 := repairText(familyName(name), domain.MaxTextLength)
	if changed1 || changed2 {
		im.report.adjusted(e.name, im.at(e), "name has characters that cannot be stored")
	}
	birth, ok := parseDate(birthDate(e))
	if !ok && birthDate(e) != "" {
		im.report.adjusted(e.name, im.at(e), "birth date is not a date and was left out")
	}
	taken := false
	// A student of several schools is enrolled at each: schools share nothing.
	for _, school := range p.assignedSchools {
		was := p.enrolments[school]
		on := cmp.Or(was.on, im.directory.firstDay(school))
		if was.on.IsZero() {
			im.report.adjusted(e.name, im.at(e),
				"no enrolment names the day of entry: enrolled from the school's first session on")
		}
		ok, err := im.emit(e, imports.KindStudent, id, school, noon(on), &imports.Student{
			StudentID:  id,
			GivenName:  given,
			FamilyName: family,
			BirthDate:  domain.Change[domain.Date]{Said: true, Value: birth},
			ClassID:    im.directory.homeClass(p, school),
			GradeLevel: domain.To(domain.Label(gradeLabel(p.grade))),
			On:         on,
			LeftOn:     was.left,
			Reason:     was.reason,
		})
		if err != nil {
			return err
		}
		taken = taken || ok
	}
	switch {
	case taken && p.seen:
		im.report.adjusted(e.name, im.at(e), "the same student occurs twice")
	case taken:
		p.seen = true
		im.report.Students++
		im.report.Placed[p.evidence]++
	}
	return nil
}

// enrolled refuses what the directory could not use: the row is the student's.
func (im *Import) enrolled(e *element) error {
	id, school := im.directory.studentID(e), im.directory.schoolID(e)
	for _, day := range []string{e.str("EntryDate"), e.str("ExitWithdrawDate")} {
		if _, ok := parseDate(day); day != "" && !ok {
			return im.refuse(e, imports.KindStudent, id, school,
				"the day of entry or withdrawal is not a date")
		}
	}
	if id == "" || school == "" {
		return im.refuse(e, imports.KindStudent, id, school, "it does not name student and school")
	}
	im.used[e.name]++
	return nil
}

// contact reports on what the directory holds of a contact: the rows come from its relations.
func (im *Import) contact(e *element) {
	id := e.str("ContactUniqueId")
	if !im.directory.linked[id] {
		im.report.unused(e.name, im.at(e), "no student names this contact")
		return
	}
	im.used[e.name]++
	if _, changed, why := bestPhone(e); why != "" {
		im.report.adjusted(e.name, im.at(e), why)
	} else if changed {
		im.report.adjusted(e.name, im.at(e), "phone number was rewritten")
	}
	if _, why := bestEmail(e, personalEmail); why != "" {
		im.report.adjusted(e.name, im.at(e), why)
	}
}

// linked imports the relation of a student and a contact.
func (im *Import) linked(e *element) error {
	studentID, contactID := im.directory.studentID(e), im.directory.contactID(e)
	schools := im.directory.pupil(studentID).assignedSchools
	key := ""
	if studentID != "" && contactID != "" {
		key = imports.LinkKey(studentID, contactID)
	}
	c := im.directory.contacts[contactID]
	if c == nil {
		return im.refuse(e, imports.KindLink, key, "", "the contact is not in these files")
	}
	if len(schools) == 0 {
		return im.refuse(e, imports.KindLink, key, "", "the student has no school")
	}
	relation, _ := repairText(cmp.Or(e.code("Relation"), "Contact"), domain.MaxTextLength)
	taken := false
	for _, school := range schools {
		ok, err := im.emit(e, imports.KindLink, key, school,
			noon(im.directory.firstDay(school)), &imports.Link{
				GuardianID: contactID,
				StudentID:  studentID,
				Name:       c.name,
				Relation:   relation,
				Phone:      domain.To(c.phone),
				Email:      domain.To(c.email),
				Primary:    isTrue(e.str("PrimaryContactStatus")),
			})
		if err != nil {
			return err
		}
		taken = taken || ok
	}
	if taken {
		im.report.Relations++
	}
	if isTrue(e.str("EmergencyContactStatus")) {
		im.report.adjusted(e.name, im.at(e),
			"emergency contact: Schoolbell only marks the primary contact")
	}
	return nil
}

// staff imports a member of staff: one row for each school where they work.
func (im *Import) staff(e *element) error {
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
		im.report.unused(e.name, im.at(e), "no assignment to a school")
		if id == "" {
			return im.refuse(e, imports.KindStaff, "", "", "it has no id")
		}
		return nil
	}
	n := e.at("Name")
	name, _ := repairText(n.str("FirstName")+" "+familyName(n), domain.MaxTextLength)
	email, why := bestEmail(e, workEmail)
	if why != "" {
		im.report.adjusted(e.name, im.at(e), why)
	}
	for _, school := range slices.Sorted(maps.Keys(schools)) {
		a, p := schools[school], s.at(school)
		since := cmp.Or(a.since, im.directory.firstDay(school))
		_, err := im.emit(e, imports.KindStaff, id, school, noon(since), &imports.Staff{
			StaffID:  id,
			Name:     name,
			Role:     role(a.role),
			Subjects: domain.To(ids(p.subjects)),
			Email:    domain.To(email),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// assignment only reports: the directory has indexed it for staff.
func (im *Import) assignment(e *element) {
	org := e.str("EducationOrganizationReference", "EducationOrganizationIdentity",
		"EducationOrganizationId")
	if im.directory.schools[org] == nil {
		im.report.unused(e.name, im.at(e), "the organisation is not a school")
	}
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
