package plan

import (
	"slices"
	"strconv"
	"time"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/consumers/plan/wording"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
)

// absence notifies the primary guardian at once that a child is missing: once for a day, or for
// each session where the school wants that. A text that could not be sent for a day is not sent at
// all: by then the child is back or the school has called.
var absence = &rule{
	name:     absenceRule,
	urgent:   true,
	types:    []string{attendance.TypeMarked, attendance.TypeCorrected},
	channels: []consumers.Channel{consumers.SMS},
	maxAge:   1,
	plan: func(d *draft) {
		m, ok := markOf(d.event)
		if !ok || m.Status != attendance.AbsentUnexcused || d.stale(m.Date) || d.early(m.Date) ||
			d.leftBefore(m.StudentID, m.Date) {
			return
		}
		missing := d.missing(m.StudentID, m.Date, m.Session)
		if !missing.beganWith(d.event.Position.Offset) {
			return
		}
		notice := message{
			template: wording.Absence,
			priority: consumers.Urgent,
			about:    m.StudentID,
			topic:    missing.topic,
			student:  m.StudentID,
			params: wording.Params{
				Student: d.studentName(m.StudentID), Class: m.ClassID,
				Date: m.Date, Session: m.Session,
			},
		}
		if m.Date < d.Today() {
			notice.priority = consumers.High // nobody is missing now
		}
		if d.ruleSettings.MaxAge >= 0 {
			notice.notAfter = d.Now().Add(24 * time.Hour)
		}
		d.tellFamily(m.StudentID, notice)
	},
	still: func(w *review) string {
		student, date := w.delivery.About, w.params.Date
		if w.leftBefore(student, date) {
			return "the student has left"
		}
		missing := w.missing(student, date, w.params.Session)
		if len(missing.sessions) == 0 {
			return "the absence has been corrected"
		}
		if !slices.Contains(missing.sessions, w.params.Session) {
			w.params.Session = missing.sessions[0]
		}
		w.params.Student = w.studentName(student)
		return w.family(student, true)
	},
}

// absenceCorrected takes back what a family was told of an absence, when it turns out not to be so.
var absenceCorrected = &rule{
	name:   "absence_corrected",
	types:  []string{attendance.TypeMarked, attendance.TypeCorrected},
	maxAge: 7,
	plan: func(d *draft) {
		m, ok := markOf(d.event)
		if !ok || m.Status == attendance.AbsentUnexcused || d.stale(m.Date) || d.early(m.Date) {
			return
		}
		missing := d.missing(m.StudentID, m.Date, m.Session)
		if !missing.endedWith(d.event.Position.Offset) {
			return
		}
		notice := message{
			template: wording.AbsenceCorrected,
			priority: consumers.Urgent,
			about:    m.StudentID,
			student:  m.StudentID,
			topic:    missing.topic,
			params: wording.Params{
				Student: d.studentName(m.StudentID), Class: m.ClassID, Date: m.Date, Session: wholeDay,
			},
		}
		if missing.perSession {
			notice.params.Session = m.Session
		}
		if m.Date < d.Today() {
			notice.priority = consumers.High
		}
		d.retract(notice)
	},
	still: func(w *review) string {
		student := w.delivery.About
		if len(w.missing(student, w.params.Date, w.params.Session).sessions) > 0 {
			return "the student is marked absent again"
		}
		w.params.Student = w.studentName(student)
		return w.family(student, false)
	},
}

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
			d.stale(m.Date) || d.early(m.Date) || d.leftBefore(m.StudentID, m.Date) {
			return
		}
		a, year, chronic := d.chronic(m.StudentID)
		if !chronic {
			return
		}
		notice := message{
			template: wording.ChronicAbsence,
			priority: consumers.Normal,
			about:    m.StudentID,
			student:  m.StudentID,
			once:     strconv.Itoa(year.From.Time().Year()),
			params: wording.Params{
				Student: d.studentName(m.StudentID), Class: m.ClassID,
				Missed: shown(&a.Absent), Days: shown(&a.Membership),
			},
		}
		d.tellFamily(m.StudentID, notice)
		for _, s := range d.staffOf(m.ClassID) {
			d.notify(s, notice, consumers.InApp)
		}
	},
	still: func(w *review) string {
		student := w.delivery.About
		a, _, chronic := w.chronic(student)
		switch {
		case !w.Student(student).LeftOn.IsZero():
			return "the student has left"
		case !chronic:
			return "the student is not absent that often any more"
		}
		w.params.Missed, w.params.Days = shown(&a.Absent), shown(&a.Membership)
		if s, ok := w.colleague(); ok {
			if !slices.Contains(s.ClassIDs, w.params.Class) {
				return s.ID + " no longer has the class"
			}
			return ""
		}
		return w.family(student, true)
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
func (d *draft) leftBefore(studentID string, on domain.Date) bool {
	left := d.Student(studentID).LeftOn
	return !left.IsZero() && on > left
}
