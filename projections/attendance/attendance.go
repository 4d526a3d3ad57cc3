// Package attendance counts presence: by school and class for each day, and by student. There is one mark for a student,
// a date and a session; a later one, or a correction, replaces it, and the counts follow.
//
// The rate is (present + late) / all marks that were recorded. It says something about a school that records everybody.
// Where only exceptions are recorded, as is usual in some countries, those who were present leave no mark: the counts of
// absences are exact there, but the rate only compares lateness with absence. Chronic absence, a rate below 90 %, is
// therefore judged from ten marks on, the number of days that statistics ask for as well.
package attendance

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/projections"
)

// Projection is the read model.
var Projection = projections.New("attendance", 1,
	marks, byDay, byStudent,
	projections.On(marked),
	projections.On(func(b *projections.Batch, e *domain.Envelope, m *attendance.Corrected) error {
		return marked(b, e, (*attendance.Marked)(m))
	}),
)

var (
	marks     = projections.NewTable[markKey, markRow]("attendance_marks")
	byDay     = projections.NewTable[dayKey, Counts]("attendance_days")
	byStudent = projections.NewTable[studentKey, Counts]("attendance_students")
)

// markKey begins with the date, so that marks are added at the end of the index, and a range of days is read in one
// piece.
type markKey struct {
	School    string      `db:"school"`
	Date      domain.Date `db:"date"`
	StudentID string      `db:"student_id"`
	Session   string      `db:"session"`
}

type markRow struct {
	ClassID string `db:"class_id"`
	Status  string `db:"status"`
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

// Counts are numbers of marks by status.
type Counts struct {
	Present         int64 `db:"present" json:"present" doc:"Marks of students who were there in time"`
	Late            int64 `db:"late" json:"late" doc:"Marks of students who came late"`
	AbsentExcused   int64 `db:"absent_excused" json:"absent_excused" doc:"Marks of students who were away with an excuse"`
	AbsentUnexcused int64 `db:"absent_unexcused" json:"absent_unexcused" doc:"Marks of students who were away without one"`
}

// ChronicMarks is from how many marks on a student's absence is judged.
const ChronicMarks = 10

// Marks is their number.
func (c Counts) Marks() int64 { return c.Present + c.Late + c.Absent() }

// Absent is the number of absences of both kinds.
func (c Counts) Absent() int64 { return c.AbsentExcused + c.AbsentUnexcused }

// Chronic reports a rate below 90 %.
func (c Counts) Chronic() bool { return c.Marks() >= ChronicMarks && 10*c.Absent() > c.Marks() }

// OfStudent returns a student's counts to the fold of a projection that reads this one.
func OfStudent(b *projections.Batch, school, studentID string) Counts {
	c, _ := byStudent.Get(b, studentKey{school, studentID})
	return c
}

func marked(b *projections.Batch, e *domain.Envelope, m *attendance.Marked) error {
	key := markKey{e.School, m.Date, m.StudentID, m.Session}
	mark := markRow{m.ClassID, m.Status}
	old, replaces := marks.Get(b, key)
	if replaces && old == mark {
		return nil
	}
	marks.Put(b, key, mark)
	if replaces {
		count(b, key, old, -1)
	}
	count(b, key, mark, +1)
	return nil
}

func count(b *projections.Batch, key markKey, m markRow, n int64) {
	add(b, byDay, dayKey{key.School, key.Date, m.ClassID}, m.Status, n)
	add(b, byStudent, studentKey{key.School, key.StudentID}, m.Status, n)
}

// add changes a row of counts, and removes it when it has none left.
func add[K comparable](b *projections.Batch, table *projections.Table[K, Counts], key K, status string, n int64) {
	c, _ := table.Get(b, key)
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
	if c == (Counts{}) {
		table.Delete(b, key)
		return
	}
	table.Put(b, key, c)
}
