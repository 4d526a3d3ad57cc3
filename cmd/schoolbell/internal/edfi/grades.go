package edfi

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// indexGradebookEntry resolves what a grade needs from its entry: the section, the subject of the
// course, the term and the maximum.
func (d *directory) indexGradebookEntry(e *element) {
	section := d.sectionOf(e)
	if section == nil {
		return // the second pass refuses it
	}
	assigned, _ := parseDate(e.str("DateAssigned"))
	due, _ := parseDate(e.str("DueDate"))
	d.noteDate(e.str("DateAssigned"))
	maxScore, ok := number(e.str("MaxPoints"))
	if !ok || maxScore == 0 {
		maxScore = numericGradeMax
	}
	title := cmp.Or(e.str("Title"), e.str("GradebookEntryTitle"))
	id, _ := repairID(cmp.Or(e.str("GradebookEntryIdentifier"), strings.Join([]string{
		section.identifier, e.str("DateAssigned"), title,
	}, " ")))
	subject, _ := repairID(cmp.Or(d.courses[[2]string{section.school, section.course}],
		section.course))
	d.entries[d.entryKey(e)] = gradebookEntry{
		id:       id,
		section:  section,
		subject:  subject,
		year:     label(section.year),
		term:     d.termNamed(section.school, section.session),
		title:    title,
		maxScore: maxScore,
		assigned: assigned,
		due:      due,
	}
}

// entryKey is the identity of a gradebook entry, in the entry itself or in a reference to it.
// Before 4.0 it was the section, the day and the title.
func (d *directory) entryKey(e *element) string {
	if id := e.str("GradebookEntryIdentifier"); id != "" {
		return e.str("Namespace") + "#" + id
	}
	section := ""
	if s := d.sectionOf(e); s != nil {
		section = fmt.Sprint(s.sectionKey)
	}
	return section + "#" + e.str("DateAssigned") + "#" + e.str("GradebookEntryTitle")
}

// scheduled imports a gradebook entry as an assessment.
func (im *Import) scheduled(e *element) error {
	entry, ok := im.directory.entries[im.directory.entryKey(e)]
	if !ok {
		return im.refuse(e, imports.KindAssessment, "", "", "its section is not named")
	}
	title, _ := repairText(entry.title, domain.MaxTextLength)
	announced := cmp.Or(entry.assigned, entry.due)
	_, err := im.emit(e, imports.KindAssessment, entry.id, entry.section.school,
		noon(announced), &imports.Assessment{
			AssessmentID: entry.id,
			ClassID:      im.directory.classID(entry.section),
			SubjectName:  entry.subject,
			Title:        cmp.Or(title, entry.id),
			MaxScore:     entry.maxScore,
			On:           cmp.Or(entry.due, entry.assigned),
			Year:         domain.Label(entry.year),
			Term:         domain.Label(entry.term),
		})
	return err
}

// graded imports a student's grade. A grade above the maximum is extra credit.
func (im *Import) graded(e *element) error {
	id := im.directory.studentID(e)
	entry, ok := im.directory.entries[im.directory.entryKey(e.at("GradebookEntryReference",
		"GradebookEntryIdentity"))]
	if !ok {
		return im.refuse(e, imports.KindScore, "", "", "the gradebook entry is not in these files")
	}
	if err := im.inferAttending(e, entry.section, id); err != nil {
		return err
	}
	score, ok := number(cmp.Or(e.str("PointsEarned"), e.str("NumericGradeEarned")))
	if !ok {
		im.report.unused(e.name, im.at(e), "no numeric grade")
		return nil
	}
	maxScore := entry.maxScore
	if e.str("PointsEarned") == "" {
		maxScore = numericGradeMax
	}
	if score > 2*maxScore {
		im.report.adjusted(e.name, im.at(e), "grade above twice the maximum counts as twice the maximum")
		score = 2 * maxScore
	}
	at := noon(cmp.Or(entry.due, entry.assigned))
	if fulfilled, ok := parseTime(e.str("DateFulfilled")); ok {
		at = fulfilled
	}
	_, err := im.emit(e, imports.KindScore, "", entry.section.school, at, &imports.Score{
		AssessmentID: entry.id,
		StudentID:    id,
		ClassID:      im.directory.classID(entry.section),
		SubjectName:  entry.subject,
		Score:        score,
		MaxScore:     maxScore,
		ExtraCredit:  score > maxScore,
		Year:         domain.Label(entry.year),
		Term:         domain.Label(entry.term),
	})
	return err
}

// inferAttending takes a grade as evidence that the student is in the section, unless a record says
// so itself.
func (im *Import) inferAttending(e *element, s *section, student string) error {
	if im.directory.attends[attendKey(s, student)] ||
		len(im.directory.pupil(student).assignedSchools) == 0 {
		return nil
	}
	return im.member(e, s, student, membership.Student, false)
}

// assessed imports the most meaningful result of a test. The results of its parts are included in
// it.
func (im *Import) assessed(e *element) error {
	id := im.directory.studentID(e)
	test := e.str("AssessmentReference", "AssessmentIdentity", "AssessmentIdentifier")
	r, why := bestResult(e, test)
	if why != "" {
		im.report.unused(e.name, im.at(e), why)
		return nil
	}
	at, ok := parseTime(e.str("AdministrationDate"))
	if !ok {
		return im.refuse(e, imports.KindScore, "", "", "the day of the assessment is not a date")
	}
	p := im.directory.pupil(id)
	if len(p.assignedSchools) == 0 {
		return im.refuse(e, imports.KindScore, "", "", "the student has no school")
	}
	for range e.all("StudentObjectiveAssessment") {
		im.report.unused("StudentObjectiveAssessment", im.at(e),
			"part of an assessment that is imported as a whole")
	}
	school := p.assignedSchools[0]
	year := label(e.str("SchoolYear"))
	term, exact := im.directory.termOn(school, year, domain.DateOf(at))
	if !exact {
		im.report.adjusted(e.name, im.at(e),
			"the day is in no session of its school year: term of the same day of the year")
	}
	testID, _ := repairID(test + " " + at.Format(time.DateOnly))
	subject, _ := repairID(r.subject)
	_, err := im.emit(e, imports.KindScore, "", school, at, &imports.Score{
		AssessmentID: testID,
		StudentID:    id,
		ClassID:      im.directory.homeClass(p, school),
		SubjectName:  subject,
		Score:        r.score,
		MaxScore:     r.maxScore,
		Scale:        r.scale,
		Year:         domain.Label(cmp.Or(year, at.Format("2006"))),
		Term:         domain.Label(cmp.Or(term, "unassigned")),
	})
	return err
}
