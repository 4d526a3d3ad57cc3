package students

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/class"
	"github.com/schoolbell/schoolbell/domain/membership"
	"github.com/schoolbell/schoolbell/domain/school"
	"github.com/schoolbell/schoolbell/projections"
	"github.com/schoolbell/schoolbell/projections/search"
)

var (
	classes     = projections.NewTable[classKey, classRow]("classes")
	memberships = projections.NewTable[membershipKey, membershipRow]("memberships")
	profiles    = projections.NewTable[profileKey, profileRow]("school_profiles")
)

type classKey struct {
	School  string `db:"school"`
	ClassID string `db:"class_id"`
}

// classRow is a class that was defined or closed. One that facts only name has no row.
type classRow struct {
	Title      string       `db:"title"`
	Kind       string       `db:"kind"`
	Course     string       `db:"course"`
	Subjects   []string     `db:"subjects"`
	Grades     []string     `db:"grades"`
	Year       domain.Label `db:"year"`
	Terms      []string     `db:"terms"`
	Room       string       `db:"room"`
	SearchName string       `db:"search_name"`
	ClosedOn   domain.Date  `db:"closed_on"`
	Source     string       `db:"source"`
}

func defined(b *projections.Batch, e *domain.Envelope, m *class.Defined) error {
	key := classKey{e.School, m.ClassID}
	row, _ := classes.Get(b, key)
	row.Title, row.Kind, row.Source = m.Title, m.Kind, e.Source
	row.Course = m.Course.Or(row.Course)
	row.Subjects = m.Subjects.Or(row.Subjects)
	row.Grades = m.Grades.Or(row.Grades)
	row.Year = m.Year.Or(row.Year)
	row.Terms = m.Terms.Or(row.Terms)
	row.Room = m.Room.Or(row.Room)
	row.SearchName = search.Key(row.Title, row.Course, m.ClassID)
	hold(b, key, row, said(e, starts, dayOf(e.Time), place{}))
	return nil
}

func closed(b *projections.Batch, e *domain.Envelope, m *class.Closed) error {
	key := classKey{e.School, m.ClassID}
	row, exists := classes.Get(b, key)
	if !exists {
		row.Source = e.Source
	}
	hold(b, key, row, said(e, ends, m.On, place{}))
	return nil
}

func hold(b *projections.Batch, key classKey, row classRow, s statement) {
	_, after := record(b, historyKey{key.School, ofClass, key.ClassID, ""}, s)
	row.ClosedOn = after.endedOn()
	classes.Put(b, key, row)
}

type membershipKey struct {
	School       string      `db:"school"`
	MembershipID string      `db:"membership_id"`
	Starts       domain.Date `db:"starts"`
}

type membershipRow struct {
	Ends     domain.Date `db:"ends"`
	ClassID  string      `db:"class_id"`
	PersonID string      `db:"person_id"`
	Role     string      `db:"role"`
	Primary  bool        `db:"is_primary"`
	Source   string      `db:"source"`
}

func started(b *projections.Batch, e *domain.Envelope, m *membership.Started) error {
	belong(b, e.School, m.MembershipID, said(e, starts, m.From, place{
		Class: m.ClassID, Person: m.PersonID, Role: m.Role, Primary: m.Primary,
	}))
	return nil
}

func ended(b *projections.Batch, e *domain.Envelope, m *membership.Ended) error {
	belong(b, e.School, m.MembershipID, said(e, ends, m.To, place{}))
	return nil
}

func belong(b *projections.Batch, school, membershipID string, s statement) {
	before, after := record(b, historyKey{school, ofMembership, membershipID, ""}, s)
	rewrite(b, memberships, before, after,
		func(from domain.Date) membershipKey { return membershipKey{school, membershipID, from} },
		func(s *span) membershipRow {
			p := s.Place
			return membershipRow{s.To, p.Class, p.Person, p.Role, p.Primary, s.Source}
		})
}

type profileKey struct {
	School string `db:"school"`
}

type profileRow struct {
	Name       string `db:"name"`
	Identifier string `db:"identifier"`
	Type       string `db:"type"`
	District   string `db:"district"`
	Source     string `db:"source"`
}

func described(b *projections.Batch, e *domain.Envelope, m *school.Described) error {
	key := profileKey{e.School}
	row, _ := profiles.Get(b, key)
	row.Name, row.Source = m.Name, e.Source
	row.Identifier = m.Identifier.Or(row.Identifier)
	row.Type = m.Type.Or(row.Type)
	row.District = m.District.Or(row.District)
	profiles.Put(b, key, row)
	return nil
}
