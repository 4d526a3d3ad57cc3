// Package storetest verifies that a store keeps the promises of [projections.Store] ([Run]), and
// holds the small projections that the engine itself is tested with ([Set]). The projections cover
// what a read model can do: count, replace by a natural key, depend on another projection's rows,
// remove rows, only add rows, and hold every kind of column. An event whose reason is one of the
// constants below makes their fold fail in that way. A new promise of stores gets a line in Run's
// list.
package storetest

import (
	"errors"
	"slices"
	"time"

	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/attendance"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
)

// What a mark's reason does to the folds, unless they are fixed.
const (
	ReasonFail  = "the fold fails"
	ReasonPanic = "the fold panics"
	ReasonNUL   = "the fold writes what no store takes"
)

// DDL creates the tables of the test projections in PostgreSQL.
const DDL = `
CREATE TABLE test_kinds (school text COLLATE "C", kind text COLLATE "C", events bigint, last date,
latest timestamptz,
	mean double precision, odd boolean, students jsonb, PRIMARY KEY (school, kind));
CREATE TABLE test_pupils (school text COLLATE "C", student_id text COLLATE "C", name text,
class_id text, born date, marks integer,
	PRIMARY KEY (school, student_id));
CREATE TABLE test_marks (school text COLLATE "C", student_id text COLLATE "C", date date,
session text COLLATE "C", status text, changes bigint,
	PRIMARY KEY (school, student_id, date, session));
CREATE TABLE test_days (school text COLLATE "C", class_id text COLLATE "C", date date,
present bigint, absent bigint,
	PRIMARY KEY (school, class_id, date));
CREATE TABLE test_journal (school text COLLATE "C", log_offset bigint, type text, at timestamptz,
note text,
	PRIMARY KEY (school, log_offset));
SELECT schoolbell.protect(t) FROM unnest(ARRAY['test_kinds', 'test_pupils', 'test_marks',
'test_days', 'test_journal']::regclass[]) t;
`

type kindKey struct {
	School string `db:"school"`
	Kind   string `db:"kind"`
}

type kindRow struct {
	Events   int64       `db:"events"`
	Last     domain.Date `db:"last"`
	Latest   time.Time   `db:"latest"`
	Mean     float64     `db:"mean"`
	Odd      bool        `db:"odd"`
	Students []string    `db:"students"`
}

type pupilKey struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
}

type pupilRow struct {
	Name    string      `db:"name"`
	ClassID string      `db:"class_id"`
	Born    domain.Date `db:"born"`
	Marks   int32       `db:"marks"`
}

type markKey struct {
	School    string      `db:"school"`
	StudentID string      `db:"student_id"`
	Date      domain.Date `db:"date"`
	Session   string      `db:"session"`
}

type markRow struct {
	Status  string `db:"status"`
	Changes int64  `db:"changes"`
}

type dayKey struct {
	School  string      `db:"school"`
	ClassID string      `db:"class_id"`
	Date    domain.Date `db:"date"`
}

type dayRow struct {
	Present int64 `db:"present"`
	Absent  int64 `db:"absent"`
}

type entryKey struct {
	School string `db:"school"`
	Offset int64  `db:"log_offset"`
}

type entryRow struct {
	Type string    `db:"type"`
	At   time.Time `db:"at"`
	Note string    `db:"note"`
}

// Set returns the test projections. Fixed folds do not fail on purpose, and have a higher version.
func Set(fixed bool) *projections.Set {
	version := 1
	if fixed {
		version = 2
	}
	fold := folds{
		fixed:   fixed,
		kinds:   projections.NewTable[kindKey, kindRow]("test_kinds"),
		pupils:  projections.NewTable[pupilKey, pupilRow]("test_pupils"),
		marks:   projections.NewTable[markKey, markRow]("test_marks"),
		days:    projections.NewTable[dayKey, dayRow]("test_days"),
		journal: projections.NewAppendTable[entryKey, entryRow]("test_journal"),
	}
	pupils := projections.New("pupils", version, fold.pupils,
		projections.On(fold.enrolled), projections.On(fold.withdrawn))
	marks := projections.New("marks", version, fold.marks, fold.days, projections.Reads(pupils),
		projections.On(fold.marked))
	counts := projections.New("counts", version, fold.kinds, fold.journal,
		projections.OnEvery(fold.every))
	set, err := projections.NewSet(pupils, marks, counts)
	if err != nil {
		panic(err)
	}
	return set
}

type folds struct {
	fixed   bool
	kinds   *projections.Table[kindKey, kindRow]
	pupils  *projections.Table[pupilKey, pupilRow]
	marks   *projections.Table[markKey, markRow]
	days    *projections.Table[dayKey, dayRow]
	journal *projections.Table[entryKey, entryRow]
}

func (f folds) enrolled(b *projections.Batch, e *domain.Envelope, m *student.Enrolled) error {
	k := pupilKey{e.School, m.StudentID}
	row, _ := f.pupils.Get(b, k)
	row.Name, row.ClassID, row.Born = m.GivenName+" "+m.FamilyName, m.ClassID, m.BirthDate
	f.pupils.Put(b, k, row)
	return nil
}

func (f folds) withdrawn(b *projections.Batch, e *domain.Envelope, m *student.Withdrawn) error {
	f.pupils.Delete(b, pupilKey{e.School, m.StudentID})
	return nil
}

// marked counts a mark for the class that the pupil is in now, so that the key of the second row
// depends on the first.
func (f folds) marked(b *projections.Batch, e *domain.Envelope, m *attendance.Marked) error {
	pupil, known := f.pupils.Get(b, pupilKey{e.School, m.StudentID})
	if !known {
		pupil.ClassID = m.ClassID
	}
	k := markKey{e.School, m.StudentID, m.Date, m.Session}
	mark, again := f.marks.Get(b, k)
	day := dayKey{e.School, pupil.ClassID, m.Date}
	count, _ := f.days.Get(b, day)
	if again {
		count.add(mark.Status, -1)
	}
	count.add(m.Status, 1)
	f.days.Put(b, day, count)
	f.marks.Put(b, k, markRow{Status: m.Status, Changes: mark.Changes + 1})
	if known {
		pupil.Marks++
		f.pupils.Put(b, pupilKey{e.School, m.StudentID}, pupil)
	}
	return nil
}

func (r *dayRow) add(status string, n int64) {
	if status == attendance.Present || status == attendance.Late {
		r.Present += n
	} else {
		r.Absent += n
	}
}

func (f folds) every(b *projections.Batch, e *domain.Envelope) error {
	k := kindKey{e.School, e.Type}
	row, _ := f.kinds.Get(b, k)
	row.Mean = (row.Mean*float64(row.Events) + float64(len(e.ID))) / float64(row.Events+1)
	row.Events++
	row.Odd = row.Events%2 == 1
	if e.Time.After(row.Latest) {
		row.Latest = e.Time
	}
	if len(row.Students) < 3 {
		row.Students = append(slices.Clip(row.Students), e.Subject)
	}
	note := ""
	if m, ok := e.Data.(*attendance.Marked); ok {
		row.Last = max(row.Last, m.Date)
		note = m.Reason
	}
	f.kinds.Put(b, k, row)
	if !f.fixed {
		switch note {
		case ReasonFail:
			return errors.New("failing on purpose")
		case ReasonPanic:
			panic("panicking on purpose")
		case ReasonNUL:
			note = "\x00"
		}
	}
	f.journal.Put(b, entryKey{e.School, e.Position.Offset},
		entryRow{Type: e.Type, At: e.Time, Note: note})
	return nil
}
