package plan

import (
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
)

// absence notifies the primary guardian at once that a child is missing. A text that could not be
// sent for a day is not sent at all: by then the child is back or the school has called.
var absence = &rule{
	name:     "absence",
	types:    []string{attendance.TypeMarked, attendance.TypeCorrected},
	channels: []consumers.Channel{consumers.SMS},
	maxAge:   1,
	plan: func(d *draft) {
		m, ok := markOf(d.event)
		if !ok || m.Status != attendance.AbsentUnexcused || d.stale(m.Date) || d.early(m.Date) ||
			d.leftBefore(m) {
			return
		}
		notice := message{
			template: wording.Absence,
			priority: consumers.Urgent,
			about:    m.StudentID,
			student:  m.StudentID,
			params: wording.Params{
				Student: d.studentName(m.StudentID), Class: m.ClassID,
				Date: m.Date, Session: m.Session,
			},
		}
		if d.ruleSettings.MaxAge >= 0 {
			notice.notAfter = d.Now().Add(24 * time.Hour)
		}
		d.notifyFirst(d.primary(m.StudentID), notice, d.channels()...)
	},
}

// A student's absence is judged from ten marks on, and is chronic when more than one mark in ten is
// an absence of either kind, as in the analytics.
const (
	chronicMarks = 10
	chronicShare = 10
)

// chronicAbsence notifies the primary guardian and the staff of the class that a student is absent
// too often, once per school year.
var chronicAbsence = &rule{
	name:     "chronic_absence",
	types:    []string{attendance.TypeMarked, attendance.TypeCorrected},
	channels: []consumers.Channel{consumers.Email, consumers.InApp},
	maxAge:   7,
	plan: func(d *draft) {
		m, ok := markOf(d.event)
		if !ok || m.Status != attendance.AbsentUnexcused && m.Status != attendance.AbsentExcused ||
			d.stale(m.Date) || d.early(m.Date) || d.leftBefore(m) {
			return
		}
		counts := d.Attendance(m.StudentID)
		missed := counts.AbsentExcused + counts.AbsentUnexcused
		marks := counts.Present + counts.Late + missed
		if marks < chronicMarks || chronicShare*missed <= marks {
			return
		}
		notice := message{
			template: wording.ChronicAbsence,
			priority: consumers.Normal,
			about:    m.StudentID,
			student:  m.StudentID,
			once:     schoolYear(m.Date, d.settings.YearFrom),
			params: wording.Params{
				Student: d.studentName(m.StudentID), Class: m.ClassID,
				Missed: missed, Marks: marks,
			},
		}
		d.notifyFirst(d.primary(m.StudentID), notice, d.channels()...)
		for _, s := range d.staffOf(m.ClassID) {
			d.notify(s, notice, consumers.InApp)
		}
	},
}

// markOf returns the mark that an event sets, whether for the first time or as a correction.
func markOf(e *domain.Envelope) (*attendance.Marked, bool) {
	switch m := e.Data.(type) {
	case *attendance.Marked:
		return m, true
	case *attendance.Corrected:
		return (*attendance.Marked)(m), true
	}
	return nil, false
}

// leftBefore reports that a mark is of a day after the student has left. This happens when a
// teacher's list is not up to date, and must not alarm the family. A student who is not enrolled
// yet may have come today, so the family is notified.
func (d *draft) leftBefore(m *attendance.Marked) bool {
	left := d.Student(m.StudentID).LeftOn
	return !left.IsZero() && m.Date > left
}

// schoolYear names the year of a date by the calendar year in which it begins.
func schoolYear(on domain.Date, from int) string {
	return strconv.Itoa(schoolYearStart(on, from).Time().Year())
}

// schoolYearStart returns the first day of the school year of a date.
func schoolYearStart(on domain.Date, from int) domain.Date {
	if from < 1 || from > 12 {
		from = int(time.August)
	}
	year, month, _ := on.Time().Date()
	if int(month) < from {
		year--
	}
	return domain.NewDate(year, time.Month(from), 1)
}
