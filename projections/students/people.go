package students

import (
	"github.com/schoolbell/schoolbell/domain"
	"github.com/schoolbell/schoolbell/domain/guardian"
	"github.com/schoolbell/schoolbell/domain/staff"
	"github.com/schoolbell/schoolbell/projections"
)

var (
	guardians   = projections.NewTable[guardianKey, guardianRow]("guardians")
	links       = projections.NewTable[linkKey, linkRow]("student_guardians")
	members     = projections.NewTable[memberKey, memberRow]("staff")
	assignments = projections.NewTable[assignmentKey, assignmentRow]("assignments")
)

type guardianKey struct {
	School     string `db:"school"`
	GuardianID string `db:"guardian_id"`
}

// guardianRow remembers by which event each part of it was set. Links are events of the student and
// changes of details events of the guardian, so that one may be parked while the other is folded;
// whatever the order, the later one in the log counts.
//
// The source is that of the last fact about the guardian that names them, else of the first link: a
// source that links the guardian of another to one of its students takes nothing over.
type guardianRow struct {
	Name        string   `db:"name"`
	Phone       string   `db:"phone"`
	Email       string   `db:"email"`
	Language    string   `db:"language"`
	Identifiers []string `db:"identifiers"`
	Source      string   `db:"source"`
	SetAt       setAt    `db:"set_at"`
}

// setAt holds the offset of the event by which each part of a guardian was set, plus one: zero is
// never. A source that was set by a link has it negative: of links the first one counts, and any
// other fact more.
type setAt struct {
	Source      int64 `json:"source,omitzero"`
	Name        int64 `json:"name,omitzero"`
	Phone       int64 `json:"phone,omitzero"`
	Email       int64 `json:"email,omitzero"`
	Language    int64 `json:"language,omitzero"`
	Identifiers int64 `json:"identifiers,omitzero"`
}

// setLater writes a part unless a later event has.
func setLater[T any](e *domain.Envelope, to *T, at *int64, c domain.Change[T]) {
	if now := e.Position.Offset + 1; c.Said && now >= *at {
		*to, *at = c.Value, now
	}
}

// given makes a change of a text that a fact may leave out.
func given(v string) domain.Change[string] { return domain.Change[string]{Said: v != "", Value: v} }

type linkKey struct {
	School     string      `db:"school"`
	StudentID  string      `db:"student_id"`
	GuardianID string      `db:"guardian_id"`
	Starts     domain.Date `db:"starts"`
}

type linkRow struct {
	Ends     domain.Date `db:"ends"`
	Relation string      `db:"relation"`
	Primary  bool        `db:"is_primary"`
	Source   string      `db:"source"`
}

func linked(b *projections.Batch, e *domain.Envelope, m *guardian.Linked) error {
	connect(b, e.School, m.StudentID, m.GuardianID, said(e, starts, dayOf(e.Time),
		place{Role: m.Relation, Primary: m.Primary}))
	changeGuardian(b, e, -e.Position.Offset-1, &guardian.DetailsChanged{
		GuardianID: m.GuardianID, Name: m.Name,
		Phone: given(m.Phone), Email: given(m.Email), Language: given(m.Language),
	})
	return nil
}

func unlinked(b *projections.Batch, e *domain.Envelope, m *guardian.Unlinked) error {
	on := m.On
	if on.IsZero() {
		on = dayOf(e.Time)
	}
	connect(b, e.School, m.StudentID, m.GuardianID, said(e, ends, on, place{}))
	return nil
}

func connect(b *projections.Batch, school, studentID, guardianID string, s statement) {
	before, after := record(b, historyKey{school, ofLink, studentID, guardianID}, s)
	rewrite(b, links, before, after,
		func(from domain.Date) linkKey { return linkKey{school, studentID, guardianID, from} },
		func(s *span) linkRow { return linkRow{s.To, s.Place.Role, s.Place.Primary, s.Source} })
}

