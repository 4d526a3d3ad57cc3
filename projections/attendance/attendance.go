// Package attendance stores the marks of students, and says what follows from them: how many days
// they were absent of those in membership. There is one mark for a student, a date and a session; a
// later one replaces it, and a correction outranks what is none.
//
// The folds store what happened: a student's month of marks in a row (see [sheet]), and the numbers of
// marks by day and class. A range of days is then few rows to read, and a morning's marks are rows
// that are changed and not rows that are added, which costs the database much less. No fold knows
// what day it is, which days are school, who is enrolled, or what the school has decided: all of that
// comes in when a result is made, as a [basis], by the definitions of packages domain/attendance and
// domain/calendar.
//
// The rate is (membership − days absent) / membership, for a student, a class, the school and a day.
// Membership are the days of school up to today on which a student was enrolled; a day absent is made
// of the marks of the day's sessions. [measure] adds both up, in one pass over the enrolments and one
// over the absences. What counts for which class is decided by [filing].
//
// A mark that begins or ends an unexcused absence leaves a row of its own, for the messages to
// families. The first change for another number is a field of [totals] or of the result; for another
// way to store marks, sheet.go.
package attendance

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("attendance", 4,
	months, byDay, absences,
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *attendance.Marked) error {
		return marked(b, e, m, false)
	}),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *attendance.Corrected) error {
		return marked(b, e, (*attendance.Marked)(m), true)
	}),
)

var (
	months   = projections.NewTable[monthKey, monthRow]("attendance_months")
	byDay    = projections.NewTable[dayKey, Counts]("attendance_days")
	absences = projections.NewTable[absenceKey, absenceRow]("attendance_absences")
)

// monthKey begins with the month, so that rows are added at the end of the index, and a range of
// days is read in one piece.
type monthKey struct {
	School    string      `db:"school"`
	Month     domain.Date `db:"month"`
	StudentID string      `db:"student_id"`
}

type monthRow struct {
	Marks   string `db:"marks"`   // a sheet
	Reasons string `db:"reasons"` // of its marks; see withReason
}

type dayKey struct {
	School  string      `db:"school"`
	Date    domain.Date `db:"date"`
	ClassID string      `db:"class_id"`
}

// absenceKey names a mark that made a session an unexcused absence, or made it none.
type absenceKey struct {
	School    string      `db:"school"`
	StudentID string      `db:"student_id"`
	Date      domain.Date `db:"date"`
	Position  int64       `db:"position"`
}

type absenceRow struct {
	Session string `db:"session"`
	Absent  bool   `db:"absent"`
}

// Counts are numbers of marks by status.
type Counts struct {
	Present         int64 `db:"present" json:"present" doc:"Marks of students who were there in time"`
	Late            int64 `db:"late" json:"late" doc:"Marks of students who came late"`
	AbsentExcused   int64 `db:"absent_excused" json:"absent_excused" doc:"Marks of students who were away with an excuse"`
	AbsentUnexcused int64 `db:"absent_unexcused" json:"absent_unexcused" doc:"Marks of students who were away without one"`
}

// Marks is their number.
func (c Counts) Marks() int64 { return c.Present + c.Late + c.Absences() }

// Absences is the number of absences of both kinds.
func (c Counts) Absences() int64 { return c.AbsentExcused + c.AbsentUnexcused }

func marked(
	b *projections.Batch, e *domain.Envelope, m *attendance.Marked, corrected bool,
) error {
	key := monthKey{e.School, m.Date.Month(), m.StudentID}
	row, _ := months.Get(b, key)
	var space [sheetSpace]mark
	marks, err := parseSheet(space[:0], row.Marks)
	if err != nil {
		return err
	}
	made := mark{
		day: int(m.Date-key.Month) + 1, session: m.Session, class: m.ClassID,
		status: m.Status, corrected: corrected,
	}
	marks, old, taken := marks.put(made)
	if !taken {
		return nil
	}
	now := monthRow{row.Marks, withReason(row.Reasons, &made, m.Reason)}
	if old != made {
		now.Marks = marks.text()
	}
	if now != row {
		months.Put(b, key, now)
	}
	if old.class == made.class && old.status == made.status {
		return nil
	}
	if old != (mark{}) {
		count(b, dayKey{e.School, m.Date, old.class}, old.status, -1)
	}
	count(b, dayKey{e.School, m.Date, made.class}, made.status, +1)
	if absent := made.unexcused(); absent != old.unexcused() {
		absences.Put(b, absenceKey{e.School, m.StudentID, m.Date, e.Position.Offset},
			absenceRow{m.Session, absent})
	}
	return nil
}

// count changes the counts of a day and class, and removes them when there are none left.
func count(b *projections.Batch, key dayKey, status string, n int64) {
	c, _ := byDay.Get(b, key)
	c.add(status, n)
	if c == (Counts{}) {
		byDay.Delete(b, key)
		return
	}
	byDay.Put(b, key, c)
}

func (c *Counts) add(status string, n int64) {
	switch status {
	case attendance.Present:
		c.Present += n
	case attendance.Late:
		c.Late += n
	case attendance.AbsentExcused:
		c.AbsentExcused += n
	case attendance.AbsentUnexcused:
		c.AbsentUnexcused += n
	}
}

// plus adds other counts.
func (c *Counts) plus(o Counts) {
	c.Present += o.Present
	c.Late += o.Late
	c.AbsentExcused += o.AbsentExcused
	c.AbsentUnexcused += o.AbsentUnexcused
}
