// Package attendance counts presence: by school and class for each day, and by student. There is
// one mark for a student, a date and a session; a later one, or a correction, replaces it, and the
// counts follow.
//
// The marks themselves are stored a student's month in a row (see [sheet]): a range of days is then
// few rows to read, and a morning's marks are rows that are changed and not rows that are added,
// which costs the database much less.
//
// The rate is (present + late) / all marks that were recorded. It is meaningful for a school that
// records every student. Where only exceptions are recorded, which is usual in some countries,
// those who were present leave no mark: the counts of absences are exact there, but the rate only
// compares lateness with absence. Chronic absence, a rate below 90 %, is therefore judged from ten
// marks on, the number of days that statistics ask for as well.
//
// A mark is folded into the sheet of its month; the difference that it makes goes into the counts of
// its day and of its student, so that a correction costs as little as a mark. A mark that begins or
// ends an unexcused absence leaves a row of its own, for the messages to families. Queries read the counts,
// and sheets only for ranges, for streaks, and where sections have marks, which count for home classes
// (see [filing]). The first change for another number is a column of [Counts]
// or of the result; for another way to store marks, sheet.go.
package attendance

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("attendance", 3,
	months, byDay, byStudent, absences,
	projections.On(marked),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *attendance.Corrected) error {
		return marked(b, e, (*attendance.Marked)(m))
	}),
)

var (
	months    = projections.NewTable[monthKey, monthRow]("attendance_months")
	byDay     = projections.NewTable[dayKey, Counts]("attendance_days")
	byStudent = projections.NewTable[studentKey, Counts]("attendance_students")
	absences  = projections.NewTable[absenceKey, absenceRow]("attendance_absences")
)

// monthKey begins with the month, so that rows are added at the end of the index, and a range of
// days is read in one piece.
type monthKey struct {
	School    string      `db:"school"`
	Month     domain.Date `db:"month"`
	StudentID string      `db:"student_id"`
}

type monthRow struct {
	Marks string `db:"marks"` // a sheet
}

type dayKey struct {
	School  string      `db:"school"`
	Date    domain.Date `db:"date"`
	ClassID string      `db:"class_id"`
}

type studentKey struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
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

// chronicMarks is from how many marks on a student's absence is judged.
const chronicMarks = 10

// Marks is their number.
func (c Counts) Marks() int64 { return c.Present + c.Late + c.Absent() }

// Absent is the number of absences of both kinds.
func (c Counts) Absent() int64 { return c.AbsentExcused + c.AbsentUnexcused }

// Chronic reports a rate below 90 %.
func (c Counts) Chronic() bool { return c.Marks() >= chronicMarks && 10*c.Absent() > c.Marks() }

// OfStudent returns a student's counts to the fold of a projection that reads this one.
func OfStudent(b *projections.Batch, school, studentID string) Counts {
	c, _ := byStudent.Get(b, studentKey{school, studentID})
	return c
}

func marked(b *projections.Batch, e *domain.Envelope, m *attendance.Marked) error {
	key := monthKey{e.School, m.Date.Month(), m.StudentID}
	row, _ := months.Get(b, key)
	var space [sheetSpace]mark
	marks, err := parseSheet(space[:0], row.Marks)
	if err != nil {
		return err
	}
	made := mark{
		day: int(m.Date-key.Month) + 1, session: m.Session, class: m.ClassID,
		status: m.Status,
	}
	marks, old := marks.put(made)
	if old == made {
		return nil
	}
	months.Put(b, key, monthRow{marks.text()})
	if old != (mark{}) {
		count(b, e.School, m.StudentID, m.Date, old, -1)
	}
	count(b, e.School, m.StudentID, m.Date, made, +1)
	if absent := made.unexcused(); absent != old.unexcused() {
		absences.Put(b, absenceKey{e.School, m.StudentID, m.Date, e.Position.Offset},
			absenceRow{m.Session, absent})
	}
	return nil
}

func count(b *projections.Batch, school, studentID string, date domain.Date, m mark, n int64) {
	add(b, byDay, dayKey{school, date, m.class}, m.status, n)
	add(b, byStudent, studentKey{school, studentID}, m.status, n)
}

// add changes a row of counts, and removes it when it has none left.
func add[K comparable](
	b *projections.Batch, table *projections.Table[K, Counts], key K, status string, n int64,
) {
	c, _ := table.Get(b, key)
	c.add(status, n)
	if c == (Counts{}) {
		table.Delete(b, key)
		return
	}
	table.Put(b, key, c)
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
