package edfi

import (
	"cmp"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/ingest/imports"
)

// attended imports an attendance event of a day. Ed-Fi allows several events of a student on a day,
// one for each category; Schoolbell has one mark for a student, day and session. The first event of
// a day is the mark of the session "day", and one of another category gets a session named after
// its category, so that none replaces another. Partial absences always have a session of their own:
// they say nothing about the rest of the day.
func (im *Import) attended(e *element) error {
	school := im.directory.schoolID(e)
	p := im.directory.pupil(im.directory.studentID(e))
	session := "day"
	if e.code("AttendanceEvent", "AttendanceEventCategory") == "Partial" {
		session = "partial"
	}
	return im.mark(e, school, im.directory.homeClass(p, school), session)
}

// attendedSection imports an attendance event of a lesson: its session is the period in which the
// section meets, where the files name one, else the section.
func (im *Import) attendedSection(e *element) error {
	s := im.directory.sectionOf(e)
	if s == nil {
		return im.refuse(e, imports.KindMark, "", "", "the section is not named")
	}
	class := im.directory.classID(s)
	period := e.str("ClassPeriodReference", "ClassPeriodIdentity", "ClassPeriodName")
	if period == "" && len(s.periods) == 1 {
		period = s.periods[0]
	}
	session, _ := repairID(period)
	return im.mark(e, s.school, class, cmp.Or(session, class))
}

// mark yields the mark of an attendance event.
func (im *Import) mark(e *element, school, class, session string) error {
	event := e.at("AttendanceEvent")
	id := im.directory.studentID(e)
	day, ok := parseDate(event.str("EventDate"))
	if !ok {
		return im.refuse(e, imports.KindMark, "", school, "the day is not a date")
	}
	category := event.code("AttendanceEventCategory")
	status, ok := attendanceStatus(category, event.str("AttendanceEventReason"))
	if !ok {
		return im.refuse(e, imports.KindMark, "", school,
			"category and reason do not say whether the student was present")
	}
	p := im.directory.pupil(id)
	if p.birthYear == 0 && len(p.assignedSchools) == 0 {
		im.report.adjusted(e.name, im.at(e), "the student is not in these files")
	}
	_, err := im.emit(e, imports.KindMark, "", school, noon(day), &imports.Mark{
		StudentID: id,
		ClassID:   class,
		Date:      day,
		Session:   im.sessionOf(e, []string{school, id, day.String()}, session, category),
		Status:    status,
		Reason:    attendanceReason(e),
	})
	return err
}

// sessionOf chooses the session of a mark: the one that it is for, unless an event of another
// category has it already.
func (im *Import) sessionOf(e *element, key []string, session, category string) string {
	for {
		k := markKey(append(key, session)...)
		was, taken := im.marks[k]
		switch {
		case !taken:
			im.marks[k] = category
			return session
		case was == category || strings.HasSuffix(session, slug(category)):
			im.report.adjusted(e.name, im.at(e),
				"the same event occurs twice: the later one counts")
			return session
		}
		if session == "day" || session == "partial" {
			session = slug(category)
		} else {
			session, _ = repairID(session + " " + slug(category))
		}
		im.report.adjusted(e.name, im.at(e), "a further event of the day has a session of its own")
	}
}

// attendanceStatus maps Ed-Fi's categories. A student who was tardy or left early was present, the
// former late. Where the category leaves open whether an absence is excused, as "Partial" does, the
// reason decides.
func attendanceStatus(category, reason string) (status string, ok bool) {
	switch category {
	case "In Attendance", "Early departure":
		return attendance.Present, true
	case "Tardy":
		return attendance.Late, true
	case "Excused Absence":
		return attendance.AbsentExcused, true
	case "Unexcused Absence":
		return attendance.AbsentUnexcused, true
	}
	reason = strings.ToLower(reason)
	switch {
	case strings.Contains(reason, "unexcused"):
		return attendance.AbsentUnexcused, true
	case strings.Contains(reason, "excused"):
		return attendance.AbsentExcused, true
	case strings.Contains(reason, "tardy"):
		return attendance.Late, true
	}
	return "", false
}

// attendanceReason preserves what Schoolbell has no field for: when the student arrived, and the
// minutes of the event.
func attendanceReason(e *element) string {
	reason := cmp.Or(e.str("AttendanceEvent", "AttendanceEventReason"),
		e.code("AttendanceEvent", "AttendanceEventCategory"))
	if arrival := e.str("ArrivalTime"); len(arrival) >= len("15:04") {
		reason += ", arrived at " + arrival[:len("15:04")]
	}
	if minutes := e.str("SchoolAttendanceDuration"); minutes != "" {
		reason += ", " + minutes + " minutes"
	}
	reason, _ = repairText(reason, domain.MaxTextLength)
	return reason
}
