// Package library holds the facts about the school's library.
package library

import "github.com/schoolbell/schoolbell/domain"

// TypeBorrowed is the wire name of [Borrowed].
const TypeBorrowed = "schoolbell.library.borrowed.v1"

// Facts lists the context's events for the catalogue.
var Facts = []domain.Fact{
	domain.NewFact[Borrowed](TypeBorrowed, "A student borrows a book.", domain.OnTimeline),
}

// Borrowed: a student takes a book home.
type Borrowed struct {
	StudentID string      `json:"student_id"`
	BookID    string      `json:"book_id"`
	Title     string      `json:"title" impersonal:"names a book"`
	DueOn     domain.Date `json:"due_on"`
}

// Subject is the student.
func (e *Borrowed) Subject() string { return e.StudentID }

// Rooms is the student's.
func (e *Borrowed) Rooms() []domain.Room { return domain.In(domain.RoomStudent, e.StudentID) }

// SeenBy shows it to the student and the family.
func (e *Borrowed) SeenBy(a domain.Audience) domain.Event {
	return domain.ShownTo(e, a, domain.Self, domain.Family)
}

// Validate implements [domain.Event].
func (e *Borrowed) Validate(f *domain.Faults) {
	f.ID("/student_id", e.StudentID)
	f.ID("/book_id", e.BookID)
	f.Text("/title", e.Title, domain.MaxTextLength)
	f.Date("/due_on", e.DueOn)
}