// contactChanged says of every part how it is from now on: an absent one is none.
func contactChanged(b *projections.Batch, e *domain.Envelope, m *guardian.ContactChanged) error {
	changeGuardian(b, e, e.Position.Offset+1, &guardian.DetailsChanged{
		GuardianID: m.GuardianID,
		Phone:      domain.To(m.Phone), Email: domain.To(m.Email), Language: domain.To(m.Language),
	})
	return nil
}

func guardianChanged(b *projections.Batch, e *domain.Envelope, m *guardian.DetailsChanged) error {
	changeGuardian(b, e, e.Position.Offset+1, m)
	return nil
}

func changeGuardian(
	b *projections.Batch, e *domain.Envelope, sourceAt int64, m *guardian.DetailsChanged,
) {
	key := guardianKey{e.School, m.GuardianID}
	row, _ := guardians.Get(b, key)
	at := &row.SetAt
	setLater(e, &row.Name, &at.Name, given(m.Name))
	if m.Name != "" && (at.Source == 0 || sourceAt > at.Source) {
		row.Source, at.Source = e.Source, sourceAt
	}
	setLater(e, &row.Phone, &at.Phone, m.Phone)
	setLater(e, &row.Email, &at.Email, m.Email)
	setLater(e, &row.Language, &at.Language, m.Language)
	setLater(e, &row.Identifiers, &at.Identifiers, m.Identifiers)
	guardians.Put(b, key, row)
}

type memberKey struct {
	School  string `db:"school"`
	StaffID string `db:"staff_id"`
}

type memberRow struct {
	Name        string      `db:"name"`
	Role        string      `db:"role"`
	Subjects    []string    `db:"subjects"`
	Phone       string      `db:"phone"`
	Email       string      `db:"email"`
	Identifiers []string    `db:"identifiers"`
	LeftOn      domain.Date `db:"left_on"` // the first day after the last one at the school
	Source      string      `db:"source"`
}

type assignmentKey struct {
	School  string      `db:"school"`
	StaffID string      `db:"staff_id"`
	Starts  domain.Date `db:"starts"`
}

// assignmentRow is a time during which a person had the same classes by assignment. Memberships are
// in a table of their own.
type assignmentRow struct {
	Ends     domain.Date `db:"ends"`
	ClassIDs []string    `db:"class_ids"`
	Source   string      `db:"source"`
}

func assigned(b *projections.Batch, e *domain.Envelope, m *staff.Assigned) error {
	key := memberKey{e.School, m.StaffID}
	row, _ := members.Get(b, key)
	row.Name, row.Role, row.Source = m.Name, m.Role, e.Source
	if len(m.Subjects) > 0 {
		row.Subjects = m.Subjects
	}
	set(&row.Email, m.Email)
	employ(b, key, row, said(e, starts, dayOf(e.Time), place{Classes: m.ClassIDs}))
	return nil
}

func left(b *projections.Batch, e *domain.Envelope, m *staff.Left) error {
	key := memberKey{e.School, m.StaffID}
	row, exists := members.Get(b, key)
	if !exists {
		row.Source = e.Source
	}
	employ(b, key, row, said(e, ends, m.On, place{}))
	return nil
}

func employ(b *projections.Batch, key memberKey, row memberRow, s statement) {
	before, after := record(b, historyKey{key.School, ofStaff, key.StaffID, ""}, s)
	rewrite(b, assignments, before, after,
		func(from domain.Date) assignmentKey { return assignmentKey{key.School, key.StaffID, from} },
		func(s *span) assignmentRow { return assignmentRow{s.To, s.Place.Classes, s.Source} })
	row.LeftOn = after.endedOn()
	members.Put(b, key, row)
}

func staffChanged(b *projections.Batch, e *domain.Envelope, m *staff.DetailsChanged) error {
	key := memberKey{e.School, m.StaffID}
	row, exists := members.Get(b, key)
	if !exists {
		row.Source = e.Source
	}
	set(&row.Name, m.Name)
	set(&row.Role, m.Role)
	row.Subjects = m.Subjects.Or(row.Subjects)
	row.Phone = m.Phone.Or(row.Phone)
	row.Email = m.Email.Or(row.Email)
	row.Identifiers = m.Identifiers.Or(row.Identifiers)
	members.Put(b, key, row)
	return nil
}
