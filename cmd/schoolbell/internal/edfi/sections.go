package edfi

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// sectionKey is the identity of a section. Its first two parts alone name nearly every one.
type sectionKey struct{ school, identifier, course, year, session string }

// section is what the files say about one.
type section struct {
	sectionKey
	name, room string
	periods    []string // in which it meets
	homeroom   bool     // some students have it as their home class
}

// indexSection collects sections, which many kinds of records name and one describes.
func (d *directory) indexSection(e *element) {
	switch e.name {
	case "Section":
		s := d.section(sectionKeyOf(e, d.schoolID(e.at("CourseOfferingReference",
			"CourseOfferingIdentity"))))
		if s == nil {
			return // the second pass refuses it
		}
		if e.id != "" {
			d.sectionRefs[e.id] = s
		}
		s.name = e.str("SectionName")
		s.room = e.str("LocationReference", "LocationIdentity", "ClassroomIdentificationCode")
		for p := range e.all("ClassPeriodReference") {
			s.periods = append(s.periods, p.str("ClassPeriodIdentity", "ClassPeriodName"))
		}
	case "CourseOffering":
		d.offerings[[2]string{d.schoolID(e), e.str("LocalCourseCode")}] = e.str("LocalCourseTitle")
	default:
		d.sectionOf(e)
	}
}

// sectionOf returns the section that a record refers to, or nil.
func (d *directory) sectionOf(e *element) *section {
	ref := e.at("SectionReference")
	if s := d.sectionRefs[ref.ref]; s != nil {
		return s
	}
	identity := ref.at("SectionIdentity")
	key := sectionKeyOf(identity, d.schoolID(identity.at("CourseOfferingReference",
		"CourseOfferingIdentity")))
	key.identifier = cmp.Or(key.identifier, e.str("SourceSectionIdentifier"))
	return d.section(key)
}

func sectionKeyOf(e *element, school string) sectionKey {
	offering := e.at("CourseOfferingReference", "CourseOfferingIdentity")
	session := offering.at("SessionReference", "SessionIdentity")
	return sectionKey{
		school: school, identifier: e.str("SectionIdentifier"),
		course: offering.str("LocalCourseCode"),
		year:   session.str("SchoolYear"), session: session.str("SessionName"),
	}
}

// section returns a section by its key, which must say at least its school and its identifier.
func (d *directory) section(key sectionKey) *section {
	if key.school == "" || key.identifier == "" {
		return nil
	}
	s := d.sections[key]
	if s == nil {
		s = &section{sectionKey: key}
		d.sections[key] = s
		d.identifiers[[2]string{key.school, key.identifier}]++
	}
	return s
}

// classID is the id of a section: its identifier, with course and session where a school has the
// identifier more than once. The first pass must be over.
func (d *directory) classID(s *section) string {
	id := s.identifier
	if d.identifiers[[2]string{s.school, s.identifier}] > 1 {
		id += " " + s.course + " " + s.session
	}
	id, _ = repairID(id)
	return id
}

// lasts are the days of the session in which a section takes place: the first, and the first after.
func (d *directory) lasts(s *section) (from, to domain.Date) {
	for _, session := range d.sessions[s.school] {
		if session.name == s.session && session.year == label(s.year) {
			return session.begin, session.end.AddDays(1)
		}
	}
	return d.firstDay(s.school), 0
}

// classes yields the schools, their home classes and their sections.
func (im *Import) classes() error {
	d := im.directory
	for _, id := range slices.Sorted(maps.Keys(d.schools)) {
		s := d.schools[id]
		im.report.school(id).Name = s.name
		name, _ := repairText(s.name, domain.MaxTextLength)
		if name == "" {
			continue // a school may be known by its id alone
		}
		if _, err := im.emit(&element{name: "School"}, imports.KindSchool, id, id, time.Time{},
			&imports.School{Name: name}); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(d.schools)) {
		for _, y := range d.years(id) {
			if _, err := im.emit(&element{name: "Session"}, imports.KindYear, string(y.Year), id,
				noon(y.From), y); err != nil {
				return err
			}
		}
	}
	sections := slices.SortedFunc(maps.Values(d.sections), func(a, b *section) int {
		return cmp.Or(cmp.Compare(a.school, b.school), cmp.Compare(a.identifier, b.identifier),
			cmp.Compare(a.course, b.course), cmp.Compare(a.session, b.session))
	})
	for _, s := range sections {
		if _, err := im.emit(&element{name: "Section"}, imports.KindClass, d.classID(s), s.school,
			time.Time{}, d.describe(s)); err != nil {
			return err
		}
	}
	return im.homeClasses()
}

