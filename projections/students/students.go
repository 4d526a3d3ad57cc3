// Package students is the directory: who attends the school and in which home class, who belongs to
// which section, who their guardians are, and who works there, from when to when. Guardians are
// stored once and linked to their students, so that a new telephone number reaches all of them.
//
// The days that facts name decide, not the order in which they arrive: what was said of each thing
// is kept (history.go), and the spans follow from it. No fold knows what day it is; every query
// takes a day, and finds the spans that hold on it. Each row keeps the source of the event that made
// it, so that an import can tell its own.
//
// Other read models join the function student_names of this package's migration, or call [Names];
// its tables are its own. The first change for another attribute of a student is a column of
// studentRow, of the migration and of [Student].
package students

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/student"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/search"
)

// Projection is the read model.
var Projection = projections.New("students", 5,
	students, enrolments, classes, memberships, guardians, links, members, assignments, histories,
	profiles, optOuts,
	projections.On(enrolled),
	projections.On(detailsChanged),
	projections.On(classChanged),
	projections.On(withdrawn),
	projections.On(linked),
	projections.On(unlinked),
	projections.On(contactChanged),
	projections.On(guardianChanged),
	projections.On(optedOut),
	projections.On(optedIn),
	projections.On(assigned),
	projections.On(staffChanged),
	projections.On(left),
	projections.On(defined),
	projections.On(closed),
	projections.On(started),
	projections.On(ended),
	projections.On(described),
)

var (
	students   = projections.NewTable[studentKey, studentRow]("students")
	enrolments = projections.NewTable[enrolmentKey, enrolmentRow]("enrolments")
)

// The statuses of a student on a day.
const (
	Enrolled  = "enrolled"
	Withdrawn = "withdrawn"
	Expected  = "expected" // enrolled ahead: not yet at the school
	Unknown   = "unknown"  // named by facts, but never enrolled
)

type studentKey struct {
	School    string `db:"school"`
	StudentID string `db:"student_id"`
}

type studentRow struct {
	GivenName     string       `db:"given_name"`
	FamilyName    string       `db:"family_name"`
	PreferredName string       `db:"preferred_name"`
	SortName      string       `db:"sort_name"`   // what lists are sorted by
	SearchName    string       `db:"search_name"` // what names and ids are found in
	BirthDate     domain.Date  `db:"birth_date"`
	GradeLevel    domain.Label `db:"grade_level"`
	PhotoURL      string       `db:"photo_url"`
	Email         string       `db:"email"`
	Identifiers   []string     `db:"identifiers"`
	// the class that was named last, for a student whom nobody enrolled
	ClassID string      `db:"class_id"`
	FirstOn domain.Date `db:"first_on"` // the first day of all; none for whom nobody enrolled
	LeftOn  domain.Date `db:"left_on"`  // the first day of all on which they were withdrawn
	Source  string      `db:"source"`
}

type enrolmentKey struct {
	School    string      `db:"school"`
	StudentID string      `db:"student_id"`
	Starts    domain.Date `db:"starts"`
}

// enrolmentRow is a time in one home class. A student who moves has two that follow one another,
// with the days of the whole enrolment in both.
type enrolmentRow struct {
	Ends        domain.Date `db:"ends"`
	ClassID     string      `db:"class_id"`
	EnrolledOn  domain.Date `db:"enrolled_on"`
	WithdrawnOn domain.Date `db:"withdrawn_on"`
	Source      string      `db:"source"`
}

func enrolled(b *projections.Batch, e *domain.Envelope, m *student.Enrolled) error {
	key := studentKey{e.School, m.StudentID}
	row, _ := students.Get(b, key)
	row.GivenName, row.FamilyName, row.Source = m.GivenName, m.FamilyName, e.Source
	// what it does not say it does not touch
	set(&row.BirthDate, m.BirthDate)
	set(&row.GradeLevel, m.GradeLevel)
	set(&row.PhotoURL, m.PhotoURL)
	set(&row.Email, m.Email)
	attend(b, key, row, said(e, starts, m.On, place{Class: m.ClassID}))
	return nil
}

func detailsChanged(b *projections.Batch, e *domain.Envelope, m *student.DetailsChanged) error {
	key := studentKey{e.School, m.StudentID}
	row, exists := students.Get(b, key)
	if !exists {
		row.Source = e.Source
	}
	set(&row.GivenName, m.GivenName)
	set(&row.FamilyName, m.FamilyName)
	row.PreferredName = m.PreferredName.Or(row.PreferredName)
	row.BirthDate = m.BirthDate.Or(row.BirthDate)
	row.GradeLevel = m.GradeLevel.Or(row.GradeLevel)
	row.PhotoURL = m.PhotoURL.Or(row.PhotoURL)
	row.Email = m.Email.Or(row.Email)
	row.Identifiers = m.Identifiers.Or(row.Identifiers)
	row.name(m.StudentID)
	students.Put(b, key, row)
	return nil
}

// set writes a value that a fact may leave out.
func set[T comparable](to *T, v T) {
	if v != *new(T) {
		*to = v
	}
}

func (s *studentRow) name(id string) {
	s.SortName = search.Fold(s.FamilyName + " " + s.GivenName + " " + s.PreferredName)
	s.SearchName = search.Key(s.FamilyName, s.GivenName, s.PreferredName, id)
}

// classChanged and withdrawn may name a student that was never enrolled, for example where a school
// joins in the middle of a year: the row then waits for the names.
func classChanged(b *projections.Batch, e *domain.Envelope, m *student.ClassChanged) error {
	move(b, e, m.StudentID, said(e, changes, m.On, place{Class: m.ClassID}))
	return nil
}

func withdrawn(b *projections.Batch, e *domain.Envelope, m *student.Withdrawn) error {
	move(b, e, m.StudentID, said(e, ends, m.On, place{}))
	return nil
}

func move(b *projections.Batch, e *domain.Envelope, studentID string, s statement) {
	key := studentKey{e.School, studentID}
	row, exists := students.Get(b, key)
	if !exists {
		row.Source = e.Source
	}
	attend(b, key, row, s)
}

// attend records when a student is in which home class.
func attend(b *projections.Batch, key studentKey, row studentRow, s statement) {
	before, after := record(b, historyKey{key.School, ofStudent, key.StudentID, ""}, s)
	rewrite(b, enrolments, before, after,
		func(from domain.Date) enrolmentKey { return enrolmentKey{key.School, key.StudentID, from} },
		func(s *span) enrolmentRow {
			return enrolmentRow{s.To, s.Place.Class, s.Since, s.Until, s.Source}
		})
	row.FirstOn, row.LeftOn = 0, 0
	if stays := after.stays(); len(stays) > 0 {
		row.FirstOn, row.LeftOn = stays[0].From, stays[0].To
	}
	for i := range after {
		if after[i].placing() {
			row.ClassID = after[i].Place.Class
		}
	}
	row.name(key.StudentID)
	students.Put(b, key, row)
}
