package plan

import (
	"slices"
	"strings"

	"github.com/schoolbell/schoolbell/consumers"
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/presence"
)

// absenceRule is the rule that other rules correct.
const absenceRule = "absence"

// wholeDay is the session of a school that marks once a day.
const wholeDay = "day"

// missing is the unexcused absence of a student on a day, or in one of its sessions where the school
// tells families of each.
type missing struct {
	topic      string
	perSession bool
	changes    []consumers.AbsenceChange // in the order of the log
	sessions   []string                  // in which the student is absent now
	// unrecorded: the tables do not have the changes yet, of marks that were folded by a version
	// before. Then every mark counts as the first one.
	unrecorded bool
}

// missing looks up the absence that a mark of a session is part of.
func (d *draft) missing(studentID string, on domain.Date, session string) missing {
	m := missing{perSession: d.settings.Rules[absenceRule].Per == consumers.PerSession}
	m.topic = strings.Join([]string{absenceRule, studentID, on.String()}, "\t")
	m.changes = d.Absences(studentID, on)
	if len(m.changes) == 0 {
		m.unrecorded = slices.ContainsFunc(d.Presence(studentID, on, on), func(k presence.Mark) bool {
			return k.Status == attendance.AbsentUnexcused
		})
		if m.unrecorded {
			m.sessions = []string{session}
		}
	}
	if m.perSession {
		m.topic += "\t" + session
		m.changes = slices.DeleteFunc(slices.Clone(m.changes),
			func(c consumers.AbsenceChange) bool { return c.Session != session })
	}
	for _, c := range m.changes {
		m.sessions = m.after(c)
	}
	return m
}

// after returns the sessions in which the student is absent after one more change.
func (m *missing) after(c consumers.AbsenceChange) []string {
	sessions := slices.DeleteFunc(slices.Clone(m.sessions),
		func(s string) bool { return s == c.Session })
	if c.Absent {
		sessions = append(sessions, c.Session)
	}
	return sessions
}

// beganWith reports that the absence began with the mark at a position, and has lasted since.
func (m *missing) beganWith(position int64) bool {
	return m.unrecorded || m.turnedWith(position, true)
}

// endedWith reports that the absence ended with the mark at a position, and has not begun again.
func (m *missing) endedWith(position int64) bool { return m.turnedWith(position, false) }

// turnedWith reports that with the mark at a position the student became absent or ceased to be, and
// that this has not changed since, up to where the facts reach.
func (m *missing) turnedWith(position int64, absent bool) (turned bool) {
	var day missing
	for _, c := range m.changes {
		was := len(day.sessions) > 0
		day.sessions = day.after(c)
		is := len(day.sessions) > 0
		if c.Position == position {
			turned = was != is && is == absent
		} else if is != absent {
			turned = false
		}
	}
	return turned
}