// describe makes the row of a section.
func (d *directory) describe(s *section) *imports.Class {
	code := [2]string{s.school, s.course}
	subject := d.courses[code]
	title, _ := repairText(cmp.Or(s.name, d.offerings[code], d.titles[code], s.course, s.identifier),
		domain.MaxTextLength)
	course, _ := repairText(s.course, domain.MaxTextLength)
	room, _ := repairText(s.room, domain.MaxTextLength)
	kind := class.Section
	if s.homeroom {
		kind = class.Home
	}
	return &imports.Class{
		ClassID: d.classID(s), Title: title, Kind: kind, Course: domain.To(course),
		Room:     domain.To(room),
		Subjects: domain.To(ids([]string{subject})),
		Year:     domain.To(domain.Label(label(s.year))),
		Terms:    domain.To(ids([]string{d.termNamed(s.school, s.session)})),
	}
}

// homeClasses yields the home classes that are no sections: those of a grade.
func (im *Import) homeClasses() error {
	d, seen := im.directory, make(map[[2]string]string)
	for _, p := range d.pupils {
		for _, school := range p.assignedSchools {
			if p.homeroom[school] == nil {
				seen[[2]string{school, d.homeClass(p, school)}] = p.grade
			}
		}
	}
	keys := slices.SortedFunc(maps.Keys(seen), func(a, b [2]string) int {
		return slices.Compare(a[:], b[:])
	})
	for _, key := range keys {
		title, grades := "Unassigned", []string(nil)
		if grade := seen[key]; grade != "" {
			title, grades = codeTitle(grade), []string{gradeLabel(grade)}
		}
		if _, err := im.emit(&element{name: "Class"}, imports.KindClass, key[1], key[0],
			time.Time{}, &imports.Class{
				ClassID: key[1], Title: title, Kind: class.Home, Grades: domain.To(grades),
			}); err != nil {
			return err
		}
	}
	return nil
}

// codeTitle makes a title of a code value.
func codeTitle(code string) string {
	title, _ := repairText(code, domain.MaxTextLength)
	return cmp.Or(title, code)
}

// attends imports that a student is in a section.
func (im *Import) attends(e *element) error {
	id, s := im.directory.studentID(e), im.directory.sectionOf(e)
	if s == nil {
		return im.refuse(e, imports.KindAttending, "", "", "the section is not named")
	}
	if isTrue(e.str("HomeroomIndicator")) {
		im.used[e.name]++
		return nil // it is the home class of the student
	}
	return im.member(e, s, id, membership.Student, false)
}

// teaches imports that a member of staff is in a section.
func (im *Import) teaches(e *element) error {
	id, s := im.directory.staffID(e), im.directory.sectionOf(e)
	if s == nil {
		return im.refuse(e, imports.KindTeaching, "", "", "the section is not named")
	}
	role, position := membership.Teacher, e.code("ClassroomPosition")
	switch position {
	case "Assistant Teacher", "Support Teacher":
		role = membership.Aide
	}
	return im.member(e, s, id, role, position == "Teacher of Record")
}

// member yields a membership of a record, once for each person, section and beginning.
func (im *Import) member(e *element, s *section, person, role string, primary bool) error {
	d, kind := im.directory, imports.KindTeaching
	if role == membership.Student {
		kind = imports.KindAttending
	}
	from, to := d.lasts(s)
	key, _ := repairID(d.classID(s) + " " + person)
	if written := e.str("BeginDate"); written != "" {
		day, ok := parseDate(written)
		if !ok {
			return im.refuse(e, kind, "", s.school, "the day of its beginning is not a date")
		}
		from = day
		key, _ = repairID(d.classID(s) + " " + person + " " + day.String())
	}
	if written := e.str("EndDate"); written != "" {
		day, ok := parseDate(written)
		if !ok {
			return im.refuse(e, kind, key, s.school, "the day of its end is not a date")
		}
		to = day.AddDays(1)
	} else if to <= from {
		to = 0 // the session does not fit
	}
	once := markKey(s.school, key)
	if im.attending[once] {
		if e.name != "StudentGradebookEntry" { // each entry is evidence of the same
			im.report.adjusted(e.name, im.at(e),
				"the same membership occurs twice: the first one counts")
		}
		return nil
	}
	im.attending[once] = true
	if person == "" {
		key = ""
	}
	_, err := im.emit(e, kind, key, s.school, noon(from), &imports.Membership{
		MembershipID: key, ClassID: d.classID(s), PersonID: person, Role: role, Primary: primary,
		From: from, To: to,
	})
	return err
}
