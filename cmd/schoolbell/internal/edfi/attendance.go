package edfi

import (
	"cmp"
	"strings"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
)

// attended imports an attendance event. Ed-Fi allows several events of a student on a day, one for
// each category; Schoolbell has one mark for a student, day and session. The first event of a day
// is the mark of the session "day", and one of another category gets a session named after its
// category, so that none replaces another. Partial absences always have a session of their own:
// they say nothing about the rest of the day.
func (im *Import) attended(e *element) error {
	event := e.at("AttendanceEvent")
	id, school := im.directory.studentID(e), im.directory.schoolID(e)
	key := id + " " + event.str("EventDate")
	day, ok := parseDate(event.str("EventDate"))
	if !ok {
		im.report.unused(e.name, key, "the day is not a date")
		return nil
	}
	category := event.code("AttendanceEventCategory")
	status, ok := attendanceStatus(category, event.str("AttendanceEventReason"))
	if !ok {
		im.report.unused(e.name, key,
			"category and reason do not say whether the student was present")
		return nil
	}
	p := im.directory.pupil(id)
	if p.birthYear == 0 && len(p.assignedSchools) == 0 {
		im.report.adjusted(e.name, key, "the student is not in these files")
	}
	_, err := im.emit(e, key, school, noon(day), attendance.TypeMarked, &attendance.Marked{
		StudentID: id,
		ClassID:   p.classID(),
		Date:      day,
		Session:   im.sessionOf(e, key, school, category),
		Status:    status,
		Reason:    attendanceReason(e),
	})
	return err
}

// sessionOf chooses the session of a mark.
func (im *Import) sessionOf(e *element, key, school, category string) string {
	session := "day"
	if category == "Partial" {
		session = "partial"
	}
	for {
		k := markKey(school, key, session)
		was, taken := im.marks[k]
		switch {
		case !taken:
			im.marks[k] = category
			return session
		case was == category || session == slug(category):
			im.report.adjusted(e.name, key, "the same event occurs twice: the later one counts")
			return session
		}
		session = slug(category)
		im.report.adjusted(e.name, key, "a further event of the day has a session of its own")
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
